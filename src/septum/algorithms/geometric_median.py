"""Which point has the smallest sum of distances to the silos' updates? The geometric median, by Weiszfeld's steps.

Pillutla, Kakade and Harchaoui 2022, "Robust Aggregation for Federated Learning", the smoothed Weiszfeld algorithm: from
a point z, beta_i = alpha_i / max(nu, |z - x_i|) and the next z = sum_i beta_i x_i / sum_i beta_i. Every z is a convex
combination of the updates, so it is kept as its coefficients b, and |z - x_j|^2 = b'Gb - 2 (Gb)_j + G_jj needs the Gram
matrix alone.

Two things differ from the paper. alpha_i is 1/n, not the silo's share of the rows: a silo states its rows itself, and
whoever claims more than half of all would be the median. And the first z is not the mean, which one attacker moves
anywhere and from which each step comes back by a factor only. It is the mean of n // 2 + 1 silos, a majority: of one
silo and its nearest, where their distances to it have the smallest sum. Of fewer than half attackers none is in it that
is far from the honest ones; and no step makes the sum of distances (smoothed by nu) larger, so a few iterations let
nobody in. The sum over the majority alone matters: in a sum over all, one distance of 1e30 hides the others.

Breakdown: with k < n / 2 attackers, h = n - k honest silos and c a point within r of every honest update, the sum of
distances D(z) >= D(c) + (h - k) |z - c| - 2 h r: each honest silo adds |z - c| - 2 r at least, each attacker takes away
|z - c| at most. So the geometric median, where D is smallest, lies within 2 h r / (h - k) of c wherever the attackers
are. With half of the silos they can lead it anywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from septum.algorithms.fedavg import fedavg_step
from septum.algorithms.gram import squared_distances
from septum.algorithms.rule import Factors, Gram, Rule, Setting, Settings, WeightGiving


def geometric_median_factors(settings: Settings, gram: Gram, weights: ArrayLike) -> Factors:  # noqa: ARG001
    """The coefficients b of the geometric median; they add up to 1.

    >>> corner = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])  # of a square: the middle
    >>> given = {"iterations": 50, "nu": 1e-6}
    >>> (geometric_median_factors(given, corner @ corner.T, [1] * 4) @ corner).round(6).tolist()
    [1.0, 1.0]
    """
    factors = _closest_majority(np.sqrt(squared_distances(gram)))
    for _ in range(int(settings["iterations"])):
        pull = 1 / np.maximum(settings["nu"], _distances_from(gram, factors))
        factors = pull / pull.sum()
    return factors


def _closest_majority(distances: Gram) -> Factors:
    """The mean of n // 2 + 1 silos that lie close together, as coefficients. distances (silos, silos)."""
    majority = len(distances) // 2 + 1
    centre = int(np.argmin(np.sort(distances, axis=1)[:, :majority].sum(axis=1)))
    factors = np.zeros(len(distances))
    factors[np.argsort(distances[centre], kind="stable")[:majority]] = 1 / majority
    return factors


def _distances_from(gram: Gram, factors: Factors) -> Factors:
    """|z - x_j| for each silo j, where z = sum_i factors_i x_i and the factors add up to 1."""
    along = (gram * factors).sum(axis=1)  # (Gb)_j; not a BLAS product, whose bits depend on the machine's threads
    squared = ((along * factors).sum() - 2 * along) + np.diagonal(gram)
    distances: Factors = np.sqrt(np.maximum(squared, 0.0))
    return distances


GEOMETRIC_MEDIAN = Rule(
    name="geometric-median",
    step=fedavg_step,
    settings=(
        Setting("iterations", 100.0, at_least=1.0, below=10_001.0, whole=True),
        Setting("nu", 1e-6, above=0.0),
    ),
    combine=WeightGiving(geometric_median_factors),
)
