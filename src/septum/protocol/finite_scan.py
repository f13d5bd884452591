"""Are a payload's float32 numbers finite? Looked at while its bytes pass, so that nobody reads them once more for it.

It is no more than a shortcut: what it could not tell (a header that is none, an upload that went on after a cut) is
looked at in the file, where an error names the tensor and the place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from septum.algorithms.finite import all_finite
from septum.errors import TensorError
from septum.protocol.layout import header_size, read_layout

_PREFIX_BYTES = 8
_FLOAT_BYTES = 4


class FiniteScan:
    """Looks at the bytes of one file of `size_bytes`, from its first one on."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._passed = 0
        self._head = bytearray()  # until the header is whole
        self._first: int | None = None  # byte of the file's float32 numbers
        self._cut = b""  # the start of a number whose end comes with the next chunk
        self._looking = True

    @property
    def finite_from(self) -> int | None:
        """The first byte of the file's float32 numbers, when all of them passed and were finite."""
        return self._first if self._looking and self._passed == self._size_bytes and not self._cut else None

    def over(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks."""
        for chunk in chunks:
            if self._looking:
                self._look(chunk)
            self._passed += len(chunk)
            yield chunk

    def _look(self, chunk: bytes) -> None:
        if self._first is not None:
            self._looking = self._finite(memoryview(chunk)[max(0, self._first - self._passed) :])
            return
        self._head += chunk
        try:
            if len(self._head) < _PREFIX_BYTES or len(self._head) < header_size(bytes(self._head[:_PREFIX_BYTES])):
                return
            self._first = _first_float(bytes(self._head), self._size_bytes)
        except TensorError:  # told when the file is looked at
            self._looking = False
            return
        self._looking = self._finite(memoryview(self._head)[self._first :])

    def _finite(self, data: memoryview) -> bool:
        if self._cut:
            missing = _FLOAT_BYTES - len(self._cut)
            number, data = self._cut + bytes(data[:missing]), data[missing:]
            self._cut = b""
            if len(number) < _FLOAT_BYTES:
                self._cut = number
                return True
            if not all_finite(np.frombuffer(number, np.float32)):
                return False
        whole = len(data) - len(data) % _FLOAT_BYTES
        self._cut = bytes(data[whole:])
        return all_finite(np.frombuffer(data[:whole], np.float32))


def _first_float(head: bytes, size_bytes: int) -> int:
    """Where the float32 tensors begin, which lie last. Raises TensorError where none do, or others come after them."""
    specs = read_layout(head[: header_size(head[:_PREFIX_BYTES])], size_bytes).tensors
    first = next((number for number, spec in enumerate(specs) if spec.dtype == "F32"), None)
    if first is None or any(spec.dtype != "F32" for spec in specs[first:]):
        raise TensorError("the file does not end with float32 tensors")
    return specs[first].offset
