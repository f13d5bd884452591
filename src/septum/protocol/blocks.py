"""How are updates read while they are combined? Block by block, each silo's into memory that the cache still has.

A block is the same coordinates of every update. Where the strategy adds the updates up, one silo's are read, multiplied
and added, and the next silo's are read into the same memory, which the processor's cache still holds. That is faster
than reading all of them first, and takes no memory for each silo.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from septum.algorithms.strategy import Strategy
from septum.algorithms.weighted_mean import Summands, add_up
from septum.protocol.payload import Floats
from septum.protocol.sources import Source

WIDEST = 64 * 1024  # float32 per silo and block: half as many cost more calls, and twice as many fill the cache
LINE_FLOATS = 16  # of a processor's cache line, 64 bytes: sums of vectors that begin with one are some 6 % faster
BLOCK_FLOATS = 2**20  # of all silos in a block: with many silos, blocks are narrower, and take no more memory


@dataclass(frozen=True, slots=True)
class Region:
    """Coordinates that lie in one piece in a file, `vectors` float32 each."""

    source: Source
    offset: int
    count: int
    vectors: int = 1

    def fill(self, start: int, out: Floats) -> Floats:
        """The coordinates from `start` on, as many as `out` has room for; and `out`."""
        self.source.read(self.offset + 4 * self.vectors * start, out.data.cast("B"))
        return out


def block_width(silos: int) -> int:
    """How many coordinates of so many silos are read before they are combined. Any width gives the same bits.

    >>> block_width(4), block_width(1000)
    (65536, 1048)
    """
    return max(1, min(WIDEST, BLOCK_FLOATS // max(1, silos)))


def step_width(strategy: Strategy, silos: int) -> int:
    """How many coordinates of a model a step makes at one time: where updates are added up, only one silo's are held.

    >>> from septum.algorithms.strategy import strategy
    >>> step_width(strategy("fedavg"), 1000), step_width(strategy("median"), 1000)
    (65536, 1048)
    """
    return block_width(1 if strategy.summands is not None else silos)


def deltas(strategy: Strategy, updates: Sequence[Region], weights: ArrayLike, width: int) -> Iterator[Floats]:
    """The combined delta, block by block; each holds until the next one is asked for.

    `weights` as `strategy.combine` takes them.
    """
    if strategy.summands is not None:
        return summed(updates, strategy.summands(weights), width)
    return (strategy.combine(block, weights) for block in update_blocks(updates, width))


def summed(updates: Sequence[Region], summands: Summands, width: int) -> Iterator[Floats]:
    """The updates' sum, block by block, in one buffer of two rows. What is no summand is not read."""
    count = updates[0].count
    total, spare = room(2 * min(width, count)).reshape(2, -1)
    for start in range(0, count, width):
        size = min(width, count - start)
        add_up(summands, lambda silo, out, at=start: updates[silo].fill(at, out), total[:size], spare[:size])  # type: ignore[misc]
        yield total[:size]


def update_blocks(updates: Sequence[Region], width: int) -> Iterator[Floats]:
    """The updates beside each other, block by block (silos, width), in one buffer."""
    count = updates[0].count
    buffer = room(len(updates) * min(width, count))
    for start in range(0, count, width):
        size = min(width, count - start)
        block = buffer[: len(updates) * size].reshape(len(updates), size)
        for region, row in zip(updates, block, strict=True):
            region.fill(start, row)
        yield block


def room(floats: int) -> Floats:
    """Memory for so many numbers, that begins with a cache line. What is in it says nothing."""
    memory = np.empty(floats + LINE_FLOATS, np.float32)
    first = -(memory.ctypes.data // memory.itemsize) % LINE_FLOATS
    return memory[first : first + floats]
