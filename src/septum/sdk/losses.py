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


def squared(parameters: Parameters, x: Float32, y: Float32, out: Mapping[str, Float32]) -> None:
    """Gradients of (prediction - y)^2 / 2, for the predictions x @ weight[0] + bias[0] of a linear model.

    >>> p = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    >>> out = {"weight": np.empty((1, 1, 2), np.float32), "bias": np.empty((1, 1), np.float32)}
    >>> squared(p, np.float32([[2, 4]]), np.float32([3]), out)  # 3 too low
    >>> out["weight"].tolist(), out["bias"].tolist()
    ([[[-6.0, -12.0]]], [[-3.0]])
    """
    residual = x @ parameters["weight"][0] + parameters["bias"] - y  # (batch,)
    np.multiply(residual[:, None], x, out=out["weight"][:, 0])
    out["bias"][:, 0] = residual


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


def perceptron(parameters: Parameters, x: Float32, y: Float32, out: Mapping[str, Float32]) -> None:
    """Gradients of the logistic loss of a network of dense layers with tanh between them and one logit at the end.

    Layer k = 0, 1, ... has the tensors `layers.k.weight` (outputs, inputs) and `layers.k.bias` (outputs,). tanh: its
    bounded activations keep per-example gradients short (Papernot et al. 2021).

    >>> layer = lambda *values: np.float32(values)
    >>> p = {"layers.0.weight": layer([1]), "layers.0.bias": layer(0), "layers.1.weight": layer([1]),
    ...      "layers.1.bias": layer(0)}
    >>> out = {name: np.empty((1, *tensor.shape), np.float32) for name, tensor in p.items()}
    >>> perceptron(p, np.float32([[0]]), np.float32([1]), out)  # the logit is 0, so the residual is -1/2
    >>> out["layers.1.bias"].tolist(), out["layers.0.bias"].tolist()
    ([[-0.5]], [[-0.5]])
    """
    depth = sum(name.endswith(".weight") for name in parameters)
    inputs = [x]  # of each layer: (batch, its inputs)
    for k in range(depth - 1):
        inputs.append(np.tanh(inputs[k] @ parameters[f"layers.{k}.weight"].T + parameters[f"layers.{k}.bias"]))
    last = depth - 1
    logits = inputs[last] @ parameters[f"layers.{last}.weight"][0] + parameters[f"layers.{last}.bias"]
    error = ((1 + np.tanh(logits / 2)) / 2 - y)[:, None]  # (batch, the layer's outputs): d loss / d what tanh gets
    for k in range(last, -1, -1):
        np.multiply(error[:, :, None], inputs[k][:, None, :], out=out[f"layers.{k}.weight"])
        out[f"layers.{k}.bias"][...] = error
        if k:
            error = (error @ parameters[f"layers.{k}.weight"]) * (1 - inputs[k] ** 2)
