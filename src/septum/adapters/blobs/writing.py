"""How do bytes get from an iterable into a file? In blocks of at most 1 MiB, digested in the same pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from blake3 import blake3

from septum.errors import TooLargeError
from septum.protocol.sources import Source

BUFFER_BYTES = 1024 * 1024
COLLECTED_BYTES = 64 * 1024  # smaller chunks are put together before they are written
COLLECTING_BYTES = 256 * 1024  # as many bytes at one time, in each upload that is under way
EARLY_BYTES = 8 * 1024 * 1024
Guard = Callable[[], AbstractContextManager[None]]


class Digester:
    """The digest of bytes that pass, and how many there were."""

    def __init__(self) -> None:
        self._hasher = blake3()
        self.size_bytes = 0

    def add(self, block: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        self._hasher.update(block)
        self.size_bytes += len(block)

    @property
    def digest(self) -> str:
        """Of all bytes so far."""
        return f"blake3:{self._hasher.hexdigest()}"

    @property
    def raw(self) -> bytes:
        """The 32 bytes of the digest."""
        return self._hasher.digest()


class Sink(Protocol):
    """A file that is being written: as the bytes are, or sealed (adapters/sealing/segments.py)."""

    def add(self, block: memoryview, /) -> None:
        """The next bytes."""

    def finish(self, digest: bytes, /) -> None:
        """There are no more; they have this digest."""

    def pause(self) -> None:
        """There are no more for now: what came has to be in the file."""


class PlainFile:
    """A `Sink` that writes the bytes as they are, from where the descriptor stands."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def add(self, block: memoryview) -> None:
        """The next bytes."""
        while block:
            block = block[os.write(self._descriptor, block) :]

    def finish(self, digest: bytes) -> None:
        """They are there."""

    def pause(self) -> None:
        """They are there."""


def write(sink: Sink, data: bytes | Iterable[bytes], digester: Digester, *, limit: int, guard: Guard) -> None:
    """Write and digest in one pass. Raises TooLargeError when more than `limit` bytes were digested (0: no limit).

    What the iterable raises passes through, after the bytes that came before were written. `guard` is around all that
    touches the disk.
    """
    for block in _blocks(data):
        if limit and digester.size_bytes + len(block) > limit:
            raise TooLargeError(f"these bytes are more than {limit}, the limit for this blob")
        with guard():
            sink.add(block)
        digester.add(block)


def sent_to_disk(fd: int, data: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, for `write`, while those written go to the disk: an fsync at the end has little left to do.

    Advice to drop pages makes Linux start to write the dirty ones; being written, they are not dropped.
    """
    if isinstance(data, bytes):
        yield data
        return
    given = begun = 0
    for chunk in data:
        if given - begun >= EARLY_BYTES:
            os.posix_fadvise(fd, begun, given - begun, os.POSIX_FADV_DONTNEED)
            begun = given
        given += len(chunk)
        yield chunk


def digest_of_source(source: Source) -> Digester:
    """Read all of a source."""
    digester = Digester()
    for block in blocks_of(source):
        digester.add(block)
    return digester


def blocks_of(source: Source) -> Iterator[memoryview]:
    """All bytes of a source in pieces of BUFFER_BYTES and what is left; each is good until the next is asked for."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    for start in range(0, source.size_bytes, BUFFER_BYTES):
        block = buffer[: min(BUFFER_BYTES, source.size_bytes - start)]
        source.read(start, block)
        yield block


def digest_start(fd: int, digester: Digester) -> None:
    """Digest what a file holds, from its start to its end."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    while count := os.preadv(fd, [buffer], digester.size_bytes):
        digester.add(buffer[:count])


def _blocks(data: bytes | Iterable[bytes]) -> Iterator[memoryview]:
    """The bytes in pieces of at most BUFFER_BYTES; small chunks are collected, very large ones are cut.

    A piece is good until the next one is asked for: what is collected is always collected in the same memory.
    """
    if isinstance(data, bytes):
        yield from _cut(data)
        return
    buffer, used = memoryview(bytearray(COLLECTING_BYTES)), 0
    try:
        for chunk in data:
            size = len(chunk)
            if used and (size >= COLLECTED_BYTES or used + size > COLLECTING_BYTES):
                yield buffer[:used]
                used = 0
            if size >= COLLECTED_BYTES:
                yield from _cut(chunk)
            else:
                buffer[used : used + size] = chunk
                used += size
    except Exception:
        if used:  # what came before the cut may be kept
            yield buffer[:used]
        raise
    if used:
        yield buffer[:used]


def _cut(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(view), BUFFER_BYTES):
        yield view[start : start + BUFFER_BYTES]
