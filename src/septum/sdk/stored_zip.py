"""How does a package lie in one file? As a ZIP that stores its members as they are, in the one way to write it.

Nothing is compressed, so nothing can expand, and the bytes do not depend on a zlib. Every field but names, sizes and
checksums is a constant, so the same members give the same file; a reader refuses whatever the writer would not have
written, down to the last byte: no other members than the directory lists, no links, no devices, no comments, nothing
before, between or behind. Any ZIP program can open it. (APPNOTE.TXT 6.3.10, without ZIP64.)
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from septum.errors import AppError, TooLargeError

MAX_MEMBERS = 4_000
MAX_BYTES = 2 * 2**30  # wheels of a deep-learning library have 200 to 900 MB
MAX_NAME_BYTES = 300
BUFFER_BYTES = 1024 * 1024

_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}/){0,15}[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}", re.ASCII)
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION, _FLAGS, _STORED, _TIME, _DATE = 20, 0, 0, 0, 0x21  # 1 January 1980
_MADE_BY, _ATTRIBUTES = (3 << 8) | _VERSION, 0o100444 << 16  # Unix: a regular file, to be read only


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the package: where its bytes begin in the file, how many there are, and their CRC-32."""

    name: str
    offset: int
    size_bytes: int
    crc: int


Sink = Callable[[bytes], object]


class Source(Protocol):
    """What a package is read from. `read` goes through it once, from the start to the end."""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""

    def seek(self, place: int, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """The place."""


class Hashed:
    """A file that is digested while it is read, once, from its start to its end."""

    def __init__(self, file: Source) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._file.seek(0)

    @property
    def digest(self) -> str:
        """Of what was read."""
        return f"sha256:{self._hash.hexdigest()}"

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def seek(self, place: int, /) -> int:
        """Stay: what is left out, or read twice, would not be digested as it lies in the file."""
        assert place == self._file.tell()
        return place

    def tell(self) -> int:
        """The place."""
        return self._file.tell()


def write(file: IO[bytes], members: Iterable[tuple[str, bytes | IO[bytes]]]) -> None:
    """Write members, whose names are checked, in the given order. Raises AppError, TooLargeError."""
    written: list[Member] = []
    for name, content in members:
        size, crc = _measured(content)
        member = Member(name, file.tell() + _LOCAL.size + len(name.encode()), size, crc)
        file.write(_local(member))
        for block in _blocks(content):
            file.write(block)
        written.append(member)
    _check_names([member.name for member in written])
    _check_size(file.tell())
    file.write(_directory(written, file.tell()))


def read(
    file: Source, size_bytes: int, sink_of: Callable[[Member], Sink | None] = lambda _: None
) -> tuple[Member, ...]:
    """The members of a package, every byte of which was looked at, once. Raises AppError, TooLargeError.

    `sink_of`: what takes the bytes of a member on the way, in pieces. Nothing of them is verified before this returns.
    """
    _check_size(size_bytes)
    file.seek(0)
    members: list[Member] = []
    while (mark := file.read(4)) == b"PK\x03\x04":
        if len(members) == MAX_MEMBERS:
            raise TooLargeError(f"a package of more than {MAX_MEMBERS} files")
        members.append(_member(file, mark, size_bytes, sink_of))
    if not members:
        raise AppError("it is no package: it does not begin as one", hint="septum app build APP_DIR makes one")
    at = file.tell() - len(mark)
    expected = _directory(members, at)
    if mark + file.read(len(expected)) != expected:
        raise AppError(f"the package's directory, at byte {at}, is not the one of its {len(members)} files")
    _check_names([member.name for member in members])
    return tuple(members)


def first(file: Source, size_bytes: int) -> Member:
    """The first member alone, of a package that was verified before."""
    file.seek(0)
    return _member(file, file.read(4), size_bytes)


def content(file: Source, member: Member) -> Iterator[bytes]:
    """A member's bytes, in pieces."""
    file.seek(member.offset)
    left = member.size_bytes
    while left:
        block = file.read(min(left, BUFFER_BYTES))
        if not block:
            raise AppError(f"the package is cut: {left} bytes of {member.name} are missing")
        left -= len(block)
        yield block


def _member(
    file: Source, mark: bytes, size_bytes: int, sink_of: Callable[[Member], Sink | None] = lambda _: None
) -> Member:
    at = file.tell() - len(mark)
    head = mark + file.read(_LOCAL.size - len(mark))
    if len(head) < _LOCAL.size:
        raise AppError(f"the package is cut at byte {at}")
    *_, crc, size, _, name_size, _ = _LOCAL.unpack(head)
    name = file.read(min(name_size, MAX_NAME_BYTES + 1))
    member = Member(name.decode("utf-8", "replace"), file.tell(), size, crc)
    _check_name(member.name)
    if head + name != _local(member):
        raise AppError(f"{member.name!r} is not stored as packages store files (compressed, encrypted, or marked up)")
    if member.offset + size > size_bytes:
        raise AppError(f"{member.name!r} is said to have {size} bytes, more than the package")
    found, sink = 0, sink_of(member)
    for block in content(file, member):
        found = zlib.crc32(block, found)
        if sink is not None:
            sink(block)
    if found != crc:
        raise AppError(f"{member.name!r} is damaged: its checksum is {found:08x}, not {crc:08x}")
    return member


def _local(member: Member) -> bytes:
    name = member.name.encode()
    sizes = (member.crc, member.size_bytes, member.size_bytes, len(name), 0)
    return _LOCAL.pack(b"PK\x03\x04", _VERSION, _FLAGS, _STORED, _TIME, _DATE, *sizes) + name


def _directory(members: list[Member], at: int) -> bytes:
    entries = b"".join(_central(member) for member in members)
    count = len(members)
    return entries + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(entries), at, 0)


def _central(member: Member) -> bytes:
    name = member.name.encode()
    begins = member.offset - _LOCAL.size - len(name)
    sizes = (member.crc, member.size_bytes, member.size_bytes, len(name), 0, 0, 0, 0, _ATTRIBUTES, begins)
    return _CENTRAL.pack(b"PK\x01\x02", _MADE_BY, _VERSION, _FLAGS, _STORED, _TIME, _DATE, *sizes) + name


def _measured(content: bytes | IO[bytes]) -> tuple[int, int]:
    size = crc = 0
    for block in _blocks(content):
        size, crc = size + len(block), zlib.crc32(block, crc)
    _check_size(size)
    return size, crc


def _blocks(content: bytes | IO[bytes]) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    content.seek(0)
    while block := content.read(BUFFER_BYTES):
        yield block


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_BYTES:
        raise TooLargeError(
            f"a package of {size_bytes} bytes, at most {MAX_BYTES} are possible",
            hint="leave large libraries out: preinstalled, under [dependencies] in septum.toml",
        )


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME_BYTES or not _NAME.fullmatch(name):
        raise AppError(
            f"{name[:100]!r} is no name for a file in a package: letters, digits and _ . + - after a letter or digit, "
            "folders by /, nothing that leads elsewhere"
        )


def _check_names(names: list[str]) -> None:
    """Whether any file system can hold them side by side. Raises AppError."""
    if len(names) > MAX_MEMBERS:
        raise TooLargeError(f"a package of more than {MAX_MEMBERS} files")
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        _check_name(name)
        lower = name.lower()
        parts = lower.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if lower in files or lower in folders or above & files:
            raise AppError(f"{name!r} is in the package twice, or as a file and as a folder")
        files.add(lower)
        folders |= above
