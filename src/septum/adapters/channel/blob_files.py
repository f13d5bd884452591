"""How does a blob leave a file, and become one? Streamed, checked, whole or not there, and not twice for a cut."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from septum.errors import ConflictError, DigestError, SeptumError, TooLargeError

BUFFER_BYTES = 1024 * 1024
_PART = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def size_of(path: Path) -> int:
    """The size of a file that is to be sent."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise _cannot("read", path, error) from error


def pieces_of(path: Path, size_bytes: int, start: int = 0) -> Iterator[bytes]:
    """A file's bytes from `start` on in buffers of 1 MiB. Raises SeptumError if it no longer has `size_bytes`."""
    sent = start
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while piece := file.read(BUFFER_BYTES):
                sent += len(piece)
                if sent > size_bytes:
                    break
                yield piece
    except OSError as error:
        raise _cannot("read", path, error) from error
    if sent != size_bytes:
        raise SeptumError(f"{path} changed while it was sent: {sent} of {size_bytes} bytes")


class PartialFile:
    """A blob on its way into `path`.

    What has come lies beside `path`, under a name that says of which blob it is; it is digested while it comes, and by
    another process that goes on with it once more. Work on it within `opened`, one thread at a time. Raises SeptumError
    where the disk does not allow something.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest
        self.part = part_of(path, digest)
        self.source = ""  # where the newest bytes came from
        self._file = -1
        self._hasher = blake3()
        self.size_bytes = 0  # that have come

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Find out what is there. Raises ConflictError when another process is at it."""
        with self._translated("write"):
            self._file = os.open(self.part, _PART, 0o600)
        try:
            self._lock()
            with self._translated("read"):
                self._digest_what_is_there()
            yield
        finally:
            os.close(self._file)
            self._file = -1

    def append(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        left = memoryview(data)
        with self._translated("write"):
            while left:
                left = left[os.write(self._file, left) :]
        self._note(data)

    def begin_anew(self) -> None:
        """Forget what has come."""
        self._hasher, self.size_bytes = blake3(), 0
        with self._translated("write"):
            os.ftruncate(self._file, 0)

    def finish(self) -> None:
        """Give the bytes their name. Raises DigestError if they are not those of the digest."""
        found = f"blake3:{self._hasher.hexdigest()}"
        if found != self.digest:
            raise DigestError(f"blob {self.digest}: the bytes that came have the digest {found}")
        with self._translated("write"):
            self.part.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        self.begin_anew()
        with self._translated("write"):
            self.part.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._file).st_ino == self.part.stat().st_ino:
                return
        except (BlockingIOError, FileNotFoundError):  # somebody works on it, or has just finished
            pass
        raise ConflictError(f"{self.path} is being fetched by another process", hint=f"fuser {self.part}")

    def _digest_what_is_there(self) -> None:
        """Anew, unless it is what this object wrote."""
        if os.fstat(self._file).st_size == self.size_bytes:
            return
        self._hasher, self.size_bytes = blake3(), 0
        buffer = memoryview(bytearray(BUFFER_BYTES))
        while count := os.preadv(self._file, [buffer], self.size_bytes):
            self._note(buffer[:count])

    def _note(self, data: bytes | memoryview) -> None:
        self._hasher.update(data)
        self.size_bytes += len(data)

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _cannot(verb, self.path, error) from error


def part_of(path: Path, digest: str) -> Path:
    """Where lies what has come of a blob that is to become `path`.

    >>> part_of(Path("model"), "blake3:0123456789abcdef0123").name
    '.model.0123456789abcdef.part'
    """
    return path.with_name(f".{path.name}.{digest.partition(':')[2][:16]}.part")


def receive(read_into: Callable[[memoryview], int], partial: PartialFile, size_bytes: int) -> None:
    """Append what `read_into` gives, to its end. Raises TooLargeError when it is more than the blob has."""
    buffer = memoryview(bytearray(min(BUFFER_BYTES, size_bytes - partial.size_bytes + 1)))
    while count := read_into(buffer):
        if partial.size_bytes + count > size_bytes:
            raise TooLargeError(f"blob {partial.digest}: more bytes than the {size_bytes} announced")
        partial.append(buffer[:count])


def save_blob(read_into: Callable[[memoryview], int], digest: str, path: Path, size_bytes: int) -> None:
    """Write what `read_into` gives to `path`, if it is the blob that was announced.

    Raises DigestError or TooLargeError if it is another, SeptumError if it cannot be written; `path` is then as it was
    before, and nothing is kept.
    """
    partial = PartialFile(path, digest)
    with partial.opened():
        partial.begin_anew()
        try:
            receive(read_into, partial, size_bytes)
            check_size(partial, size_bytes)
            partial.finish()
        except BaseException:
            partial.discard()
            raise


def check_size(partial: PartialFile, size_bytes: int) -> None:
    """Raise DigestError if the blob has ended too soon: then it is another."""
    if partial.size_bytes < size_bytes:
        raise DigestError(f"blob {partial.digest}: it ended after {partial.size_bytes} of {size_bytes} bytes")


def _cannot(verb: str, path: Path, error: OSError) -> SeptumError:
    return SeptumError(f"cannot {verb} {path}: {error.strerror}", hint=f"df -h {path.parent}; ls -ld {path.parent}")
