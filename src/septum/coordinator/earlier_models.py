"""What becomes of models that all runs had in one area? Each run that made one gets it, before anything is served.

A model is in every area where it belongs before it leaves the old one, so an interrupted start goes on at the next.
What no journal names was made by a commit that never came: nobody was told of it, nobody can ask for it, and it goes.
"""

from __future__ import annotations

import logging

from septum.coordinator.areas import EARLIER_MODELS, models_area
from septum.errors import DigestError, NotFoundError
from septum.ports.blobs import BlobStore
from septum.ports.store import RunStore

log = logging.getLogger("septum.coordinator.earlier_models")

EVERY = 100  # models between two lines in the log


def move_earlier_models(runs: RunStore, blobs: BlobStore) -> None:
    """Move what lies in the old area. Raises StorageError, and AwayError when S3 may be back soon."""
    found = blobs.digests(EARLIER_MODELS)
    if not found:
        return
    moved = unknown = 0
    for number, digest in enumerate(found):
        if number % EVERY == 0:
            log.info("models_moving", extra={"done": number, "of": len(found)})
        made_by = runs.runs_with_model(digest)
        for run_id in made_by:
            _share(blobs, run_id, digest)
        blobs.discard(EARLIER_MODELS, [digest])
        moved, unknown = moved + bool(made_by), unknown + (not made_by)
    blobs.drop(EARLIER_MODELS)
    log.info("models_moved", extra={"models": moved, "unknown": unknown})


def _share(blobs: BlobStore, run_id: str, digest: str) -> None:
    try:
        blobs.share(EARLIER_MODELS, digest, models_area(run_id))
    except NotFoundError:  # the run was shredded
        log.info("model_not_moved", extra={"run_id": run_id, "digest": digest})
    except DigestError as error:  # it has rotted: it is of no use to anybody, and its run is told when it needs it
        log.warning("model_is_rotten", extra={"run_id": run_id, "digest": digest, "error": error.message})
