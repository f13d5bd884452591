"""Are a run's bytes still on disk, and still what they were? What is not is told to its run.

Payloads are not synced, so a power loss may take what a committed state refers to; models are, but disks rot. Looked at
after a start, when combining fails, which compares digests while it reads, and when a silo could not use what it was
given.
"""

from __future__ import annotations

from dataclasses import dataclass

from septum.coordinator.areas import models_area, optimizer_area
from septum.coordinator.intact import check_blob
from septum.coordinator.shelf import Shelf
from septum.coordinator.spool import Spool
from septum.errors import SeptumError
from septum.ports.blobs import AwayError, BlobStore
from septum.protocol.messages import Blob
from septum.protocol.run_state import ModelLost, PayloadsLost, Run


@dataclass(frozen=True, slots=True)
class Inspector:
    """Reads what a run refers to, and compares digests. May be used by several threads."""

    blobs: BlobStore
    shelf: Shelf

    def losses(self, run: Run, spool: Spool) -> tuple[ModelLost | PayloadsLost, ...]:
        """What an unfinished run has lost: its model, or else reports of the open attempt. Empty if all is well.

        Raises AwayError where that cannot be told now.
        """
        if run.outcome is not None:
            return ()
        lost = self.lost_model(run)
        if lost is not None:
            return (lost,)
        silos = tuple(silo for silo, given in sorted(run.reports.items()) if not self._is_here(given.payload, spool))
        if not silos:
            return ()
        assert run.stage is not None
        return (PayloadsLost(run.stage, run.round, run.attempt, silos),)

    def lost_model(self, run: Run) -> ModelLost | None:
        """Whether the newest model, or the optimizer's state beside it, is lost, and how.

        Raises AwayError where that cannot be told now.
        """
        models = models_area(run.id)
        for area, blob in ((models, run.model), (optimizer_area(run.id), run.optimizer)):
            if blob is not None:
                try:
                    check_blob(self.blobs, area, blob.digest)
                except AwayError:
                    raise
                except SeptumError as error:
                    if area == models:
                        self.shelf.forget(run.id, blob.digest)
                    return ModelLost(blob.digest, error.message)
        return None

    def _is_here(self, payload: Blob, spool: Spool) -> bool:
        if spool.is_in_memory(payload.digest):
            return True
        try:
            check_blob(self.blobs, spool.area, payload.digest)
        except SeptumError:
            return False
        return True
