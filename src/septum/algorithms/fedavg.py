"""How does FedAvg step the model? By the mean of the silos' deltas, weighted by rows.

McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", Algorithm 1:
w_{t+1} = sum_k (n_k / n) w^k_{t+1}. Written with deltas, w_t + sum_k (n_k / n) (w^k_{t+1} - w_t), it is the same.
"""

from __future__ import annotations

from septum.algorithms.rule import Rule, Settings, State, Vector


def fedavg_step(
    settings: Settings,  # noqa: ARG001  (the shape of `Step`; FedAvg has none)
    base: Vector,
    delta: Vector,
    state: State,  # noqa: ARG001
) -> tuple[Vector, dict[str, Vector]]:
    """The base plus the mean delta; no state.

    >>> import numpy as np
    >>> fedavg_step({}, np.float32([1, 2]), np.float32([0.5, -1]), {})[0]
    array([1.5, 1. ], dtype=float32)
    """
    return base + delta, {}


FEDAVG = Rule(name="fedavg", step=fedavg_step)
