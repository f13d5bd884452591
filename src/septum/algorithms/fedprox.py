"""How does FedProx keep the silos from drifting apart? A proximal term in each silo's loss; the server is FedAvg.

Li et al. 2020, "Federated Optimization in Heterogeneous Networks", eq. 2:
h_k(w; w_t) = F_k(w) + (mu / 2) ||w - w_t||^2, where w_t is the global model at the start of the round.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from septum.algorithms.fedavg import fedavg_step
from septum.algorithms.rule import Rule, Setting, Settings, Vector
from septum.errors import TensorError


def proximal_gradient(
    parameters: Mapping[str, Vector], global_parameters: Mapping[str, Vector], mu: float
) -> dict[str, Vector]:
    """What a silo adds to the gradient of its own loss: mu (w - w_t), the gradient of (mu / 2) ||w - w_t||^2.

    Raises:
        TensorError: the two do not have the same tensors, by name and shape.

    >>> proximal_gradient({"w": np.float32([3, 1])}, {"w": np.float32([1, 1])}, mu=0.5)
    {'w': array([1., 0.], dtype=float32)}
    """
    _check_same_layout(parameters, global_parameters)
    scale = np.float32(mu)
    return {name: scale * (parameters[name] - global_parameters[name]) for name in parameters}


def _check_same_layout(parameters: Mapping[str, Vector], global_parameters: Mapping[str, Vector]) -> None:
    """Without it, numpy would broadcast a tensor of another shape into a gradient nobody meant."""
    different = sorted(parameters.keys() ^ global_parameters.keys())
    if different:
        raise TensorError(f"tensors {different} are in only one of the local and the global parameters")
    for name, tensor in parameters.items():
        if tensor.shape != global_parameters[name].shape:
            shapes = f"{tensor.shape} in the silo and {global_parameters[name].shape} in the global model"
            raise TensorError(f"tensor {name!r} has shape {shapes}")


def _mu(settings: Settings) -> float:
    return settings["mu"]


FEDPROX = Rule(name="fedprox", step=fedavg_step, settings=(Setting("mu", 0.01, at_least=0.0),), proximal_mu=_mu)
