"""How is a large file sealed, so that it can be read in the middle? In segments, each under AES-256-GCM.

    header    MARK, the id of the key, a random salt, the size of a segment
    box       size and digest of the plain bytes, sealed; all zero while the file is not finished
    segments  SEGMENT_BYTES of plain bytes each, the last one fewer, sealed: nonce, bytes, tag

As in STREAM (Hoang, Reyhanitabar, Rogaway, Vizar 2015) each segment is bound to its number, so that none can be moved
or left out. Instead of a flag on the last one the box says where the end is, and of what the whole is the digest: a
file that was cut, or put in the place of another one, is found when it is opened. The key is the file's own, from the
salt and the key of all blobs (HKDF, RFC 5869), so no segment fits into another file. Nonces are random, not
counted: an upload that was cut goes on, also after a kill, and seals a segment again that may have been on the disk;
96 bits are enough for 2^32 segments of one key (NIST SP 800-38D, section 8.3), which are 512 TiB of one file.

What is kept of an upload that was cut is a file without a box. Behind its whole segments lies the rest of what came,
sealed as a tail.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from septum.errors import DigestError, StorageError, TensorError
from septum.ports.blobs import OpenBlob
from septum.protocol.sources import Source

MARK = b"septum-blob-1\0\0\0"
SEGMENT_BYTES = 128 * 1024  # of plain bytes: as many as a block of combining, so that a reader holds little
WRITTEN_BYTES = 1024 * 1024  # of plain bytes are sealed before they are written
KEY_BYTES = 32
ID_BYTES = 32
NONCE_BYTES, TAG_BYTES = 12, 16
_HEAD = struct.Struct(f"<16s{ID_BYTES}s32sI4x")
_BOXED = struct.Struct("<Q32s")  # size, digest
_BOX_BYTES = NONCE_BYTES + _BOXED.size + TAG_BYTES
HEADER_BYTES = _HEAD.size + _BOX_BYTES
_TAIL = struct.Struct("<I12s")  # how many plain bytes the tail before this has, and a mark
_TAIL_MARK = b"septum-tail\0"
_MORE_BYTES = NONCE_BYTES + TAG_BYTES  # of a sealed segment than of the plain one
_STEP = SEGMENT_BYTES + _MORE_BYTES


@dataclass(frozen=True, slots=True)
class FileKey:
    """A key of many files, from which each file's own is made.

    seal_new  whether new files are to be sealed; sealed ones are opened in any case
    """

    key: bytes = field(repr=False)
    seal_new: bool = True
    id: bytes = field(init=False)  # no secret: files say which key they are under

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", hashlib.sha256(b"septum-blob-key" + self.key).digest())


class Sealing:
    """A file that is being sealed: the plain bytes come in order, in any pieces. Used by one thread.

    `descriptor` is open to be read and written, and empty, or one that `reopened` goes on with.
    """

    def __init__(self, descriptor: int, key: FileKey, salt: bytes = b"", segments: int = 0) -> None:
        self._descriptor = descriptor
        self._head = _HEAD.pack(MARK, key.id, salt or secrets.token_bytes(32), SEGMENT_BYTES)
        self._cipher = _cipher(key, self._head)
        self._count = segments
        self._rest = memoryview(bytearray(SEGMENT_BYTES))
        self._used = 0  # of the rest
        self._sealed = memoryview(bytearray(WRITTEN_BYTES // SEGMENT_BYTES * _STEP))
        if not segments:
            _write_all(descriptor, memoryview(self._head + bytes(_BOX_BYTES)), 0)

    @property
    def size_bytes(self) -> int:
        """How many plain bytes came."""
        return self._count * SEGMENT_BYTES + self._used

    def add(self, block: memoryview) -> None:
        """The next bytes."""
        if self._used:
            taken = min(len(block), SEGMENT_BYTES - self._used)
            self._rest[self._used : self._used + taken] = block[:taken]
            self._used, block = self._used + taken, block[taken:]
            if self._used < SEGMENT_BYTES:
                return
            self._seal(self._rest)
            self._used = 0
        whole = len(block) - len(block) % SEGMENT_BYTES
        for start in range(0, whole, WRITTEN_BYTES):
            self._seal(block[start : min(start + WRITTEN_BYTES, whole)])
        self._used = len(block) - whole
        self._rest[: self._used] = block[whole:]

    def finish(self, digest: bytes) -> None:
        """All bytes came: they have this digest, of 32 bytes."""
        size = self.size_bytes
        if self._used:
            self._seal(self._rest[: self._used])
        box = memoryview(bytearray(_BOX_BYTES))
        self._seal_into(box, _BOXED.pack(size, digest), b"box")
        _write_all(self._descriptor, box, _HEAD.size)

    def pause(self) -> None:
        """No more come for now: keep what is less than a segment, so that `reopened` goes on behind it."""
        if not self._used:
            return
        tail = memoryview(bytearray(self._used + _MORE_BYTES + _TAIL.size))
        self._seal_into(tail[: self._used + _MORE_BYTES], self._rest[: self._used], _tail(self._count))
        _TAIL.pack_into(tail, self._used + _MORE_BYTES, self._used, _TAIL_MARK)
        _write_all(self._descriptor, tail, HEADER_BYTES + self._count * _STEP)

    def _seal(self, plain: memoryview) -> None:
        """Write whole segments, or the last one."""
        at, used = HEADER_BYTES + self._count * _STEP, 0
        for start in range(0, len(plain), SEGMENT_BYTES):
            piece = plain[start : start + SEGMENT_BYTES]
            into = self._sealed[used : used + len(piece) + _MORE_BYTES]
            self._seal_into(into, piece, _segment(self._count))
            used, self._count = used + len(into), self._count + 1
        _write_all(self._descriptor, self._sealed[:used], at)

    def _seal_into(self, into: memoryview, plain: bytes | memoryview, about: bytes) -> None:
        into[:NONCE_BYTES] = secrets.token_bytes(NONCE_BYTES)
        self._cipher.encrypt_into(into[:NONCE_BYTES], plain, about, into[NONCE_BYTES:])


@dataclass(frozen=True, slots=True)
class _Header:
    head: bytes
    key_id: bytes
    salt: bytes
    box: bytes


def is_sealed(descriptor: int) -> bool:
    """Whether a file is sealed, also one that is not finished. What has no mark is as it was written before."""
    return os.pread(descriptor, len(MARK), 0) == MARK


def key_id_of(descriptor: int) -> bytes | None:
    """Under which key a file is, by the key's id; None for a file that is not sealed."""
    head = os.pread(descriptor, _HEAD.size, 0)
    return bytes(_HEAD.unpack(head)[1]) if head.startswith(MARK) and len(head) == _HEAD.size else None


def open_sealed(descriptor: int, key: FileKey, digest: bytes, path: Path, *, last: bool = False) -> OpenBlob:
    """The plain bytes of a finished file, to be read anywhere, by one thread at a time; it holds one segment.

    `digest`: for what the file was sealed. `path`: how errors name it. `last`: what was read leaves the page cache.
    Raises DigestError for a file that is another one, was changed, also when it is read, or is under another key.
    """
    header = _header_of(descriptor, path)
    cipher = _cipher(_fitting(key, header, path), header.head)
    size, found = _BOXED.unpack(_opened(cipher, header.box, b"box", path))
    if os.fstat(descriptor).st_size != _stored_bytes(size) or found != digest:
        raise _changed(path)
    reading = _Reading(descriptor, cipher, size, path, last=last)
    return OpenBlob(Source(size, reading.read), read_now=reading.read_now)


class _Reading:
    """Reads plain bytes. Whole segments are opened where they are wanted; of the others the last one is held."""

    def __init__(self, descriptor: int, cipher: AESGCM, size_bytes: int, path: Path, *, last: bool = False) -> None:
        self._last = last
        self._descriptor = descriptor
        self._cipher = cipher
        self._size_bytes = size_bytes
        self._path = path
        self._sealed = memoryview(bytearray(_STEP))
        self._held = memoryview(bytearray(SEGMENT_BYTES))
        self._number = -1  # of the segment that is held

    def read_now(self, offset: int, buffer: memoryview) -> bool:
        """Fill the buffer, if that takes no disk; False where it does."""
        try:
            self._fill(offset, buffer, os.RWF_NOWAIT)
        except _WaitsError:
            return False
        return True

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer."""
        self._fill(offset, buffer, 0)

    def _fill(self, offset: int, buffer: memoryview, flags: int) -> None:
        if offset + len(buffer) > self._size_bytes:
            raise TensorError(f"bytes {offset} to {offset + len(buffer)} were wanted of {self._size_bytes}")
        done = 0
        while done < len(buffer):
            number, within = divmod(offset + done, SEGMENT_BYTES)
            size = min(SEGMENT_BYTES, self._size_bytes - number * SEGMENT_BYTES)
            taken = min(size - within, len(buffer) - done)
            if taken == size and number != self._number:
                self._open(number, buffer[done : done + size], flags)
            else:
                if number != self._number:
                    self._number = -1
                    self._open(number, self._held[:size], flags)
                    self._number = number
                buffer[done : done + taken] = self._held[within : within + taken]
            done += taken

    def _open(self, number: int, into: memoryview, flags: int) -> None:
        sealed, at = self._sealed[: len(into) + _MORE_BYTES], HEADER_BYTES + number * _STEP
        _read_all(self._descriptor, sealed, at, self._path, flags)
        if self._last:
            os.posix_fadvise(self._descriptor, at, len(sealed), os.POSIX_FADV_DONTNEED)
        try:
            self._cipher.decrypt_into(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _segment(number), into)
        except InvalidTag:
            raise _changed(self._path) from None


# --- uploads that were cut -----------------------------------------------------------------------------------------


def kept_bytes(descriptor: int) -> int:
    """How many plain bytes an unfinished file has, if nobody changed it."""
    whole, tail = _kept(descriptor)
    return whole * SEGMENT_BYTES + tail


def reopened(descriptor: int, key: FileKey, path: Path, take: Callable[[memoryview], None] | None) -> Sealing:
    """Go on with an unfinished file; `take` gets the plain bytes that are there. Raises DigestError, StorageError."""
    header = _header_of(descriptor, path)
    whole, tail = _kept(descriptor)
    cipher = _cipher(_fitting(key, header, path), header.head)
    if take is not None:
        reading = _Reading(descriptor, cipher, whole * SEGMENT_BYTES, path)
        buffer = memoryview(bytearray(SEGMENT_BYTES))
        for number in range(whole):
            reading.read(number * SEGMENT_BYTES, buffer)
            take(buffer)
    at = HEADER_BYTES + whole * _STEP
    rest = _opened(cipher, os.pread(descriptor, tail + _MORE_BYTES, at), _tail(whole), path) if tail else b""
    os.ftruncate(descriptor, at)
    sealing = Sealing(descriptor, key, header.salt, whole)
    if take is not None:
        take(memoryview(rest))
    sealing.add(memoryview(rest))
    return sealing


def _kept(descriptor: int) -> tuple[int, int]:
    """The whole segments of an unfinished file, and how many plain bytes its tail has."""
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, _TAIL.size, max(0, size - _TAIL.size))
    if len(end) == _TAIL.size:
        tail, mark = _TAIL.unpack(end)
        whole, left = divmod(size - _TAIL.size - tail - _MORE_BYTES - HEADER_BYTES, _STEP)
        if mark == _TAIL_MARK and left == 0 and whole >= 0 and 0 < tail < SEGMENT_BYTES:
            return whole, tail
    return max(0, size - HEADER_BYTES) // _STEP, 0  # a kill may have cut the last one


# --- parts ---------------------------------------------------------------------------------------------------------


def _cipher(key: FileKey, head: bytes) -> AESGCM:
    """The file's own: the head, with its salt, is part of what the key is made from."""
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=b"septum blob\0" + head).derive(key.key))


def _fitting(key: FileKey, header: _Header, path: Path) -> FileKey:
    if key.id != header.key_id:
        other, own = header.key_id.hex()[:16], key.id.hex()[:16]
        raise DigestError(
            f"the file {path} is under the key {other}, and the blobs here are under {own}",
            hint="secrets.json and the blobs of one backup belong together",
        )
    return key


def _opened(cipher: AESGCM, sealed: bytes, about: bytes, path: Path) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
    except (InvalidTag, ValueError):
        raise _changed(path) from None


def _header_of(descriptor: int, path: Path) -> _Header:
    data = os.pread(descriptor, HEADER_BYTES, 0)
    if len(data) < HEADER_BYTES:
        raise _changed(path)
    head = data[: _HEAD.size]
    _, key_id, salt, segment_bytes = _HEAD.unpack(head)
    if segment_bytes != SEGMENT_BYTES:
        raise _changed(path)
    return _Header(head, key_id, salt, data[_HEAD.size :])


def _stored_bytes(size: int) -> int:
    """How large the file of so many plain bytes is."""
    return HEADER_BYTES + size + -(-size // SEGMENT_BYTES) * _MORE_BYTES


def _segment(number: int) -> bytes:
    return b"segment" + number.to_bytes(8, "big")


def _tail(number: int) -> bytes:
    return b"tail" + number.to_bytes(8, "big")


def _changed(path: Path) -> DigestError:
    return DigestError(f"the file {path} has rotted, or was changed: it does not open", hint=f"rm {path}")


def _write_all(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, at)
        data, at = data[count:], at + count


class _WaitsError(Exception):
    """A disk would have to be waited for."""


def _read_all(descriptor: int, buffer: memoryview, at: int, path: Path, flags: int) -> None:
    done = 0
    while done < len(buffer):
        try:
            count = os.preadv(descriptor, [buffer[done:]], at + done, flags)
        except OSError as error:
            if flags:  # or the file system cannot tell
                raise _WaitsError from error
            raise StorageError(f"the file {path} cannot be read: {error.strerror}", hint="dmesg | tail") from error
        if count == 0 and not flags:
            raise _changed(path)
        if done + count < len(buffer) and flags:
            raise _WaitsError
        done += count
