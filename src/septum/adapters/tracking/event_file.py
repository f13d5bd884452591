"""How is a file written that TensorBoard reads? As TFRecords of `Event` messages, without TensorFlow or protobuf.

A record is its length (uint64, little endian), the masked CRC-32C of these 8 bytes, the data, and the masked CRC-32C
of the data (tensorflow/core/lib/io/record_writer.h). An event is a protocol buffer of tensorflow/core/util/event.proto:
what is needed of it here is a time, a step, and one value, a number or a text.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from septum.errors import StorageError

VERSION = b"brain.Event:2"  # what the first record of a file says
_POLYNOMIAL = 0x82F63B78  # of CRC-32C, reversed
_HEAD = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_DT_STRING = 7  # of tensorflow/core/framework/types.proto


def number(at: float, step: int, tag: str, value: float) -> bytes:
    """An event with one point of a curve. `at`: Unix time, seconds."""
    return _event(at, step, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))


def text(at: float, tag: str, value: str) -> bytes:
    """An event with a text in Markdown."""
    tensor = b"\x08" + _varint(_DT_STRING) + _field(2, _field(2, b"\x08\x01")) + _field(8, value.encode())
    metadata = _field(1, _field(1, b"text"))
    return _event(at, 0, _field(1, tag.encode()) + _field(9, metadata) + _field(8, tensor))


class EventFile:
    """An event file that is appended to. An event that is in it already is not written again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0  # of its whole records, bytes
        self._known: set[int] | None = None  # hashes of its events; None before it was looked at

    def append(self, events: Iterable[bytes]) -> None:
        """Put events at the end; a record that was cut off goes first. Raises StorageError, and then none is in it."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._write(descriptor, events)
            finally:
                os.close(descriptor)
        except OSError as error:
            hint = f"ls -ld {self._path.parent}; df -h {self._path.parent}"
            raise StorageError(f"cannot write {self._path}: {error.strerror}", hint=hint) from error

    def _write(self, descriptor: int, events: Iterable[bytes]) -> None:
        if self._known is None:
            self._size, self._known = _whole(descriptor)
        first = () if self._size else (_field(3, VERSION),)
        new = {hash(event): event for event in (*first, *events) if hash(event) not in self._known}
        data = b"".join(map(_record, new.values()))
        os.ftruncate(descriptor, self._size)
        written = os.pwrite(descriptor, data, self._size)
        if written != len(data):
            os.ftruncate(descriptor, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self._known |= new.keys()


def _whole(descriptor: int) -> tuple[int, set[int]]:
    """How many bytes of a file are whole records, and the hashes of what is in them."""
    size, at = os.fstat(descriptor).st_size, 0
    known: set[int] = set()
    while len(head := os.pread(descriptor, _HEAD.size, at)) == _HEAD.size:
        length = int(_HEAD.unpack(head)[0])
        following = at + _HEAD.size + length + _CRC.size
        if following > size:
            break
        known.add(hash(os.pread(descriptor, length, at + _HEAD.size)))
        at = following
    return at, known


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _CRC.pack(_masked(length)) + data + _CRC.pack(_masked(data))


def _event(at: float, step: int, value: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", at) + b"\x10" + _varint(step) + _field(5, _field(1, value))


def _field(key: int, content: bytes) -> bytes:
    """A field of bytes with its length before them."""
    return bytes([key << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """An integer, 0 or more, in groups of 7 bits.

    >>> _varint(300).hex()
    'ac02'
    """
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli); RFC 3720, appendix B.4 has this value for 32 bytes of zeros.

    >>> hex(crc32c(bytes(32)))
    '0x8a9136aa'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _entry(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (_POLYNOMIAL if number & 1 else 0)
    return number


_TABLE = tuple(map(_entry, range(256)))
