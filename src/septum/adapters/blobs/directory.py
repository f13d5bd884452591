"""Where do bytes live? In a directory: `AREA/ab/abcd...`, named by digest. Port: ports/blobs.py.

A blob is written to `.incoming/` on the same file system, digested in the same pass, and then renamed to its name, so
it is there whole or not at all. What a kill leaves in `.incoming/` is removed at the next start; the directory must
therefore have one owner (the coordinator's lock, or a directory of one's own). What is kept of uploads that were cut
lies in `.cut/` (cut.py).
"""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from septum.adapters.blobs.cut import KEPT_BYTES, CutUploads, Part, open_part
from septum.adapters.blobs.leftovers import Leftovers, before_each
from septum.adapters.blobs.names import check_area, check_digest
from septum.adapters.blobs.writing import Digester, Guard, digest_start, sent_to_disk, write
from septum.adapters.files import sync_folder
from septum.errors import ConflictError, DigestError, NotFoundError, StorageError
from septum.protocol.plan import digest_of

INCOMING = ".incoming"  # no valid area: they do not begin with a dot
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class DirectoryBlobs:
    """Blobs in a directory of its own. See `ports.blobs.BlobStore` for the contract."""

    def __init__(self, root: Path, *, kept_bytes: int = KEPT_BYTES) -> None:
        """Open the directory, or make it. `kept_bytes`: the most that is kept of all uploads that were cut."""
        self._root = root
        self._incoming = root / INCOMING
        self._lock = threading.Lock()  # held while an area gets or loses its names, never while bytes are written
        self._numbers = itertools.count(1)
        self._leftovers = Leftovers(self._incoming)
        self._synced: set[Path] = set()  # shards whose own directory entries are on disk
        with _translated(root, "start"):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._incoming.exists():
                shutil.rmtree(self._incoming)
            self._incoming.mkdir(mode=0o700)
            self._cut = CutUploads(root, kept_bytes=kept_bytes)
            sync_folder(root.parent)

    def put(self, area: str, data: bytes | Iterable[bytes], *, durable: bool, digest: str = "", limit: int = 0) -> str:
        """Store bytes; their digest. Raises DigestError if a given `digest` differs, TooLargeError over `limit`."""
        folder = self._folder(area)
        if digest:
            check_digest(digest)
        guard = partial(_translated, self._root, f"store a blob in {area!r}")
        new = self._incoming / f"put-{next(self._numbers)}"
        try:
            found = _write_new(new, data, durable=durable, limit=limit, guard=guard)
            _check(found, digest or found)
            place = folder / _place(found)
            with guard():
                with self._lock:
                    _move(new, place)
                if durable:
                    self._sync_folders(place.parent)
        except BaseException:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        return found

    def append(
        self, area: str, digest: str, data: Iterable[bytes], *, sender: str, start: int = 0, limit: int = 0
    ) -> None:
        """Store the blob whose bytes from `start` to the end these are; what comes before a cut is kept."""
        place = self._folder(area) / _place(digest)
        guard = partial(_translated, self._root, f"store a blob in {area!r}")
        with self._leftovers.one_of(area) as make_room, self._cut.appending(area, digest, sender, start) as part:
            _check(_write_part(part, before_each(data, make_room), limit=limit, guard=guard), digest)
            with self._lock:
                if part.dropped:
                    raise ConflictError(f"{area!r} was dropped while {digest} arrived from {sender!r}")
                with guard():
                    _move(part.path, place)

    def kept_bytes(self, area: str, digest: str, *, sender: str) -> int:
        """How many bytes of a sender's cut upload are here."""
        return self._cut.size_bytes(area, digest, sender)

    def get(self, area: str, digest: str) -> bytes:
        """All bytes of a small blob. Raises NotFoundError, and DigestError when they rotted on disk."""
        path = self._folder(area) / _place(digest)
        with _translated(self._root, f"read {digest} in {area!r}", missing=f"there is no blob {digest} in {area!r}"):
            data = path.read_bytes()
        if digest_of(data) != digest:
            raise DigestError(
                f"the file {path} has rotted: its bytes have the digest {digest_of(data)}", hint=f"rm {path}"
            )
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

    def free_bytes(self) -> int:
        """What the file system has for this user."""
        self._leftovers.clear()
        with _translated(self._root, "look at the free space"):
            found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize

    def discard(self, area: str, digests: Sequence[str]) -> None:
        """Forget these blobs; those that are not there are ignored."""
        folder = self._folder(area)
        paths = [folder / _place(digest) for digest in digests]
        with _translated(self._root, f"discard blobs in {area!r}"):
            for path in paths:
                self._leftovers.leave(path, area)

    def drop(self, area: str) -> None:
        """Forget a whole area. It is gone at once, even if removing its files is cut short."""
        gone = self._incoming / f"drop-{next(self._numbers)}"
        with _translated(self._root, f"drop {area!r}"):
            with self._lock:
                self._cut.drop(check_area(area))
                self._leftovers.clear(area)
                self._synced = {shard for shard in self._synced if shard.parent.name != area}
                try:
                    self._folder(area).rename(gone)
                except FileNotFoundError:
                    return
            shutil.rmtree(gone)

    def _folder(self, area: str) -> Path:
        return self._root / check_area(area)

    def _sync_folders(self, shard: Path) -> None:
        """Make the entries that lead to a blob in `shard` durable; those of the shard and its area only once."""
        sync_folder(shard)
        if shard not in self._synced:
            sync_folder(shard.parent)
            sync_folder(self._root)
            with self._lock:
                self._synced.add(shard)


def _check(found: str, announced: str) -> None:
    if found != announced:
        raise DigestError(f"the bytes that were announced as {announced} have the digest {found}")


def _place(digest: str) -> Path:
    name = check_digest(digest)
    return Path(name[:2], name)


def _move(new: Path, place: Path) -> None:
    try:
        new.rename(place)
    except FileNotFoundError:  # the first blob there
        for folder in (place.parents[1], place.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        new.rename(place)


def _write_new(path: Path, data: bytes | Iterable[bytes], *, durable: bool, limit: int, guard: Guard) -> str:
    """The digest of what was written."""
    digester = Digester()
    with guard():
        fd = os.open(path, NEW_FILE, 0o600)
    try:
        write(fd, sent_to_disk(fd, data) if durable else data, digester, limit=limit, guard=guard)
        if durable:
            with guard():
                os.fsync(fd)
    finally:
        os.close(fd)
    return digester.digest


def _write_part(part: Part, data: Iterable[bytes], *, limit: int, guard: Guard) -> str:
    """The digest of the part with what was appended to it."""
    with guard():
        fd = open_part(part)
    try:
        if part.digester is None:
            part.digester = Digester()
            with guard():
                digest_start(fd, part.digester)
        write(fd, data, part.digester, limit=limit, guard=guard)
    finally:
        os.close(fd)
        part.size_bytes = 0 if part.digester is None else part.digester.size_bytes
    return part.digester.digest


@contextmanager
def _translated(root: Path, doing: str, *, missing: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if missing and isinstance(error, FileNotFoundError):
            raise NotFoundError(missing) from error
        hint = f"df -h {root}; ls -ld {root}"
        raise StorageError(f"could not {doing} under {root}: {error.strerror}", hint=hint) from error
