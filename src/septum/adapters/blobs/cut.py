"""What is kept of uploads that were cut? A file for each, `.cut/AREA/DIGEST.SENDER`, under a bound; the oldest go.

A file here is only ever appended to, by one upload at a time; a sealed one after its tail was taken off. Nothing is
synced: after a power loss its end may be wrong, which the digest shows once all has come.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from septum.adapters.blobs.names import check_area, check_digest, check_sender
from septum.adapters.blobs.writing import Digester
from septum.adapters.sealing.segments import is_sealed, kept_bytes
from septum.errors import ConflictError, DigestError, NotFoundError, StorageError, TooLargeError
from septum.ports.blobs import KEPT_OF_SENDER, OffsetError

FOLDER = ".cut"  # no valid area: they do not begin with a dot
KEPT_BYTES = 16 * 2**30  # of all senders together: a bad hour of many hospitals must not fill the disk
_NEW = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


@dataclass(eq=False, slots=True)
class Part:
    """The first bytes of a blob, on disk.

    digester  of these bytes; None when a process before this one wrote them
    busy      whether an upload appends to it now
    dropped   whether its area is gone
    """

    path: Path
    area: str
    sender: str
    size_bytes: int = 0
    digester: Digester | None = field(default_factory=Digester)
    busy: bool = True
    dropped: bool = False


class CutUploads:
    """The parts in a directory. May be used by several threads; nobody else may use the directory."""

    def __init__(self, root: Path, fits: Callable[[str, Path], bool], *, kept_bytes: int = KEPT_BYTES) -> None:
        """Those in the directory; what does not fit, sealed or not, into the area for which it is meant goes."""
        self._folder = root / FOLDER
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._parts: dict[Path, Part] = {}  # least recently used first
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(self._folder.glob("*/*"), key=lambda path: path.stat().st_mtime_ns):
            area, sender = path.parent.name, path.name.partition(".")[2]
            if _fits(area, path, fits):
                self._parts[path] = Part(path, area, sender, _size_of(path), None, busy=False)
            else:
                path.unlink()
        for part in tuple(self._parts.values()):
            self._bound(part.sender)

    def size_bytes(self, area: str, digest: str, sender: str) -> int:
        """How much is kept."""
        path = self._path(area, digest, sender)
        with self._lock:
            part = self._parts.get(path)
            return 0 if part is None else part.size_bytes

    @contextmanager
    def appending(self, area: str, digest: str, sender: str, start: int) -> Iterator[Part]:
        """The part to append to, for oneself alone. It is kept if the block is cut by an error of the sender's.

        Raises OffsetError when it does not end at `start` (0 begins anew), ConflictError when another appends to it.
        """
        part = self._claim(self._path(area, digest, sender), area, sender, start)
        kept = False
        try:
            yield part
        except (DigestError, StorageError, TooLargeError):
            raise  # wrong, or in the way of what has to be stored
        except BaseException:
            kept = True
            raise
        finally:
            self._release(part, kept=kept)

    def drop(self, area: str) -> None:
        """Forget all of an area. What is being appended to can be stored no more."""
        with self._lock:
            for path, part in tuple(self._parts.items()):
                if part.area == area:
                    part.dropped = True
                    path.unlink(missing_ok=True)
                    del self._parts[path]
        with suppress(OSError):  # not there, or in use again
            (self._folder / area).rmdir()

    def _path(self, area: str, digest: str, sender: str) -> Path:
        return self._folder / check_area(area) / f"{check_digest(digest)}.{check_sender(sender)}"

    def _claim(self, path: Path, area: str, sender: str, start: int) -> Part:
        with self._lock:
            part = self._parts.get(path)
            if part is not None and part.busy:
                raise ConflictError(f"{path.stem} is on its way from {sender!r} already")
            here = 0 if part is None else part.size_bytes
            if start not in (0, here):
                raise OffsetError(f"of {path.stem}, {here} bytes are here, but byte {start} comes next", offset=here)
            if part is None or start == 0:
                path.unlink(missing_ok=True)
                part = Part(path, area, sender)
            part.busy = True
            self._parts.pop(path, None)
            self._parts[path] = part
            return part

    def _release(self, part: Part, *, kept: bool) -> None:
        with self._lock:
            part.busy = False
            if part.dropped:
                part.path.unlink(missing_ok=True)  # made after its area was dropped
            elif kept and part.size_bytes:
                self._bound(part.sender)
            else:
                self._forget(part)

    def _bound(self, sender: str) -> None:
        """Forget the oldest parts of a sender that has too many, then the oldest of all if they are too many bytes."""
        idle = [part for part in self._parts.values() if not part.busy]
        for part in [part for part in idle if part.sender == sender][:-KEPT_OF_SENDER]:
            self._forget(part)
            idle.remove(part)
        over = sum(part.size_bytes for part in idle) - self._kept_bytes
        for part in idle:
            if over > 0:
                self._forget(part)
                over -= part.size_bytes

    def _forget(self, part: Part) -> None:
        del self._parts[part.path]
        with suppress(OSError):  # it takes room until the next start
            part.path.unlink()


def _fits(area: str, path: Path, fits: Callable[[str, Path], bool]) -> bool:
    with suppress(NotFoundError):  # its run was shredded
        return fits(area, path)
    return False


def _size_of(path: Path) -> int:
    """How many bytes of an upload a file keeps."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return kept_bytes(descriptor) if is_sealed(descriptor) else os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def open_part(part: Part) -> int:
    """The file of a part, to be read and written."""
    try:
        return os.open(part.path, _NEW, 0o600)
    except FileNotFoundError:  # the first one of its area
        part.path.parent.mkdir(mode=0o700, exist_ok=True)
        return os.open(part.path, _NEW, 0o600)
