"""Under which key are the files of a run? One that is made of its salt once, and held until the run is shredded."""

from __future__ import annotations

import threading

from septum.adapters.sealing.keys import Keys, run_key
from septum.adapters.sealing.segments import FileKey
from septum.coordinator.areas import run_of
from septum.ports.run_keys import RunKeyStore


class RunKeys:
    """The keys of runs. May be used by several threads."""

    def __init__(self, store: RunKeyStore, common: FileKey) -> None:
        self._store = store
        self._common = common
        self._lock = threading.Lock()
        self._known: dict[str, FileKey] = {}
        self._gone: set[str] = set()

    @property
    def keys(self) -> Keys:
        """Of all areas."""
        return Keys(self._common, self.of)

    def of(self, area: str) -> FileKey | None:
        """The key of an area; None for one of no run. Raises NotFoundError where the run was shredded."""
        run_id = run_of(area)
        found = self._known.get(run_id)
        if found is not None or not run_id:
            return found
        salt = self._store.salt(run_id)
        if salt is None:
            return None
        made = run_key(self._common, run_id, salt)
        with self._lock:
            if run_id not in self._gone:
                self._known[run_id] = made
        return made

    def forget(self, run_id: str) -> None:
        """A run's key is not made again from what was read before it was shredded."""
        with self._lock:
            self._gone.add(run_id)
            self._known.pop(run_id, None)
