"""What are one silo's counts on its test rows, and what do the counts of several silos say together?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from septum.algorithms.roc_auc import binned_auc, merge_counts


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that leaves a silo of its scores. All but `roc_auc` can be summed over silos.

    rows, correct  test rows, and how many of them the sign of the logit puts in the right class
    log_loss_sum   summed over the rows, nats
    roc_auc        exact within the silo; None when its rows have one class
    bins           int64 (occupied bins, 3): logit bin, negatives, positives
    """

    rows: int
    correct: int
    log_loss_sum: float
    roc_auc: float | None
    bins: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pooled:
    """What several silos' counts say together. The exact ROC-AUC lies within `roc_auc` +- `roc_auc_bound`."""

    rows: int
    accuracy: float
    log_loss: float
    roc_auc: float | None
    roc_auc_bound: float


def pooled(evaluations: Sequence[Evaluation]) -> Pooled:
    """The metrics over all silos' rows, from their counts. Log losses are added in the given order.

    >>> one = Evaluation(2, 1, 1.5, 1.0, np.array([[-3, 1, 0], [4, 0, 1]]))
    >>> pooled([one, one]).accuracy, pooled([one, one]).roc_auc
    (0.5, 1.0)
    """
    rows = sum(one.rows for one in evaluations)
    auc = binned_auc(merge_counts([one.bins for one in evaluations]))
    value, bound = (None, 0.0) if auc is None else auc
    correct = sum(one.correct for one in evaluations)
    return Pooled(rows, correct / rows, sum(one.log_loss_sum for one in evaluations) / rows, value, bound)
