"""How is the update in a payload held to the plan's `clip_norm`? Block by block, where the app's code cannot reach.

The silo's agent does it to what its worker made, before anything else is done with it, and the simulator likewise: the
same arithmetic in the same order, so the same bits. The arithmetic: privacy/clipping.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from septum.errors import TensorError
from septum.privacy import clipping
from septum.protocol.contents import UPDATE
from septum.protocol.layout import Layout, TensorSpec
from septum.protocol.sources import Source, layout_of, source_of

_ITEM = 4  # bytes of a float32


def clip(payload: bytes, max_norm: float) -> bytes:
    """The payload with its update shortened to an L2 norm of at most `max_norm`, if it is longer; else as it is.

    Raises TensorError for an update that is not float32, or has a NaN or an infinity.
    """
    factor = factor_for(source_of(payload), max_norm)
    return payload if factor is None else b"".join(pieces(source_of(payload), factor))


def factor_for(payload: Source, max_norm: float) -> float | None:
    """What the update has to be multiplied by; None if it is short enough. Raises TensorError as `clip` does."""
    region = _update(layout_of(payload))
    return clipping.factor([total for spec in region for total in _sums(payload, spec)], max_norm)


def pieces(payload: Source, factor: float) -> Iterator[memoryview]:
    """The whole payload with its update multiplied, in order. A piece is read when it is asked for, and not again.

    So whoever writes each piece where it lay may do that in the payload's own file.
    """
    region = _update(layout_of(payload))
    first, end = region[0].offset, region[-1].offset + region[-1].size_bytes  # without a gap, for the layout has none
    yield from _as_they_are(payload, 0, first)
    for start in range(first, end, _ITEM * clipping.BLOCK):
        block = _block(payload, start, min(clipping.BLOCK, (end - start) // _ITEM))
        clipping.scale(block, factor)
        yield block.data.cast("B")
    yield from _as_they_are(payload, end, payload.size_bytes)


def _update(layout: Layout) -> tuple[TensorSpec, ...]:
    region = layout.region(UPDATE)
    for spec in region:
        if spec.dtype != "F32":
            raise TensorError(f"tensor {spec.name!r} of the update is {spec.dtype}, not F32")
    return region


def _sums(payload: Source, spec: TensorSpec) -> Iterator[float]:
    for start in range(0, spec.count, clipping.BLOCK):
        block = _block(payload, spec.offset + _ITEM * start, min(clipping.BLOCK, spec.count - start))
        yield clipping.sum_of_squares(spec.name.removeprefix(UPDATE), block)


def _block(payload: Source, offset: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    block = np.empty(count, "<f4")
    payload.read(offset, block.data.cast("B"))
    return block


def _as_they_are(payload: Source, start: int, end: int) -> Iterator[memoryview]:
    for offset in range(start, end, _ITEM * clipping.BLOCK):
        buffer = bytearray(min(_ITEM * clipping.BLOCK, end - offset))
        payload.read(offset, memoryview(buffer))
        yield memoryview(buffer)
