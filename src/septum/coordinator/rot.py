"""Are a run's bytes still on disk, and still what they were? What is not is told to its run.

Payloads are not synced, so a power loss may take what a committed state refers to; models are, but disks rot. Looked at
after a start, when combining fails, and when a silo could not use what it was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from septum.adapters.blobs.writing import Digester, digest_start
from septum.coordinator.combining import optimizer_area
from septum.coordinator.shelf import AREA, Shelf
from septum.coordinator.spool import Spool
from septum.errors import DigestError, SeptumError, StorageError
from septum.ports.blobs import BlobStore
from septum.protocol.messages import Blob
from septum.protocol.run_state import ModelLost, PayloadsLost, Run


@dataclass(frozen=True, slots=True)
class Inspector:
    """Reads what a run refers to, and compares digests. May be used by several threads."""

    blobs: BlobStore
    shelf: Shelf

    def losses(self, run: Run, spool: Spool) -> tuple[ModelLost | PayloadsLost, ...]:
        """What an unfinished run has lost: its model, or else reports of the open attempt. Empty if all is well."""
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
        """Whether the newest model, or the optimizer's state beside it, is lost, and how."""
        for area, blob in ((AREA, run.model), (optimizer_area(run.id), run.optimizer)):
            if blob is not None:
                try:
                    check_file(self.blobs.path(area, blob.digest), blob.digest)
                except SeptumError as error:
                    if area == AREA:
                        self.shelf.forget(blob.digest)
                    return ModelLost(blob.digest, error.message)
        return None

    def _is_here(self, payload: Blob, spool: Spool) -> bool:
        if spool.is_in_memory(payload.digest):
            return True
        try:
            check_file(self.blobs.path(spool.area, payload.digest), payload.digest)
        except SeptumError:
            return False
        return True


def check_file(path: Path, digest: str) -> None:
    """Raise DigestError when a file's bytes are not those of its digest, StorageError when it cannot be read."""
    digester = Digester()
    try:
        with path.open("rb", buffering=0) as file:
            digest_start(file.fileno(), digester)
    except OSError as error:
        raise StorageError(f"the file {path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    if digester.digest != digest:
        raise DigestError(f"the file {path} has rotted: its bytes have the digest {digester.digest}", hint=f"rm {path}")
