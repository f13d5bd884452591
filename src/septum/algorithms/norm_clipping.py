"""How far may one silo's update move the model? The mean of updates that are shortened to a norm.

Sun et al. 2019, "Can You Really Backdoor Federated Learning?", norm thresholding of updates: the mean over the silos of
x_i / max(1, |x_i| / M), here with M = `norm`. The coordinator does it to whatever arrives, so that a silo whose agent
is not the shipped one, and does not keep to the plan's `clip_norm`, is clipped all the same.

Row weights are not used: with them, a silo that states many rows would have all the influence that clipping denies it.

What it promises is a bound of influence and not a breakdown point: k attackers of n move the mean by at most 2 k M / n,
however long their updates are, and the step by no more than M even if all are attackers. Unlike a median it does follow
them, in every round, by that much. Updates that are too long when all is well are shortened, too: `norm` has to be
chosen for each task, a little above the norm of honest updates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from septum.algorithms.fedavg import fedavg_step
from septum.algorithms.rule import Factors, Gram, Rule, Setting, Settings, WeightGiving


def norm_clipping_factors(settings: Settings, gram: Gram, weights: ArrayLike) -> Factors:  # noqa: ARG001
    """(1 / n) / max(1, |x_i| / norm) for each silo.

    >>> norm_clipping_factors({"norm": 2}, np.diag([1.0, 16.0]), [1, 1]).tolist()  # of norms 1 and 4
    [0.5, 0.25]
    """
    norms = np.sqrt(np.diagonal(gram))
    factors: Factors = 1 / np.maximum(1, norms / settings["norm"]) / len(gram)
    return factors


NORM_CLIPPING = Rule(
    name="norm-clipping",
    step=fedavg_step,
    settings=(Setting("norm", 1.0, above=0.0),),
    combine=WeightGiving(norm_clipping_factors),
)
