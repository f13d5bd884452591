"""Where is the model that a run ended with? For trackers that keep models; asked from their threads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from septum.coordinator.areas import APPS, models_area
from septum.errors import NotFoundError
from septum.ports.apps import AppRegistry
from septum.ports.blobs import BlobStore
from septum.ports.run_keys import refuse_shredded
from septum.ports.store import RunStore
from septum.ports.tracker import FinalModel
from septum.protocol import facts

PAGE = 1000


class FinalModels:
    """Finds them by run and digest."""

    def __init__(self, runs: RunStore, apps: AppRegistry, blobs: BlobStore) -> None:
        self._runs = runs
        self._apps = apps
        self._blobs = blobs

    @contextmanager
    def __call__(self, run_id: str, digest: str) -> Iterator[FinalModel | None]:
        """The model, and its app's package if there is one; None where the model is not there any more."""
        with ExitStack() as stack:
            try:
                stored = self._runs.get(run_id)
                refuse_shredded(run_id, stored.shredded_by, stored.shredded_at)  # a file of it may be left
                model = stack.enter_context(self._file(models_area(run_id), digest))
            except NotFoundError:
                model = None
            if model is None:
                yield None
                return
            plan = stored.run.plan
            try:
                package = stack.enter_context(self._file(APPS, self._apps.get(plan.app.digest).blob))
            except NotFoundError:  # an app that the silos have as a folder
                package = None
            rounds = [made.round for made in self._made(run_id) if made.model.digest == digest]
            yield FinalModel(run_id, rounds[-1] if rounds else 0, digest, plan, model, package)

    def _made(self, run_id: str) -> Iterator[facts.ModelMade]:
        after = 0
        while entries := self._runs.journal(run_id, after=after, limit=PAGE):
            yield from (entry.fact for entry in entries if isinstance(entry.fact, facts.ModelMade))
            after = entries[-1].seq

    @contextmanager
    def _file(self, area: str, digest: str) -> Iterator[Path]:
        """A blob as a file that another process can read: a copy for a while, where it is not kept as one."""
        with self._blobs.open(area, digest) as opened:
            if opened.file is not None:
                yield opened.file
                return
            with tempfile.NamedTemporaryFile(prefix="septum-tracking-") as copy:
                for chunk in opened.chunks():
                    copy.write(chunk)
                copy.flush()
                yield Path(copy.name)
