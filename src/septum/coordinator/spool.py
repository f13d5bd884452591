"""Where do a run's payloads wait until they are combined? Small ones in memory, large ones on disk.

A small payload is written to disk only when a state that refers to it is committed. In a brisk round that never
happens: the round's one commit comes after its reports were combined, and refers to none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from septum.coordinator.areas import spool_area
from septum.coordinator.intact import check_blob
from septum.errors import MessageError, NotFoundError
from septum.ports.blobs import BlobStore
from septum.protocol.messages import Blob, Stage
from septum.protocol.run_state import Run
from septum.protocol.sources import Source, source_of

KEPT_UPLOADS = 2  # of one silo, beside those in reports: the newest, and one whose report is on its way
LONG_S = 60.0  # a file that has lain for longer is read through before it is combined; to do so always costs a pass
Mark = tuple[int, int]  # stage and round, in the order in which a run goes through them


def mark_of(stage: Stage | None, round_: int) -> Mark:
    """Where in a run's course a payload belongs; before everything when no stage is open.

    >>> mark_of(Stage.PREPARE, 0) < mark_of(Stage.TRAIN, 7) < mark_of(Stage.EVALUATE, 7)
    True
    """
    return (-1 if stage is None else list(Stage).index(stage), round_)


@dataclass(frozen=True, slots=True)
class _File:
    mark: Mark
    since: float


class Spool:
    """The payloads of one run.

    `complete` is False after a restart: there may be files that nobody remembers; they go when the run ends.
    """

    def __init__(
        self, blobs: BlobStore, run_id: str, *, complete: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.run_id = run_id
        self.area = spool_area(run_id)
        self.complete = complete
        self._blobs = blobs
        self._monotonic = monotonic
        self._memory: dict[str, tuple[bytes, Mark]] = {}
        self._disk: dict[str, _File] = {}
        self._of_silo: dict[str, list[str]] = {}
        self._finite_from: dict[str, int] = {}

    def keep(self, payload: Blob, mark: Mark) -> None:
        """Hold a small payload in memory, and a large one on disk. Raises NotFoundError when it has gone meanwhile."""
        if payload.digest in self._disk:
            self.uploaded(payload.digest, mark)
        elif payload.inline is not None:
            self._memory[payload.digest] = (payload.inline, mark)
        elif self.complete:
            raise NotFoundError(f"blob {payload.digest} was replaced by a newer one, or its round is over")

    def uploaded(self, digest: str, mark: Mark) -> None:
        """A payload is on disk."""
        known = self._disk.get(digest, _File(mark, self._monotonic()))
        self._disk[digest] = _File(max(mark, known.mark), known.since)

    def scanned(self, digest: str, finite_from: int) -> None:
        """The float32 numbers of a payload on disk, from this byte on, were finite when it came."""
        self._finite_from[digest] = finite_from

    def finite_from(self, digest: str) -> int | None:
        """From which byte on a payload's numbers need not be looked at again; None where all have to be."""
        return self._finite_from.get(digest)

    def replaced_by(self, silo: str, digest: str, run: Run) -> list[str]:
        """A silo's payload is on disk: its older ones that nothing refers to, no longer counted as here."""
        mine = [one for one in self._of_silo.get(silo, ()) if one != digest and one in self._disk]
        others = {one for name, digests in self._of_silo.items() if name != silo for one in digests}
        used = others | {contribution.payload.digest for contribution in run.reports.values()}
        stale = [one for one in mine[: max(0, len(mine) + 1 - KEPT_UPLOADS)] if one not in used]
        self._of_silo[silo] = [*(one for one in mine if one not in stale), digest]
        for one in stale:
            del self._disk[one]
            self._finite_from.pop(one, None)
        return stale

    def check(self, payload: Blob) -> None:
        """Whether a payload that a report refers to is here. Raises NotFoundError, or MessageError for another size."""
        size = len(payload.inline) if payload.inline is not None else self._blobs.size_bytes(self.area, payload.digest)
        if size != payload.size_bytes:
            raise MessageError(f"blob {payload.digest} has {size} bytes, the report says {payload.size_bytes}")

    def unsaved(self, run: Run) -> list[bytes]:
        """The payloads that the state refers to and that are not on disk."""
        digests = (contribution.payload.digest for contribution in run.reports.values())
        return [self._memory[digest][0] for digest in digests if digest in self._memory and digest not in self._disk]

    def save(self, payloads: Iterable[bytes]) -> list[str]:
        """Write small payloads to disk, safe from a kill; their digests. For another thread; then call `uploaded`."""
        return [self._blobs.put(self.area, payload, durable=False) for payload in payloads]

    @contextmanager
    def source(self, payload: Blob) -> Iterator[Source]:
        """A payload, to be read. Raises NotFoundError, and DigestError for one that rotted while it lay for long."""
        memory = self._memory.get(payload.digest)
        if memory is not None:
            yield source_of(memory[0])
            return
        file = self._disk.get(payload.digest)
        if file is not None and self._monotonic() - file.since > LONG_S:
            check_blob(self._blobs, self.area, payload.digest)
        with self._blobs.open(self.area, payload.digest) as opened:
            yield opened.source

    def share(self, payload: Blob, area: str) -> None:
        """Have a payload in another area as well, for good. For another thread. Raises NotFoundError."""
        memory = self._memory.get(payload.digest)
        if memory is not None:
            self._blobs.put(area, memory[0], durable=True)
        else:
            self._blobs.share(self.area, payload.digest, area)

    def is_in_memory(self, digest: str) -> bool:
        """Whether memory holds a payload, which nothing can take."""
        return digest in self._memory

    def lost(self, digests: Iterable[str]) -> None:
        """These files are not what they were: they no longer count as here."""
        for digest in digests:
            self._disk.pop(digest, None)
            self._finite_from.pop(digest, None)

    def forget(self, mark: Mark) -> bool:
        """Drop what memory holds up to `mark`; whether files may be left to discard."""
        for digest in [digest for digest, (_, at) in self._memory.items() if at <= mark]:
            del self._memory[digest]
        return not self.complete or any(file.mark <= mark for file in self._disk.values())

    def expire(self, mark: Mark) -> list[str]:
        """The files up to `mark`, no longer counted as here."""
        expired = [digest for digest, file in self._disk.items() if file.mark <= mark]
        for digest in expired:
            del self._disk[digest]
            self._finite_from.pop(digest, None)
        return expired

    def discard(self, digests: list[str], *, ended: bool) -> None:
        """Remove files; all of them once the run has ended. For another thread."""
        if ended:
            self._blobs.drop(self.area)
        elif digests:
            self._blobs.discard(self.area, digests)
