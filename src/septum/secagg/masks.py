"""How is a vector masked at the speed of the keystream? Chunk by chunk, all masks of a chunk while it is in the cache.

The stream of a mask is AES-256-CTR under its key: first 16 bytes a wide sum, then 4 bytes a word, little-endian. Where
the blocks of a vector begin and end makes no difference to its bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from septum.errors import SecAggError
from septum.secagg.fixed_point import add_wide, subtract_wide
from septum.secagg.primitives import KEY_BYTES, Primitives

CHUNK_BYTES = 2**18  # keystream made at once: it and the chunk that it masks stay in the second-level cache
_WORD, _WIDE = 4, 16  # bytes


@dataclass(frozen=True, slots=True)
class Mask:
    """One mask: the key of its stream, and whether it is added (+1) or subtracted (-1)."""

    key: bytes = field(repr=False)
    sign: int

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES or self.sign not in (1, -1):
            raise SecAggError(f"a mask has a key of {KEY_BYTES} bytes and a sign of 1 or -1")


class Masker:
    """Masks one vector from its beginning on, in place; its memory does not depend on the vector's length."""

    def __init__(self, masks: Sequence[Mask], primitives: Primitives) -> None:
        self._streams = [(primitives.keystream(mask.key), mask.sign) for mask in masks]
        self._buffer = bytearray(CHUNK_BYTES)
        self._begun = False

    def wide(self, values: NDArray[np.uint64]) -> None:
        """Mask all wide sums, (k, 2); once, and before any word."""
        if self._begun:
            raise SecAggError("wide sums come first in a masked vector, and once")
        if values.dtype != np.uint64 or values.ndim != 2 or values.shape[1] != 2:
            raise SecAggError(f"wide sums are (k, 2) uint64, got {values.dtype} of shape {values.shape}")
        self._begun = True
        for start in range(0, len(values), CHUNK_BYTES // _WIDE):
            chunk = values[start : start + CHUNK_BYTES // _WIDE]
            view = memoryview(self._buffer)[: _WIDE * len(chunk)]
            stream = np.frombuffer(view, "<u8").reshape(-1, 2)
            for fill, sign in self._streams:
                fill(view)
                (add_wide if sign > 0 else subtract_wide)(chunk, stream)

    def words(self, block: NDArray[np.uint32]) -> None:
        """Mask the next coordinates; blocks of any sizes."""
        if block.dtype != np.uint32 or block.ndim != 1:
            raise SecAggError(f"an update is masked in words of 32 bits, got {block.dtype} of shape {block.shape}")
        self._begun = True
        for start in range(0, len(block), CHUNK_BYTES // _WORD):
            chunk = block[start : start + CHUNK_BYTES // _WORD]
            view = memoryview(self._buffer)[: _WORD * len(chunk)]
            stream = np.frombuffer(view, "<u4")
            for fill, sign in self._streams:
                fill(view)
                (np.add if sign > 0 else np.subtract)(chunk, stream, out=chunk)
