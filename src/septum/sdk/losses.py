"""Which losses can `optim` minimise? Those that give the gradient of each example on its own.

Per-example gradients are what a silo can clip by itself: a batch's mean hides which example was large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from septum.sdk.data import Float32, Parameters

Loss: TypeAlias = Callable[[Parameters, Float32, Float32, Mapping[str, Float32]], None]
"""`loss(parameters, x, y, out)` writes d loss_i / d tensor into `out[tensor][i]`, for the examples i of one batch.

x (batch, features), y (batch,), out[name] (batch, *tensor's shape). Every element of `out` must be written.
"""


def logistic(parameters: Parameters, x: Float32, y: Float32, out: Mapping[str, Float32]) -> None:
    """Gradients of log(1 + exp(-z)) with z the logit towards the label, for the logits x @ weight[0] + bias[0].

    The tensors are those of a linear layer with one output: `weight` (1, features) and `bias` (1,).

    >>> p = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    >>> out = {"weight": np.empty((1, 1, 2), np.float32), "bias": np.empty((1, 1), np.float32)}
    >>> logistic(p, np.float32([[2, 4]]), np.float32([1]), out)  # probability 1/2, so -1/2 times the inputs
    >>> out["weight"].tolist(), out["bias"].tolist()
    ([[[-1.0, -2.0]]], [[-0.5]])
    """
    residual = x @ parameters["weight"][0]  # (batch,)
    residual += parameters["bias"]
    # sigmoid(z) = (1 + tanh(z / 2)) / 2, which overflows for no z
    residual *= 0.5
    np.tanh(residual, out=residual)
    residual += 1.0
    residual *= 0.5
    residual -= y
    np.multiply(residual[:, None], x, out=out["weight"][:, 0])
    out["bias"][:, 0] = residual
