"""Where do payloads and models come from while they are combined? Bytes that can be read anywhere, never whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from septum.errors import TensorError
from septum.protocol.layout import MAX_HEADER_BYTES, Layout, TensorSpec, header_size, read_layout
from septum.protocol.tensors import DTYPES, Array

BLOCK_WIDTH = 32 * 1024  # float32 per silo and block: 128 KiB, so that the blocks of a few silos stay in the L2 cache


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes that can be read anywhere: `read(offset, buffer)` fills the buffer or raises TensorError."""

    size_bytes: int
    read: Callable[[int, memoryview], None]


def source_of(data: bytes) -> Source:
    """A source over bytes in memory.

    >>> buffer = bytearray(2)
    >>> source_of(b"abcd").read(1, memoryview(buffer)); bytes(buffer)
    b'bc'
    """
    view = memoryview(data)

    def read(offset: int, buffer: memoryview) -> None:
        if offset + len(buffer) > len(view):
            raise TensorError(f"bytes {offset} to {offset + len(buffer)} were wanted of {len(view)}")
        buffer[:] = view[offset : offset + len(buffer)]

    return Source(len(view), read)


def layout_of(source: Source) -> Layout:
    """The checked layout of a file. Raises TensorError."""
    start = read_bytes(source, 0, min(8, source.size_bytes))
    head = header_size(start)
    if head > min(source.size_bytes, MAX_HEADER_BYTES + 8):
        raise TensorError(f"the tensor header has {head} bytes, the file {source.size_bytes}")
    return read_layout(read_bytes(source, 0, head), source.size_bytes)


def small_tensors(source: Source, layout: Layout, prefix: str) -> dict[str, Array]:
    """Whole tensors in memory: for statistics, counts and initial models."""
    return {spec.name: _elements(source, spec, 0, spec.count).reshape(spec.shape) for spec in layout.region(prefix)}


def _elements(source: Source, spec: TensorSpec, start: int, count: int) -> Array:
    item = DTYPES[spec.dtype]
    array: Array = np.frombuffer(read_bytes(source, spec.offset + item.itemsize * start, item.itemsize * count), item)
    return array


def read_bytes(source: Source, offset: int, size: int) -> bytes:
    """Some bytes of a source."""
    buffer = bytearray(size)
    source.read(offset, memoryview(buffer))
    return bytes(buffer)


def chunks_of(source: Source, start: int, stop: int, chunk_bytes: int) -> Iterator[bytes]:
    """The bytes from `start` to `stop` (exclusive), in chunks of this size and what is left.

    >>> list(chunks_of(source_of(b"abcdefg"), 1, 6, 2))
    [b'bc', b'de', b'f']
    """
    for offset in range(start, stop, chunk_bytes):
        yield read_bytes(source, offset, min(chunk_bytes, stop - offset))


class SourceFile:
    """A source for what reads files from one place on.

    >>> file = SourceFile(source_of(b"abcdefg"))
    >>> file.seek(2), file.read(3), file.tell(), file.read(9), file.read(9)
    (2, b'cde', 5, b'fg', b'')
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def read(self, size: int, /) -> bytes:
        """The next bytes; fewer at the end."""
        data = bytearray(size)
        return bytes(memoryview(data)[: self.readinto(memoryview(data))])

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a buffer with the next bytes; how many there were."""
        count = min(len(buffer), self._source.size_bytes - self._at)
        self._source.read(self._at, buffer[:count])
        self._at += count
        return count

    def seek(self, place: int, /) -> int:
        """Go to a place."""
        self._at = min(place, self._source.size_bytes)
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at
