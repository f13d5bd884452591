"""How does the server step the model with an optimiser of its own? FedAvgM, FedAdagrad, FedAdam, FedYogi.

Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2, where the mean delta stands for the negative
gradient. As in the paper there is no bias correction, and the variance starts at v_{-1} = tau^2. FedAvgM is server SGD
with momentum, Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification". Each operation is rounded to float32 in the order in which it is written here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from septum.algorithms.rule import Rule, Setting, Settings, State, Step, Vector


def fedavgm_step(settings: Settings, base: Vector, delta: Vector, state: State) -> tuple[Vector, dict[str, Vector]]:
    """m_t = beta m_{t-1} + Delta_t;  x_{t+1} = x_t + eta m_t.

    >>> given, still = {"lr": 1.0, "momentum": 0.5}, {"momentum": np.float32([2])}
    >>> fedavgm_step(given, np.float32([1]), np.float32([3]), still)
    (array([5.], dtype=float32), {'momentum': array([4.], dtype=float32)})
    """
    momentum: Vector = np.float32(settings["momentum"]) * state["momentum"] + delta
    model: Vector = base + np.float32(settings["lr"]) * momentum
    return model, {"momentum": momentum}


def fedadagrad_variance(settings: Settings, variance: Vector, square: Vector) -> Vector:  # noqa: ARG001
    """v_t = v_{t-1} + Delta_t^2."""
    return variance + square


def fedadam_variance(settings: Settings, variance: Vector, square: Vector) -> Vector:
    """v_t = beta_2 v_{t-1} + (1 - beta_2) Delta_t^2."""
    beta = settings["beta_2"]
    following: Vector = np.float32(beta) * variance + np.float32(1 - beta) * square
    return following


def fedyogi_variance(settings: Settings, variance: Vector, square: Vector) -> Vector:
    """v_t = v_{t-1} - (1 - beta_2) Delta_t^2 sign(v_{t-1} - Delta_t^2)."""
    change: Vector = np.float32(1 - settings["beta_2"]) * square * np.sign(variance - square)
    return variance - change


def adaptive_step(next_variance: Callable[[Settings, Vector, Vector], Vector]) -> Step:
    """The step that FedAdagrad, FedAdam and FedYogi share; they differ in how the variance moves."""

    def step(settings: Settings, base: Vector, delta: Vector, state: State) -> tuple[Vector, dict[str, Vector]]:
        """m_t = beta_1 m_{t-1} + (1 - beta_1) Delta_t;  x_{t+1} = x_t + eta m_t / (sqrt(v_t) + tau)."""
        beta, lr, tau = settings["beta_1"], np.float32(settings["lr"]), np.float32(settings["tau"])
        momentum: Vector = np.float32(beta) * state["momentum"] + np.float32(1 - beta) * delta
        variance = next_variance(settings, state["variance"], delta * delta)
        spread: Vector = np.sqrt(variance) + tau
        model: Vector = base + lr * momentum / spread
        return model, {"momentum": momentum, "variance": variance}

    return step


def start_momentum(settings: Settings, width: int) -> dict[str, Vector]:  # noqa: ARG001
    """m_{-1} = 0."""
    return {"momentum": np.zeros(width, np.float32)}


def start_adaptive(settings: Settings, width: int) -> dict[str, Vector]:
    """m_{-1} = 0 and v_{-1} = tau^2, the smallest start that the paper's analysis allows (v_{-1} >= tau^2)."""
    return start_momentum(settings, width) | {"variance": np.full(width, settings["tau"] ** 2, np.float32)}


def _adaptive(
    name: str, next_variance: Callable[[Settings, Vector, Vector], Vector], settings: tuple[Setting, ...]
) -> Rule:
    return Rule(
        name=name,
        step=adaptive_step(next_variance),
        settings=settings,
        state_names=("momentum", "variance"),
        start=start_adaptive,
    )


_LR = Setting("lr", 0.01, above=0.0)
_BETA_1 = Setting("beta_1", 0.9, at_least=0.0, below=1.0)
_BETA_2 = Setting("beta_2", 0.99, at_least=0.0, below=1.0)
_TAU = Setting("tau", 1e-3, above=0.0)

FEDAVGM = Rule(
    name="fedavgm",
    step=fedavgm_step,
    settings=(Setting("lr", 1.0, above=0.0), Setting("momentum", 0.9, at_least=0.0, below=1.0)),
    state_names=("momentum",),
    start=start_momentum,
)
# beta_1 = 0 is what the paper ran FedAdagrad with.
FEDADAGRAD = _adaptive("fedadagrad", fedadagrad_variance, (_LR, Setting("beta_1", 0.0, at_least=0.0, below=1.0), _TAU))
FEDADAM = _adaptive("fedadam", fedadam_variance, (_LR, _BETA_1, _BETA_2, _TAU))
FEDYOGI = _adaptive("fedyogi", fedyogi_variance, (_LR, _BETA_1, _BETA_2, _TAU))
