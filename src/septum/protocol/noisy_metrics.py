"""How well does a model do on rows that nobody may be told of? Counts with noise, once a run.

Each test row adds to three things: right or wrong; its log loss, cut at LARGEST_LOSS; its class and the bin of its
logit. It changes the first and the last in one cell by 1, the log loss by one unit of LARGEST_LOSS at most: three
equal shares, so noise of sqrt(3) times the multiplier that the epsilon takes. ROC-AUC comes of the bins, which lie at
fixed logits: with noise few bins are better than many.

Unit: one row, of those that an app made of the table. Adjacency: one row added or removed. Claim: what
`count_with_noise` returns is the Gaussian `mechanism`, whatever the model. Assumptions: as in `privacy.noise`; a
row's logit does not depend on the other rows, to the last bit, so rows pass through the model one by one. What voids
it: returning it twice, with noise that was drawn anew, and paying once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from septum.errors import TensorError
from septum.privacy.accounting import Gaussian
from septum.privacy.noise import SIGMA, RandomBytes, discrete_gaussian
from septum.protocol.contents import NOISY_LENGTH
from septum.protocol.facts import Metrics, MetricsNoise

LARGEST_LOSS = 4.0  # nats: a row that the model finds less likely than 1.8 % counts as that
EDGES = (-3.0, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_BINS = len(EDGES) + 1
_SHARES = 3
_ENOUGH = 4.0  # times its own error has to be what a mean is divided by

Logits = Callable[[int], float]
"""The model's logit for row i; it may be anything, also no number."""


def unit_of(mechanism: Gaussian) -> int:
    """How many steps of the noise's grid a count of 1 is, rounded down."""
    return int(SIGMA / (mechanism.noise_multiplier * math.sqrt(_SHARES)))


def count_with_noise(
    logit: Logits, labels: NDArray[np.float32], mechanism: Gaussian, random: RandomBytes
) -> NDArray[np.float64]:
    """What may leave of these rows: (NOISY_LENGTH,) whole numbers, steps of the grid."""
    sums = units(logit, labels, unit_of(mechanism))
    sums += discrete_gaussian(NOISY_LENGTH, random)
    return sums.astype(np.float64)


def units(logit: Logits, labels: NDArray[np.float32], unit: int) -> NDArray[np.int64]:
    """The same without noise: it may not leave. Right, wrong, log loss, negatives by bin, positives by bin."""
    sums = np.zeros(NOISY_LENGTH, np.int64)
    for row, label in enumerate(labels.tolist()):
        value, positive = logit(row), label > 0.5
        value = 0.0 if math.isnan(value) else value
        sums[0 if (value > 0) == positive else 1] += unit
        towards = value if positive else -value
        loss = LARGEST_LOSS if towards < -LARGEST_LOSS else min(LARGEST_LOSS, math.log1p(math.exp(-towards)))
        sums[2] += int(unit * loss / LARGEST_LOSS)
        sums[3 + positive * _BINS + int(np.searchsorted(EDGES, value, side="left"))] += unit
    return sums


def metrics_of(sums: NDArray[np.float64], silos: int, mechanism: Gaussian) -> Metrics | None:
    """What the summed numbers of so many silos say, each with the standard error of its noise.

    None where they are so few rows that the noise would say everything. Raises TensorError for what are no such sums.
    """
    if sums.shape != (NOISY_LENGTH,) or not np.isfinite(sums).all():
        raise TensorError(f"metrics with noise are {NOISY_LENGTH} numbers, these are of shape {sums.shape}")
    unit = unit_of(mechanism)
    values, error = sums / unit, math.sqrt(silos) * SIGMA / unit
    right, wrong, loss = (float(value) for value in values[:3])
    rows = right + wrong
    if rows < _ENOUGH * math.sqrt(2) * error:
        return None
    log_loss = LARGEST_LOSS * loss / rows
    area = _area(values[3 : 3 + _BINS], values[3 + _BINS :], error)
    return Metrics(
        rows=round(rows),
        accuracy=min(1.0, max(0.0, right / rows)),
        log_loss=max(0.0, log_loss),
        roc_auc=None if area is None else area[0],
        noise=MetricsNoise(
            accuracy=error * math.hypot(right, wrong) / rows**2,
            log_loss=error * math.sqrt(LARGEST_LOSS**2 + 2 * log_loss**2) / rows,
            roc_auc=0.0 if area is None else area[1],
        ),
    )


def _area(negatives: NDArray[np.float64], positives: NDArray[np.float64], error: float) -> tuple[float, float] | None:
    """ROC-AUC with ties in a bin counted half, and its error by first derivatives; None of too few of a class."""
    count_n, count_p = float(negatives.sum()), float(positives.sum())
    if min(count_n, count_p) < _ENOUGH * math.sqrt(_BINS) * error:
        return None
    below = np.cumsum(negatives) - negatives / 2  # negatives that a positive of this bin is above
    above = positives.sum() - np.cumsum(positives) + positives / 2  # positives that are above a negative of it
    area = float(positives @ below) / (count_n * count_p)
    slopes = np.concatenate([(below / count_n - area) / count_p, (above / count_p - area) / count_n])
    return min(1.0, max(0.0, area)), error * float(np.sqrt(slopes @ slopes))
