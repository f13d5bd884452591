"""What is the ROC-AUC of some scores: exactly within a silo, and over all silos from summed histograms with a bound?

ROC-AUC is P(score of a positive > score of a negative) + 1/2 P(equal): Mann-Whitney's U over all pairs (Hanley and
McNeil 1982). Over silos no score is shared: each counts its rows per bin of the logit, and the counts are summed.
Pairs in different bins are ordered as the scores are; pairs in one bin count half, which is off by at most half a pair
each. So the error is at most sum_b pos_b neg_b / (2 P N), a number that the counts themselves give.

Bins follow the order of floats (sign, exponent, leading mantissa bits), not equal steps of probability: saturated
scores share the last of those, and the error there was measured at 0.045 to 0.115. Bins of a float have the same
relative width everywhere, so a model whose logits are 30 times too large loses nothing.

Privacy: counts are a way to add up, not a protection. A bin with one row is one patient's label and score, rounded.
Where that matters, they leave a silo only inside a masked sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from septum.algorithms.scores import checked_logits, checked_scores
from septum.errors import TensorError

MANTISSA_BITS = 11  # bound 3e-5 for centred logits, 4e-4 when their mean is 10 standard deviations away
SMALLEST_EXPONENT = -16  # |logit| < 2^-16 is bin 0: those rows have probability 0.5 to five digits
LARGEST_EXPONENT = 11  # |logit| >= 2^12 shares the last bin: exp(-4096) is no probability any more
LARGEST_BIN = (LARGEST_EXPONENT - SMALLEST_EXPONENT + 1) << MANTISSA_BITS
BIN_COUNT = 2 * LARGEST_BIN + 1  # from -LARGEST_BIN to +LARGEST_BIN
COARSER_BITS = 5  # of the mantissa: what a masked sum does without, which has to carry every bin of every silo
COARSE_LARGEST_BIN = LARGEST_BIN >> COARSER_BITS
COARSE_BIN_COUNT = (
    2 * COARSE_LARGEST_BIN + 1
)  # 3,585: 28 KB a silo as 32-bit counts; bound below 1e-3 for centred logits
MAX_ROWS = 2**31 - 1  # keeps 2 P N below 2^63

_FLOAT32_MANTISSA_BITS = 23
_FLOAT32_BIAS = 127
_SHIFT = _FLOAT32_MANTISSA_BITS - MANTISSA_BITS
_BELOW_FIRST_BIN = ((SMALLEST_EXPONENT + _FLOAT32_BIAS) << MANTISSA_BITS) - 1


def roc_auc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """The exact ROC-AUC, ties counted half; None when there is no positive or no negative row.

    Raises:
        TensorError: not one number and one 0/1 label a row, or a NaN among the scores.

    >>> roc_auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])  # of 4 pairs 3 are in order and 1 is a tie
    0.875
    """
    values, positive = checked_scores(scores, labels)
    _, group = np.unique(values, return_inverse=True)
    positives = np.bincount(group, weights=positive).astype(np.int64)  # (distinct scores,)
    negatives = np.bincount(group).astype(np.int64) - positives
    result = _auc_and_bound(negatives, positives)
    return None if result is None else result[0]


def bin_index(logits: ArrayLike) -> NDArray[np.int32]:
    """The bin of each logit, from -LARGEST_BIN to LARGEST_BIN; never decreases when the logit grows.

    A logit is rounded to float32 first, which keeps the order. Its sign, its exponent (clamped) and MANTISSA_BITS of
    its mantissa make the number. bin(-x) = -bin(x); infinities fall into the outermost bins.

    Raises:
        TensorError: not one number a row, or a NaN among them.

    >>> bin_index([-1.0, 0.0, 1.0, 1.0001, 1.001])
    array([-32769,      0,  32769,  32769,  32771], dtype=int32)
    """
    with np.errstate(over="ignore"):
        values = checked_logits(logits).astype(np.float32)  # (rows,)
    magnitude = np.abs(values).view(np.int32) >> _SHIFT
    bins = np.clip(magnitude - _BELOW_FIRST_BIN, 0, LARGEST_BIN)
    signed: NDArray[np.int32] = np.where(values < 0, -bins, bins).astype(np.int32)
    return signed


def bin_counts(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """How many rows of each class fall into each bin: (occupied bins, 3) of [bin, negatives, positives], sorted by bin.

    At most 24 bytes a row. The dense form that a masked sum needs has BIN_COUNT = 114,689 bins of two 64-bit counts
    each: 1.84 MB a silo, whatever the number of rows.

    Raises:
        TensorError: not one number and one 0/1 label a row, or a NaN among the logits.

    >>> bin_counts([1.0, 1.0, 0.0], [1, 0, 1])
    array([[    0,     0,     1],
           [32769,     1,     1]])
    """
    values, positive = checked_scores(logits, labels)
    rows = np.stack([bin_index(values), ~positive, positive], axis=1).astype(np.int64)  # (rows, 3)
    return _sum_by_bin(rows)


def dense_counts(counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Counts as every silo's look alike, for masked sums: (COARSE_BIN_COUNT, 2) of negatives and positives.

    Bins 2^COARSER_BITS times as wide as those of `bin_counts`, from the lowest to the highest, empty ones too.

    Raises:
        TensorError: counts that no silo could have made, or MAX_ROWS and more in a bin.

    >>> dense_counts(bin_counts([-1.0, 1.0], [0, 1])).sum(axis=0)
    array([1, 1], dtype=uint64)
    """
    _check_counts(counts, what="the histogram")
    bins = counts[:, 0]
    coarse = np.sign(bins) * ((np.abs(bins) + (1 << COARSER_BITS) - 1) >> COARSER_BITS)
    dense = np.zeros((COARSE_BIN_COUNT, 2), np.int64)
    np.add.at(dense, coarse + COARSE_LARGEST_BIN, counts[:, 1:])
    if dense.size and int(dense.max()) > MAX_ROWS:
        raise TensorError(f"a histogram counts {int(dense.max())} rows in one bin; at most {MAX_ROWS} can be")
    return dense.astype(np.uint32)


def counts_of_dense(dense: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The bins that are not empty of `dense_counts`, or of a sum of them, in the form that `binned_auc` takes.

    Raises:
        TensorError: not of shape (COARSE_BIN_COUNT, 2).

    >>> binned_auc(counts_of_dense(dense_counts(bin_counts([-1.0, 1.0], [0, 1]))))
    (1.0, 0.0)
    """
    if dense.shape != (COARSE_BIN_COUNT, 2):
        raise TensorError(f"a dense histogram of shape {dense.shape}; it must be {(COARSE_BIN_COUNT, 2)}")
    bins = np.arange(-COARSE_LARGEST_BIN, COARSE_LARGEST_BIN + 1, dtype=np.int64)
    rows = np.concatenate([bins[:, None], dense.astype(np.int64)], axis=1)
    occupied: NDArray[np.int64] = rows[rows[:, 1:].any(axis=1)]
    return occupied


def counts_between(counts: NDArray[np.int64], edges: Sequence[int]) -> NDArray[np.uint32]:
    """Counts in the form of `dense_counts`, but per slot between `edges`: of a bin b, the last edge <= b is its slot.

    So any edges keep the order of scores, and `binned_auc` of the sum has its exact bound. There are COARSE_BIN_COUNT
    slots, of which the last ones may stay empty.

    Raises:
        TensorError: counts that no silo could have made, too many edges, or such as do not rise.

    >>> counts_between(bin_counts([-1.0, 1.0], [0, 1]), [-LARGEST_BIN, 0])[:3].tolist()
    [[1, 0], [0, 1], [0, 0]]
    """
    _check_counts(counts, what="the histogram")
    if not 1 <= len(edges) <= COARSE_BIN_COUNT or any(a >= b for a, b in pairwise(edges)) or edges[0] > -LARGEST_BIN:
        raise TensorError(f"{len(edges)} edges of bins: 1 to {COARSE_BIN_COUNT} can be, rising from {-LARGEST_BIN}")
    slots = np.searchsorted(np.asarray(edges, np.int64), counts[:, 0], side="right") - 1
    dense = np.zeros((COARSE_BIN_COUNT, 2), np.int64)
    np.add.at(dense, slots, counts[:, 1:])
    if int(dense.max()) > MAX_ROWS:
        raise TensorError(f"a histogram counts {int(dense.max())} rows in one bin; at most {MAX_ROWS} can be")
    return dense.astype(np.uint32)


def finer_edges(dense: NDArray[np.uint32]) -> tuple[int, ...]:
    """Edges with which the same rows are counted more finely where that matters, from their summed `dense_counts`.

    Bins without rows need no slot of their own. Those that are gained are given to the bins that leave most pairs
    unordered, which are cut into the 2^COARSER_BITS fine bins that they are made of.

    >>> dense = dense_counts(bin_counts([1.0, 1.001, -1.0], [0, 1, 0]))
    >>> len(finer_edges(dense))  # 32 of the bin with both classes, 1 of that with one; below, between, above them
    36
    """
    unordered = dense[:, 0].astype(np.int64) * dense[:, 1].astype(np.int64)
    occupied = np.flatnonzero(dense.any(axis=1))
    width = 1 << COARSER_BITS
    room = max(0, COARSE_BIN_COUNT - 2 - 2 * len(occupied)) // width  # two edges for each bin: its own, and above it
    heaviest = occupied[np.argsort(-unordered[occupied], kind="stable")][:room]
    edges = {-LARGEST_BIN}
    for position in (*occupied.tolist(), *(occupied + 1).tolist()):
        edges.add(_first_fine_bin(position))
    for position in heaviest[unordered[heaviest] > 0].tolist():
        edges.update(range(_first_fine_bin(position), _first_fine_bin(position + 1)))
    return tuple(sorted(edge for edge in edges if edge <= LARGEST_BIN))


def _first_fine_bin(position: int) -> int:
    """Of the coarse bin at this place in a dense histogram; its fine bins end before the next one's first.

    Coarse bin k > 0 holds the fine bins 32 (k - 1) + 1 to 32 k, and -k their opposites.
    """
    coarse = position - COARSE_LARGEST_BIN
    return (coarse - (coarse > 0)) * (1 << COARSER_BITS) + (coarse > 0)


def merge_counts(counts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The counts of all silos together: the same as counting their rows in one place.

    Raises:
        TensorError: counts that no silo could have made (shape, dtype, bin or count out of range).

    >>> one = bin_counts([1.0], [1])
    >>> merge_counts([one, one])
    array([[32769,     0,     2]])
    """
    for position, part in enumerate(counts):
        _check_counts(part, what=f"histogram {position} of {len(counts)}")
    return _sum_by_bin(np.concatenate([np.empty((0, 3), np.int64), *counts]))


def binned_auc(counts: NDArray[np.int64]) -> tuple[float, float] | None:
    """ROC-AUC from counts, and how far it can be from the exact one; None when a class is missing.

    Raises:
        TensorError: counts that cannot be (see `merge_counts`), or more than MAX_ROWS rows.

    >>> binned_auc(np.array([[-5, 2, 1], [7, 0, 1]]))  # of 4 pairs 2 are in order, 2 are unknown
    (0.75, 0.25)
    """
    merged = merge_counts([counts])
    if int(merged[:, 1:].sum()) > MAX_ROWS:
        raise TensorError(f"a histogram counts {int(merged[:, 1:].sum())} rows; at most {MAX_ROWS} can be")
    return _auc_and_bound(negatives=merged[:, 1], positives=merged[:, 2])


def _auc_and_bound(negatives: NDArray[np.int64], positives: NDArray[np.int64]) -> tuple[float, float] | None:
    """From counts per group of rising score. In integers (half pairs), so that only the last division rounds."""
    pairs = int(negatives.sum()) * int(positives.sum())
    if pairs == 0:
        return None
    below = np.cumsum(negatives) - negatives  # (groups,) negatives with a lower score
    together = int(np.sum(positives * negatives))
    half_pairs = 2 * int(np.sum(positives * below)) + together
    return half_pairs / (2 * pairs), together / (2 * pairs)


def _sum_by_bin(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Adds up the counts of equal bins, drops bins without rows, and sorts by bin."""
    rows = rows[rows[:, 1:].any(axis=1)]
    bins, group = np.unique(rows[:, 0], return_inverse=True)
    summed = np.zeros((bins.size, 3), np.int64)
    summed[:, 0] = bins
    np.add.at(summed[:, 1:], group, rows[:, 1:])
    return summed


def _check_counts(counts: NDArray[np.int64], *, what: str) -> None:
    """Counts come from other machines: a bin or a count out of range must not turn into a wrong metric."""
    if counts.ndim != 2 or counts.shape[1] != 3 or counts.dtype != np.int64:
        raise TensorError(f"{what} is {counts.dtype} of shape {counts.shape}; it must be int64 of shape (bins, 3)")
    if counts.size == 0:
        return
    if np.abs(counts[:, 0]).max() > LARGEST_BIN or counts[:, 0].min() < -LARGEST_BIN:
        raise TensorError(f"{what} has a bin outside -{LARGEST_BIN} to {LARGEST_BIN}")
    if counts[:, 1:].min() < 0 or counts[:, 1:].max() > MAX_ROWS:
        raise TensorError(f"{what} has a count outside 0 to {MAX_ROWS}")
