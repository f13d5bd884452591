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
from septum.adapters.blobs.names import AREA, check_area, check_digest
from septum.adapters.blobs.writing import (
    Digester,
    Guard,
    PlainFile,
    Sink,
    digest_of_source,
    digest_start,
    sent_to_disk,
    write,
)
from septum.adapters.file_source import source_in
from septum.adapters.files import sync_folder
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import (
    MARK,
    FileKey,
    Sealing,
    is_sealed,
    open_sealed,
    reopened,
)
from septum.errors import ConflictError, DigestError, NotFoundError, StorageError, TooLargeError
from septum.ports.blobs import OpenBlob
from septum.protocol.plan import digest_of
from septum.protocol.sources import read_bytes

INCOMING = ".incoming"  # no valid area: they do not begin with a dot
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class DirectoryBlobs:
    """Blobs in a directory of its own. See `ports.blobs.BlobStore` for the contract."""

    def __init__(self, root: Path, *, keys: Keys | None = None, kept_bytes: int = KEPT_BYTES) -> None:
        """Open the directory, or make it.

        `keys`: what new files are sealed with, if they are; others are read as before. `kept_bytes`: the most that is
        kept of all uploads that were cut.
        """
        self._root = root
        self._keys = keys
        self._incoming = root / INCOMING
        self._lock = threading.Lock()  # held while an area gets or loses its names, never while bytes are written
        self._numbers = itertools.count(1)
        self._leftovers = Leftovers(self._incoming)
        self._synced: set[Path] = set()  # shards whose own directory entries are on disk
        self._fetched: dict[Path, str] = {}  # what is on its way from another machine, and the area where it is wanted
        with _translated(root, "start"):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._incoming.exists():
                shutil.rmtree(self._incoming)
            self._incoming.mkdir(mode=0o700)
            self._cut = CutUploads(root, self._fits, kept_bytes=kept_bytes)
            sync_folder(root.parent)

    def put(self, area: str, data: bytes | Iterable[bytes], *, durable: bool, digest: str = "", limit: int = 0) -> str:
        """Store bytes; their digest. Raises DigestError if a given `digest` differs, TooLargeError over `limit`."""
        folder = self._folder(area)
        if digest:
            check_digest(digest)
        guard = partial(_translated, self._root, f"store a blob in {area!r}")
        new = self._incoming / f"put-{next(self._numbers)}"
        try:
            with _writing(new, NEW_FILE, guard) as fd:
                found = self._write_new(fd, area, data, digest, durable=durable, limit=limit, guard=guard)
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
            self._write_part(part, before_each(data, make_room), digest, limit=limit, guard=guard)
            with self._lock:
                if part.dropped:
                    raise ConflictError(f"{area!r} was dropped while {digest} arrived from {sender!r}")
                with guard():
                    _move(part.path, place)

    def share(self, area: str, digest: str, into: str) -> None:
        """Have a blob in another area as well, durably. Raises NotFoundError."""
        source, place = self.stored_file(area, digest), self._folder(into) / _place(digest)
        new = self._incoming / f"share-{next(self._numbers)}"
        with _translated(self._root, f"share a blob of {area!r} with {into!r}", missing=_missing(area, digest)):
            if not self._linked(source, new, into):
                with self.open(area, digest) as opened:
                    self.put(into, opened.chunks(), durable=True, digest=digest)
                return
            _sync(new)
            with self._lock:
                _move(new, place)
                new.unlink(missing_ok=True)  # where both were the same file already, rename(2) does nothing
            self._sync_folders(place.parent)

    def kept_bytes(self, area: str, digest: str, *, sender: str) -> int:
        """How many bytes of a sender's cut upload are here."""
        return self._cut.size_bytes(area, digest, sender)

    def get(self, area: str, digest: str) -> bytes:
        """All bytes of a small blob. Raises NotFoundError, and DigestError when they rotted on disk."""
        with self.open(area, digest) as opened:
            data = read_bytes(opened.source, 0, opened.size_bytes)
        if digest_of(data) != digest:
            path = self.stored_file(area, digest)
            raise DigestError(
                f"the file {path} has rotted: its bytes have the digest {digest_of(data)}", hint=f"rm {path}"
            )
        return data

    @contextmanager
    def open(self, area: str, digest: str, *, last: bool = False) -> Iterator[OpenBlob]:
        """A blob, to be read while it is open. Raises NotFoundError. `last`: it leaves the page cache as it is read."""
        path = self.stored_file(area, digest)
        with _translated(self._root, f"open {digest} in {area!r}", missing=_missing(area, digest)):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if self._keys is None or not is_sealed(fd):
                yield OpenBlob(source_in(fd, last=last), path)
            else:
                yield open_sealed(fd, self._keys.of(area, fd), _raw(digest), path, last=last)
        finally:
            os.close(fd)

    def stored_file(self, area: str, digest: str) -> Path:
        """The file of a blob, if it is there: for who copies or checks files as they are."""
        return self._folder(area) / _place(digest)

    def size_bytes(self, area: str, digest: str) -> int:
        """The size of a blob. Raises NotFoundError."""
        if self._keys is not None:
            with self.open(area, digest) as opened:
                return opened.size_bytes
        path = self.stored_file(area, digest)
        with _translated(self._root, f"find {digest} in {area!r}", missing=_missing(area, digest)):
            return path.stat().st_size

    def digests(self, area: str) -> Sequence[str]:
        """Every blob of an area, in the order of their digests."""
        folder = self._folder(area)
        with _translated(self._root, f"list {area!r}"):
            return sorted(f"blake3:{path.name}" for path in folder.glob("??/*"))

    def free_bytes(self) -> int:
        """What the file system has for this user."""
        self._leftovers.clear()
        with _translated(self._root, "look at the free space"):
            found = os.statvfs(self._root)
        return found.f_bavail * found.f_frsize

    def used_bytes(self) -> int:
        """The sizes of all files, also of those whose names are going now."""
        used = 0
        for folder, _, names in os.walk(self._root):
            for name in names:
                with suppress(OSError):  # it has gone meanwhile
                    used += os.lstat(os.path.join(folder, name)).st_size
        return used

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
                self._fetched = {new: wanted for new, wanted in self._fetched.items() if wanted != area}
                try:
                    self._folder(area).rename(gone)
                except FileNotFoundError:
                    return
            shutil.rmtree(gone)

    # --- for a store that keeps the same files on another machine as well ---------------------------------------------

    def adopt(self, area: str, digest: str, data: Iterable[bytes]) -> None:
        """Store a blob durably from the bytes of its file, sealed or not. Raises DigestError when they are of another.

        Where new files are sealed, one that is not is sealed, too: it is from before there was a key. What the
        iterable itself raises passes through, and nothing is stored; nor is it where the area was dropped meanwhile:
        NotFoundError.
        """
        place, data = self._folder(area) / _place(digest), iter(data)
        guard = partial(_translated, self._root, f"store a blob in {area!r}")
        new = self._incoming / f"adopt-{next(self._numbers)}"
        with self._lock:
            self._fetched[new] = area
        try:
            with _writing(new, NEW_FILE, guard) as fd:
                start, digester = _start_of(data, len(MARK)), Digester()
                key = None if start.startswith(MARK) else self._new_key(area)
                with guard():
                    sink = _sink(fd, key)
                write(sink, sent_to_disk(fd, itertools.chain([start], data)), digester, limit=0, guard=guard)
                _check((key is None and self._unsealed(fd, area, digest, new)) or digester.digest, digest)
                with guard():
                    sink.finish(digester.raw)
                    os.fsync(fd)
            with guard():
                with self._lock:
                    self._refuse_dropped(new, area, digest)
                    _move(new, place)
                self._sync_folders(place.parent)
        except BaseException:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        finally:
            with self._lock:
                self._fetched.pop(new, None)

    def _refuse_dropped(self, new: Path, area: str, digest: str) -> None:
        if new not in self._fetched:
            raise NotFoundError(_missing(area, digest))

    def _unsealed(self, fd: int, area: str, digest: str, path: Path) -> str:
        """The digest of what is in a sealed file; empty for one that is none. Raises DigestError, StorageError."""
        if self._keys is None or not is_sealed(fd):
            return ""
        return digest_of_source(open_sealed(fd, self._keys.of(area, fd), _raw(digest), path).source).digest

    def areas(self) -> tuple[str, ...]:
        """Every area in which something was stored and that was not dropped."""
        with _translated(self._root, "list the areas"):
            return tuple(sorted(name for name in os.listdir(self._root) if AREA.fullmatch(name)))

    def _write_new(
        self,
        fd: int,
        area: str,
        data: bytes | Iterable[bytes],
        digest: str,
        *,
        durable: bool,
        limit: int,
        guard: Guard,
    ) -> str:
        """Write a new file; the digest of the bytes. Raises DigestError when it is not `digest`, if that is given."""
        digester, key = Digester(), self._new_key(area)
        with guard():
            sink = _sink(fd, key)
        write(sink, sent_to_disk(fd, data) if durable else data, digester, limit=limit, guard=guard)
        _check(digester.digest, digest or digester.digest)
        with guard():
            sink.finish(digester.raw)
            if durable:
                os.fsync(fd)
        return digester.digest

    def _new_key(self, area: str) -> FileKey | None:
        """What new files of an area are sealed with; None: they are not. Raises NotFoundError."""
        return None if self._keys is None else self._keys.new(area)

    def _write_part(self, part: Part, data: Iterable[bytes], digest: str, *, limit: int, guard: Guard) -> None:
        """Append to a part, so that it is the blob. Raises DigestError when it is not."""
        with guard():
            fd = open_part(part)
        try:
            with guard():
                sink = self._reopened(fd, part)
            assert part.digester is not None
            try:
                write(sink, data, part.digester, limit=limit, guard=guard)
            except (DigestError, StorageError, TooLargeError):
                raise
            except BaseException:
                with guard():
                    sink.pause()
                raise
            _check(part.digester.digest, digest)
            with guard():
                sink.finish(part.digester.raw)
        finally:
            os.close(fd)
            part.size_bytes = 0 if part.digester is None else part.digester.size_bytes

    def _reopened(self, fd: int, part: Part) -> Sink:
        """What goes on with a part; the bytes of one that another process wrote are digested first."""
        again, key = part.digester is None, self._new_key(part.area)
        digester = part.digester = part.digester or Digester()
        if key is None:
            if again:
                digest_start(fd, digester)
            os.lseek(fd, 0, os.SEEK_END)
            return PlainFile(fd)
        if not again and not digester.size_bytes:
            return Sealing(fd, key)
        return reopened(fd, key, part.path, digester.add if again else None)

    def _linked(self, source: Path, new: Path, area: str) -> bool:
        """Make `new` another name of a file; False where that cannot be, or the file lies otherwise than new ones."""
        if not self._fits(area, source):
            return False
        try:
            os.link(source, new)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links, or with too many of this file
            return False
        return True

    def _fits(self, area: str, file: Path) -> bool:
        """Whether a file is as a new one of an area would be, sealed or not."""
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return not is_sealed(fd) if self._keys is None else self._keys.fits(area, fd)
        finally:
            os.close(fd)

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


def _start_of(data: Iterator[bytes], size: int) -> bytes:
    """So many bytes at least, or all that there are."""
    start = b""
    while len(start) < size and (chunk := next(data, b"")):
        start += chunk
    return start


def _sink(fd: int, key: FileKey | None) -> Sink:
    """What a new file's bytes go to, sealed if there is a key."""
    return PlainFile(fd) if key is None else Sealing(fd, key)


def _check(found: str, announced: str) -> None:
    if found != announced:
        raise DigestError(f"the bytes that were announced as {announced} have the digest {found}")


def _missing(area: str, digest: str) -> str:
    return f"there is no blob {digest} in {area!r}"


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


@contextmanager
def _writing(path: Path, flags: int, guard: Guard) -> Iterator[int]:
    with guard():
        fd = os.open(path, flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _raw(digest: str) -> bytes:
    return bytes.fromhex(check_digest(digest))


@contextmanager
def _translated(root: Path, doing: str, *, missing: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if missing and isinstance(error, FileNotFoundError):
            raise NotFoundError(missing) from error
        hint = f"df -h {root}; ls -ld {root}"
        raise StorageError(f"could not {doing} under {root}: {error.strerror}", hint=hint) from error
