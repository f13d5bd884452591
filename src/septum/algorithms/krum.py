"""Which silos' updates lie closest to the others'? Krum takes the one, multi-Krum the mean of all but f.

Blanchard et al. 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", section 4: the score of
silo i is s(i) = sum |x_i - x_j|^2 over the n - f - 2 silos j whose updates lie closest to its own; Krum is the update
with the smallest score. Multi-Krum averages the m updates with the smallest scores; here m = n - f, the largest number
that leaves f out. The paper's condition for f attackers is 2f + 2 < n, that is n >= 2f + 3: four silos tolerate none.

Row weights are not used, neither for the scores nor for multi-Krum's mean: a silo states its rows itself.

Breakdown, with B the largest distance between two honest updates: with f attackers at most, whatever was chosen lies
within B sqrt((n - f - 2) / (n - 2f - 1)) of an honest update. For an honest one has n - f - 1 other honest ones, so a
score of (n - f - 2) B^2 at most; there are n - f of them, so no score that is chosen is larger; and an attacker's is a
sum of n - f - 2 squared distances of which n - 2f - 1 at least lead to honest silos. With f + 1 attackers multi-Krum
has to take one, wherever it is. Krum, at n = 2f + 3, gives way to f + 2 that send one vector: their score is 0.

An update within that bound can still be a bad one: Krum ensures that no one silo leads far away, not that it helps.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from septum.algorithms.fedavg import fedavg_step
from septum.algorithms.gram import squared_distances
from septum.algorithms.rule import Factors, Gram, Need, Rule, Setting, Settings, WeightGiving


def krum_scores(gram: Gram, f: int) -> Factors:
    """s(i), for each silo: the sum of the squared distances to its n - f - 2 nearest. n >= f + 3.

    Distances are added from the smallest to the largest, so the order of silos changes no bit.

    >>> line = np.array([[0.0], [1.0], [3.0], [100.0], [101.0]])
    >>> krum_scores(line @ line.T, f=1).tolist()
    [10.0, 5.0, 13.0, 9410.0, 9605.0]
    """
    distances = squared_distances(gram)
    np.fill_diagonal(distances, np.inf)  # no silo is its own neighbour
    nearest = np.sort(distances, axis=1)[:, : len(gram) - f - 2]
    scores: Factors = nearest.sum(axis=1)
    return scores


def krum_factors(settings: Settings, gram: Gram, weights: ArrayLike) -> Factors:  # noqa: ARG001
    """1 for the silo with the smallest score (of several the first), 0 for the others.

    >>> line = np.array([[0.0], [1.0], [3.0], [100.0], [101.0]])
    >>> krum_factors({"f": 1}, line @ line.T, [1] * 5).tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0]
    """
    return _mean_of_best(krum_scores(gram, int(settings["f"])), 1)


def multi_krum_factors(settings: Settings, gram: Gram, weights: ArrayLike) -> Factors:  # noqa: ARG001
    """1 / (n - f) for the n - f silos with the smallest scores, 0 for the others.

    >>> line = np.array([[0.0], [1.0], [3.0], [4.0], [101.0]])
    >>> multi_krum_factors({"f": 1}, line @ line.T, [1] * 5).tolist()
    [0.25, 0.25, 0.25, 0.25, 0.0]
    """
    f = int(settings["f"])
    return _mean_of_best(krum_scores(gram, f), len(gram) - f)


def _mean_of_best(scores: Factors, count: int) -> Factors:
    factors = np.zeros(len(scores))
    factors[np.argsort(scores, kind="stable")[:count]] = 1 / count
    return factors


def _needs(name: str, settings: Settings) -> Need:
    f = int(settings["f"])
    least = 2 * f + 3
    return Need(
        least,
        f"{name} with f = {f} needs the updates of n >= 2f + 3 = {least} silos (Blanchard et al. 2017)",
        "n silos tolerate f = (n - 3) // 2 here: 5 tolerate 1, 4 none. geometric-median tolerates (n - 1) // 2: 1 of 4",
    )


_F = Setting("f", 1.0, at_least=0.0, whole=True)

KRUM = Rule(
    name="krum",
    step=fedavg_step,
    settings=(_F,),
    combine=WeightGiving(krum_factors),
    needs=partial(_needs, "krum"),
)
MULTI_KRUM = Rule(
    name="multi-krum",
    step=fedavg_step,
    settings=(_F,),
    combine=WeightGiving(multi_krum_factors),
    needs=partial(_needs, "multi-krum"),
)
