"""Where do bytes live? In a directory: `AREA/ab/abcd...`, named by digest. Port: ports/blobs.py.

A blob is written to `.incoming/` on the same file system, digested in the same pass, and then renamed to its name, so
it is there whole or not at all. What a kill leaves in `.incoming/` is removed at the next start; the directory must
therefore have one owner (the coordinator's lock, or a directory of one's own).
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from septum.errors import ConfigError, DigestError, NotFoundError, SeptumError, TooLargeError
from septum.protocol.messages import DIGEST
from septum.protocol.plan import digest_of

INCOMING = ".incoming"  # no valid area: they do not begin with a dot
BUFFER_BYTES = 1024 * 1024
AREA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class DirectoryBlobs:
    """Blobs in a directory of its own. See `ports.blobs.BlobStore` for the contract."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / INCOMING
        self._numbers = itertools.count(1)
        with _translated(root, "start"):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(self._incoming, ignore_errors=True)
            self._incoming.mkdir(mode=0o700, exist_ok=True)

    def put(self, area: str, data: bytes | Iterable[bytes], *, durable: bool, digest: str = "", limit: int = 0) -> str:
        """Store bytes; their digest. Raises DigestError if `digest` is given and differs, TooLargeError over `limit`."""
        folder = self._folder(area)
        if digest:
            _hex(digest)
        new = self._incoming / f"put-{next(self._numbers)}"
        try:
            with _translated(self._root, f"store a blob in {area!r}"):
                found = _write(new, data, durable=durable, limit=limit)
                if digest and found != digest:
                    raise DigestError(f"the bytes that were announced as {digest} have the digest {found}")
                self._move(new, folder / _place(found), durable=durable)
        except BaseException:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        return found

    def get(self, area: str, digest: str) -> bytes:
        """All bytes of a small blob. Raises NotFoundError, and DigestError when they rotted on disk."""
        path = self._folder(area) / _place(digest)
        with _translated(self._root, f"read {digest} in {area!r}", missing=f"there is no blob {digest} in {area!r}"):
            data = path.read_bytes()
        if digest_of(data) != digest:
            raise DigestError(f"the file {path} has rotted: its bytes have the digest {digest_of(data)}", hint=f"rm {path}")
        return data

    def path(self, area: str, digest: str) -> Path:
        """The file that holds a blob, to be read only. Raises NotFoundError."""
        self.size_bytes(area, digest)
        return self._folder(area) / _place(digest)

    def size_bytes(self, area: str, digest: str) -> int:
        """The size of a blob. Raises NotFoundError."""
        path = self._folder(area) / _place(digest)
        with _translated(self._root, f"find {digest} in {area!r}", missing=f"there is no blob {digest} in {area!r}"):
            return path.stat().st_size

    def discard(self, area: str, digests: Sequence[str]) -> None:
        """Forget these blobs; those that are not there are ignored."""
        folder = self._folder(area)
        paths = [folder / _place(digest) for digest in digests]
        with _translated(self._root, f"discard blobs in {area!r}"):
            for path in paths:
                path.unlink(missing_ok=True)

    def drop(self, area: str) -> None:
        """Forget a whole area. It is gone at once, even if removing its files is cut short."""
        gone = self._incoming / f"drop-{next(self._numbers)}"
        with _translated(self._root, f"drop {area!r}"):
            try:
                self._folder(area).rename(gone)
            except FileNotFoundError:
                return
            shutil.rmtree(gone)

    def _folder(self, area: str) -> Path:
        if not AREA.fullmatch(area):
            raise ConfigError(f"{area[:80]!r} is no name for an area of blobs: letters, digits, '.', '_' and '-'")
        return self._root / area

    def _move(self, new: Path, place: Path, *, durable: bool) -> None:
        made: list[Path] = []
        while True:
            try:
                new.rename(place)
                break
            except FileNotFoundError:  # the first blob there, or the area is being dropped right now
                made += _make_folders(place.parent, self._root)
        if durable:
            for folder in (place.parent, *(path.parent for path in made)):
                _sync_folder(folder)


def _hex(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise DigestError(f"{digest[:80]!r} is not a digest: expected blake3: and 64 hex digits")
    return digest.partition(":")[2]


def _place(digest: str) -> Path:
    name = _hex(digest)
    return Path(name[:2], name)


def _make_folders(folder: Path, root: Path) -> list[Path]:
    """Make the shard's folder and its area's; those that were made."""
    made = []
    for path in (folder.parent, folder):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            made.append(path)
    return made


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(path: Path, data: bytes | Iterable[bytes], *, durable: bool, limit: int) -> str:
    """Write and digest in one pass; the digest."""
    hasher, size = blake3(), 0
    fd = os.open(path, NEW_FILE, 0o600)
    try:
        for block in _blocks(data):
            size += len(block)
            if limit and size > limit:
                raise TooLargeError(f"a blob of more than {limit} bytes, which is the limit here")
            hasher.update(block)
            _write_all(fd, block)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    return f"blake3:{hasher.hexdigest()}"


def _write_all(fd: int, block: memoryview) -> None:
    while block:
        block = block[os.write(fd, block) :]


def _blocks(data: bytes | Iterable[bytes]) -> Iterator[memoryview]:
    """The bytes in pieces of at most BUFFER_BYTES; small chunks are collected, large ones are cut."""
    if isinstance(data, bytes | bytearray | memoryview):
        yield from _cut(data)
        return
    buffer = bytearray()
    for chunk in data:
        if not buffer and len(chunk) >= BUFFER_BYTES:
            yield from _cut(chunk)
            continue
        buffer += chunk
        ...


def _cut(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(view), BUFFER_BYTES):
        yield view[start : start + BUFFER_BYTES]


@contextmanager
def _translated(root: Path, doing: str, *, missing: str = "") -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if not missing:
            raise _error
        raise NotFoundError(missing) from error
    except OSError as error:
        raise SeptumError(f"could not {doing} under {root}: {error.strerror}", hint=f"df -h {root}; ls -ld {root}") from error
