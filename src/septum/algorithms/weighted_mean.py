"""What is the mean of the silos' vectors, weighted by rows, with the same bits at any block width?

Decision: the architecture's canonical arithmetic. `acc += share_i * x_i`, silos in the given (sorted) order, every
multiplication and every addition rounded to float32 on its own. A BLAS product `weights @ block` is not used: its bits
depend on the width of the block and on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from septum.errors import TensorError

Vector: TypeAlias = NDArray[np.float32]  # (width,)
Summands: TypeAlias = tuple[tuple[int, np.float32], ...]  # which silos' vectors are added up, each times what

MAX_WEIGHT = 2**53  # rows; up to there float64 counts them exactly, and no sum of weights can overflow


def weighted_mean(block: NDArray[np.float32], weights: ArrayLike) -> NDArray[np.float32]:
    """sum_i w_i x_i / sum_i w_i, coordinate by coordinate.

    The weights become shares w_i / W first, in float64, and each share is rounded to float32 once. A float64 share
    would turn the whole block's products into float64; unnormalised rows (1e7 and more) would overflow products that
    the mean does not. With float32 shares no product is larger than its coordinate, and a single silo's share is
    exactly 1: its vector comes back bit for bit. The price is a relative error of at most 2^-24 in each share.

    Args:
        block: (silos, width) float32; silos in the canonical (sorted) order.
        weights: (silos,) rows; 0 to MAX_WEIGHT each, not all zero.

    Returns:
        (width,) float32, a new array. One temporary row is allocated, whatever the number of silos.

    Raises:
        TensorError: the block is not a float32 matrix, or the weights do not fit it.

    >>> weighted_mean(np.array([[1, 4], [3, 0]], np.float32), [1, 3])
    array([2.5, 1. ], dtype=float32)
    """
    return _added_up(block, mean_summands(_one_for_each(block, weights)))


def weighted_sum(block: NDArray[np.float32], factors: ArrayLike) -> NDArray[np.float32]:
    """sum_i f_i x_i, coordinate by coordinate, in the same arithmetic; each factor is rounded to float32 once.

    A factor of 0 leaves its silo out, whatever its vector is; where one factor is 1 and the others are 0, that silo's
    vector comes back bit for bit. A factor that is too small for a normal float32 counts as 0: it is meant to shorten
    an update of norm 1e37 or more, and rounded as a subnormal it could be twice what it should be.

    Raises:
        TensorError: the block is not a float32 matrix, or the factors do not fit it.

    >>> weighted_sum(np.array([[1, 4], [3, 0]], np.float32), [0.5, 2])
    array([6.5, 2. ], dtype=float32)
    """
    return _added_up(block, sum_summands(_one_for_each(block, factors)))


def mean_summands(weights: ArrayLike) -> Summands:
    """What `weighted_mean` adds up: each silo's vector times its share. Raises TensorError for weights with no mean.

    >>> [(silo, float(share)) for silo, share in mean_summands([1, 3])]
    [(0, 0.25), (1, 0.75)]
    """
    return tuple(enumerate(_shares(tuple(np.asarray(weights, dtype=np.float64).tolist()))))


def sum_summands(factors: ArrayLike) -> Summands:
    """What `weighted_sum` adds up: the vectors whose factor counts. The others need not be read.

    >>> [(silo, float(factor)) for silo, factor in sum_summands([0.5, 0, 2])]
    [(0, 0.5), (2, 2.0)]
    """
    rounded = np.asarray(factors, dtype=np.float64).astype(np.float32)
    return tuple((int(silo), rounded[silo]) for silo in np.flatnonzero(np.abs(rounded) >= np.finfo(np.float32).tiny))


def add_up(summands: Summands, vector_of: Callable[[int, Vector], Vector], total: Vector, spare: Vector) -> None:
    """Put sum_i f_i x_i into `total`, one vector after another, each multiplied and added as soon as it is there.

    Args:
        summands: silos in canonical order.
        vector_of: silo, buffer -> its vector, which may be read into the buffer: `total` or `spare`, which the
            processor's cache has.
        total: (width,) the sum, afterwards.
        spare: (width,) anything, afterwards.

    >>> block = np.array([[1, 4], [3, 0]], np.float32)
    >>> total, spare = np.empty((2, 2), np.float32)
    >>> add_up(mean_summands([1, 3]), lambda silo, buffer: block[silo], total, spare); total
    array([2.5, 1. ], dtype=float32)
    """
    if not summands:
        total.fill(0)
    for number, (silo, factor) in enumerate(summands):
        # The first product starts the sum: 0 + x would turn a silo's -0.0 into 0.0.
        product = spare if number else total
        np.multiply(vector_of(silo, product), factor, out=product)
        if number:
            np.add(total, spare, out=total)


def _added_up(block: NDArray[np.float32], summands: Summands) -> Vector:
    total, spare = np.empty(block.shape[1], np.float32), np.empty(block.shape[1], np.float32)
    add_up(summands, lambda silo, _: block[silo], total, spare)
    return total


def _one_for_each(block: NDArray[np.float32], weights: ArrayLike) -> NDArray[np.float64]:
    """The weights as float64, one for each row of a block. Raises TensorError where there is not."""
    if block.ndim != 2 or block.dtype != np.float32:
        raise TensorError(f"a block is (silos, width) float32, got {block.dtype} of shape {block.shape}")
    rows = np.asarray(weights, dtype=np.float64)  # (silos,)
    if rows.shape != (block.shape[0],) or block.shape[0] == 0:
        raise TensorError(f"{block.shape[0]} silos' vectors came with weights of shape {rows.shape}")
    return rows


@lru_cache(maxsize=16)  # whoever sums block by block asks for each
def _shares(rows: tuple[float, ...]) -> tuple[np.float32, ...]:
    """w_i / W as float32. `fsum` makes W independent of the order, so that order matters in one place only."""
    for silo, weight in enumerate(rows):
        if not 0 <= weight <= MAX_WEIGHT:  # NaN fails too
            raise TensorError(f"weight {silo} of {len(rows)} is {weight}: weights are 0 to {MAX_WEIGHT} rows")
    total = math.fsum(rows)
    if total == 0:
        raise TensorError(f"the weights of all {len(rows)} silos are 0: there is nothing to average")
    return tuple(((np.array(rows) + 0.0) / total).astype(np.float32))  # + 0.0: -0.0 is the same key as 0.0
