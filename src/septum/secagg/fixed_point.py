"""How do numbers get into a ring and their sum out of it? 32 bits a coordinate of the update, 128 bits a wide sum.

In both rings the sum over all silos cannot leave the ring: a silo that would make it possible aborts. So the sum of
words is the sum of the numbers that they stand for, exactly, and the only error is each silo's own rounding: per
coordinate of the mean at most n/2 steps / W, that is n * C/2^32 * W_cap/W (times at most 1.00001, for a whole number of
steps and for float64's own roundings), and one rounding to float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from septum.errors import SecAggError
from septum.secagg.context import MAX_SILOS

MAX_CLIPPED = 0.001  # the share of clipped coordinates above which the clip no longer fits the update
MAX_WEIGHT = 2**31 - 1  # rows; a weight cap above would leave steps smaller than a row
MAX_WIDE = 2.0**62  # the sum of all silos in absolute value: 2^126 of the ring's 2^127
_RING = 2**31 - 1
_CLIPS = (1e-30, 1e30)  # so that no product below leaves float64's normal range
_CHUNK = 65_536  # coordinates; the float64 copies stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Scale:
    """What a step of the 32-bit ring is: from the plan, so the same in every silo."""

    silos: int
    weight_cap: int
    clip: float

    def __post_init__(self) -> None:
        if not 1 <= self.silos <= MAX_SILOS:
            raise SecAggError(f"a scale for {self.silos} silos; 1 to {MAX_SILOS} are possible")
        if not 1 <= self.weight_cap <= MAX_WEIGHT:
            raise SecAggError(f"a weight cap of {self.weight_cap} rows; 1 to {MAX_WEIGHT} are possible")
        if not _CLIPS[0] <= self.clip <= _CLIPS[1]:  # NaN fails too
            raise SecAggError(f"a clip of {self.clip}; {_CLIPS[0]} to {_CLIPS[1]} are possible")

    @property
    def largest(self) -> int:
        """The largest word of one silo. A whole number, so that no rounding of n silos at the caps leaves the ring."""
        return _RING // self.silos

    @property
    def steps(self) -> float:
        """Steps of the ring for 1.0 at a weight of one row: s = floor((2^31 - 1)/n) / (w_cap * C)."""
        return self.largest / (self.weight_cap * self.clip)


def quantise(update: NDArray[np.float32], weight: int, scale: Scale) -> tuple[NDArray[np.uint32], int]:
    """Words q = rint(w * s * clip(x)) in two's complement, and how many coordinates were clipped.

    Works on one block of an update; the caller adds up what was clipped and asks `check_clipped`.

    Raises:
        SecAggError: the weight is not 1 to the cap, or there is a NaN or an infinity.

    >>> quantise(np.array([1, -0.5, 3], np.float32), 1, Scale(silos=1, weight_cap=1, clip=1.0))
    (array([2147483647, 3221225472, 2147483647], dtype=uint32), 1)
    """
    if not 1 <= weight <= scale.weight_cap:
        raise SecAggError(
            f"a weight of {weight} rows; the plan's cap is {scale.weight_cap}",
            hint="a plan with a larger weight cap: a sum over heavier silos could leave the ring",
        )
    if update.dtype != np.float32 or update.ndim != 1:
        raise SecAggError(f"an update is masked in blocks of float32, got {update.dtype} of shape {update.shape}")
    words = np.empty(update.size, np.int32)
    buffer = np.empty(min(_CHUNK, update.size), np.float64)
    clipped = 0
    for start in range(0, update.size, _CHUNK):
        chunk = update[start : start + _CHUNK]
        clipped += _quantise(chunk, weight, scale, buffer[: chunk.size], words[start : start + _CHUNK])
    return words.view(np.uint32), clipped


def _quantise(
    block: NDArray[np.float32], weight: int, scale: Scale, wide: NDArray[np.float64], words: NDArray[np.int32]
) -> int:
    low, high = float(block.min()), float(block.max())  # a NaN is its own minimum and maximum
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SecAggError("the update has a NaN or an infinity", hint="lower the learning rate")
    np.copyto(wide, block)
    clipped = 0
    if max(-low, high) > scale.clip:
        clipped = int(np.count_nonzero(wide > scale.clip) + np.count_nonzero(wide < -scale.clip))
        np.clip(wide, -scale.clip, scale.clip, out=wide)
    np.multiply(wide, weight * scale.steps, out=wide)
    np.rint(wide, out=wide)
    np.copyto(words, wide, casting="unsafe")  # whole numbers of at most 2^31 - 1: exact
    return clipped


def check_clipped(clipped: int, total: int) -> None:
    """Raise SecAggError if more than MAX_CLIPPED of all coordinates were clipped: the mean would not be the mean.

    >>> check_clipped(1, 1000)
    """
    if clipped > MAX_CLIPPED * total:
        raise SecAggError(
            f"{clipped} of {total} coordinates of the update are beyond the clip; up to {MAX_CLIPPED:.1%} may be",
            hint="a plan with a larger clip, or a lower learning rate",
        )


def mean(words: NDArray[np.uint32], total_weight: int, scale: Scale) -> NDArray[np.float32]:
    """The weighted mean from the sum of all silos' words: sum / (s * W) in float64, rounded to float32 once.

    >>> scale = Scale(silos=2, weight_cap=10, clip=1.0)
    >>> one, _ = quantise(np.array([0.5], np.float32), 10, scale)
    >>> other, _ = quantise(np.array([-1.0], np.float32), 5, scale)
    >>> mean(one + other, 15, scale)
    array([0.], dtype=float32)
    """
    if not 1 <= total_weight <= scale.silos * scale.weight_cap:
        raise SecAggError(
            f"a total weight of {total_weight} rows; {scale.silos} silos of at most {scale.weight_cap} have "
            f"1 to {scale.silos * scale.weight_cap}"
        )
    if words.dtype != np.uint32 or words.ndim != 1:
        raise SecAggError(f"a sum of updates is in words of 32 bits, got {words.dtype} of shape {words.shape}")
    means = np.empty(words.size, np.float32)
    np.divide(words.view(np.int32), scale.steps * total_weight, out=means, dtype=np.float64, casting="same_kind")
    return means


# --- wide sums -----------------------------------------------------------------------------------------------------


def to_wide(values: NDArray[np.float64], silos: int) -> NDArray[np.uint64]:
    """rint(v * 2^64) in 128 bits, two's complement: (k,) -> (k, 2), the low and the high 64 bits.

    Rounding is exact, half to even. Raises SecAggError unless every |v| is finite and at most 2^62 / silos.

    >>> to_wide(np.array([1.5, -1.0]), silos=2).tolist()
    [[9223372036854775808, 1], [0, 18446744073709551615]]
    """
    if values.dtype != np.float64 or values.ndim != 1:
        raise SecAggError(f"wide sums are made from a row of float64, got {values.dtype} of shape {values.shape}")
    if not 1 <= silos <= MAX_SILOS:
        raise SecAggError(f"wide sums of {silos} silos; 1 to {MAX_SILOS} are possible")
    size = np.abs(values)
    if not bool((size <= MAX_WIDE / silos).all()):  # NaN fails too
        raise SecAggError(f"a value to be summed is not finite, or beyond 2^62 / {silos} silos")
    whole = np.floor(size)  # of the absolute value: floor(-1e-30) would leave 1 - 1e-30, which float64 does not have
    wide = np.empty((values.size, 2), np.uint64)
    wide[:, 0] = np.rint((size - whole) * 2.0**64)  # exact, and below 2^64: a fraction is at most 1 - 2^-53
    wide[:, 1] = whole
    negative = values < 0
    wide[negative] = ~wide[negative]
    wide[negative, 0] += np.uint64(1)
    wide[negative, 1] += wide[negative, 0] == 0
    return wide


def from_wide(sums: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The numbers that 128-bit words stand for, each rounded to float64 once: (k, 2) -> (k,).

    >>> from_wide(to_wide(np.array([0.1, -1e-18]), silos=1)).tolist() == [0.1, -18 / 2**64]
    True
    """
    _check_wide(sums)
    signed = sums[:, 1].view(np.int64).tolist() if sums.flags.c_contiguous else sums[:, 1].astype(np.int64).tolist()
    # Python divides whole numbers with one correct rounding, whatever their size.
    return np.array([((high << 64) | low) / 2**64 for low, high in zip(sums[:, 0].tolist(), signed, strict=True)])


def add_wide(into: NDArray[np.uint64], other: NDArray[np.uint64]) -> None:
    """Into += other mod 2^128, in place; both (k, 2).

    >>> sums = np.array([[2**64 - 1, 0]], np.uint64)
    >>> add_wide(sums, np.array([[1, 0]], np.uint64))
    >>> sums.tolist()
    [[0, 1]]
    """
    _check_wide(into)
    low = into[:, 0] + other[:, 0]
    carry = low < other[:, 0]
    into[:, 1] += other[:, 1]
    into[:, 1] += carry
    into[:, 0] = low


def subtract_wide(into: NDArray[np.uint64], other: NDArray[np.uint64]) -> None:
    """Into -= other mod 2^128, in place; both (k, 2).

    >>> sums = np.array([[0, 1]], np.uint64)
    >>> subtract_wide(sums, np.array([[1, 0]], np.uint64))
    >>> sums.tolist()
    [[18446744073709551615, 0]]
    """
    _check_wide(into)
    borrow = into[:, 0] < other[:, 0]
    into[:, 0] -= other[:, 0]
    into[:, 1] -= other[:, 1]
    into[:, 1] -= borrow


def _check_wide(sums: NDArray[np.uint64]) -> None:
    if sums.dtype != np.uint64 or sums.ndim != 2 or sums.shape[1] != 2:
        raise SecAggError(f"wide sums are (k, 2) uint64, got {sums.dtype} of shape {sums.shape}")
