"""How are updates combined coordinate by coordinate, so that a few silos cannot move the result? Median, trimmed mean.

Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", Algorithm 1: option I is
the coordinate-wise median (Definition 1), option II the coordinate-wise trimmed mean (Definition 2). The paper trims
a fraction beta of the n values at either end; here `trim` is that number itself, beta n: with a few silos a fraction
may round to none, and protect from nobody.

Row weights are not used: a silo states its rows itself, and one that lies would outweigh all others. One silo, one
vote; the price is that a silo with few rows counts as much as one with many.

Breakdown: a value that `trim` attackers send is dropped, or lies between two that honest silos sent. So up to `trim`
attackers (the median: any number under half) leave each coordinate within the range of the honest values; with one
more it can be anything. Each coordinate on its own: the vector as a whole need not be near any honest one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from septum.algorithms.fedavg import fedavg_step
from septum.algorithms.rule import Block, CoordinateWise, Need, Rule, Setting, Settings, Vector
from septum.errors import TensorError

_PIECE = 32 * 1024  # coordinates: a copy of a whole block would be memory that malloc gives back and asks for each time


def trimmed_mean(block: Block, trim: int) -> Vector:
    """The mean of what is left of each coordinate without its `trim` smallest and `trim` largest values.

    Sums go from the smallest value to the largest, so the order of silos changes no bit.

    Args:
        block: (silos, width) float32, without NaN.
        trim: 0 to (silos - 1) // 2.

    Returns:
        (width,) float32, a new array. A piece of the block is copied at a time.

    Raises:
        TensorError: the block is not a float32 matrix, or nothing would be left of it.

    >>> trimmed_mean(np.float32([[1, 9], [2, 0], [1e30, 1], [3, 2]]), trim=1)
    array([2.5, 1.5], dtype=float32)
    """
    if block.ndim != 2 or block.dtype != np.float32:
        raise TensorError(f"a block is (silos, width) float32, got {block.dtype} of shape {block.shape}")
    silos = len(block)
    if not 0 <= 2 * trim < silos:
        raise TensorError(f"of {silos} values nothing is left without the {trim} smallest and {trim} largest")
    total: Vector = np.empty(block.shape[1], np.float32)
    spare = np.empty((silos + 1, min(_PIECE, len(total))), np.float32)
    for start in range(0, len(total), _PIECE):
        piece = block[:, start : start + _PIECE]
        _trim_into(total[start : start + _PIECE], piece, trim, spare[:, : piece.shape[1]])
    return total


def _trim_into(total: Vector, block: Block, trim: int, spare: Block) -> None:
    """`trimmed_mean` of a piece; `spare` has room for it and one row more."""
    np.copyto(spare[:-1], block)
    *rows, smaller = spare
    for low, high in _comparators(len(rows)):
        np.minimum(rows[low], rows[high], out=smaller)
        np.maximum(rows[low], rows[high], out=rows[high])
        rows[low], smaller = smaller, rows[low]
    kept = rows[trim : len(rows) - trim]
    np.multiply(kept[0], np.float32(1 / len(kept)), out=total)
    for row in kept[1:]:
        np.multiply(row, np.float32(1 / len(kept)), out=smaller)
        np.add(total, smaller, out=total)
    # Which of 0.0 and -0.0 is the smaller is not defined and may depend on the place in the row: both become one zero.
    np.add(total, np.float32(0), out=total)


@lru_cache(maxsize=16)  # a model passes through in hundreds of blocks
def _comparators(silos: int) -> tuple[tuple[int, int], ...]:
    """What has to be compared and exchanged to sort this many values: Batcher's merge exchange.

    Knuth, The Art of Computer Programming, volume 3, 5.2.2, Algorithm M. Whole rows are compared at once, which is
    much faster than sorting each column: its values lie far apart in memory.
    """
    return tuple(_merge_exchange(silos))


def _merge_exchange(count: int) -> Iterator[tuple[int, int]]:
    largest = 1 << max(0, (count - 1).bit_length() - 1)
    size = largest if count > 1 else 0
    while size > 0:
        step, remainder, distance = largest, 0, size
        while True:
            yield from ((i, i + distance) for i in range(count - distance) if i & size == remainder)
            if step == size:
                break
            step, remainder, distance = step >> 1, size, step - size
        size >>= 1


def coordinate_median(block: Block) -> Vector:
    """The middle value of each coordinate; of an even number, the mean of the middle two.

    >>> coordinate_median(np.float32([[1, 9], [2, 0], [1e30, 1]]))
    array([2., 1.], dtype=float32)
    """
    return trimmed_mean(block, (len(block) - 1) // 2)


def _median(settings: Settings, block: Block, weights: ArrayLike) -> Vector:  # noqa: ARG001
    return coordinate_median(block)


def _trimmed(settings: Settings, block: Block, weights: ArrayLike) -> Vector:  # noqa: ARG001
    return trimmed_mean(block, int(settings["trim"]))


def _needs(settings: Settings) -> Need:
    trim = int(settings["trim"])
    least = 2 * trim + 1
    return Need(
        least,
        f"trimmed-mean with trim = {trim} needs the updates of n >= 2 trim + 1 = {least} silos, or nothing is left",
        "lower trim: it tolerates (n - 1) // 2 at most, 1 of 3 or 4 silos",
    )


MEDIAN = Rule(name="median", step=fedavg_step, combine=CoordinateWise(_median))
TRIMMED_MEAN = Rule(
    name="trimmed-mean",
    step=fedavg_step,
    settings=(Setting("trim", 1.0, at_least=0.0, whole=True),),
    combine=CoordinateWise(_trimmed),
    needs=_needs,
)
