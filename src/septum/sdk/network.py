"""How does each record get a gradient of its own from a network of declared layers? torch.func: vmap over grad.

A run with differential privacy imports torch here and nowhere else. Records are computed in places ("slots") of a batch
of fixed size, and nothing here reads across slots: what stands in one changes no bit of another. Which slot a record is
in may, for kernels treat the last rows of a block otherwise than the first (`privacy.dp_sgd` chooses it by the record).
All that torch computes on lies in memory of its own: how an array is aligned may change bits as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from septum.errors import MissingExtraError
from septum.sdk.data import Float32, Parameters
from septum.sdk.layers import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Gelu,
    GroupNorm,
    Layer,
    LayerNorm,
    Layers,
    Linear,
    MaxPool2d,
    Relu,
    Tanh,
    Unflatten,
    tensors_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from septum.sdk.losses import Loss

_PARTS = ("weight", "bias")


def gradients(layers: Layers) -> Loss:
    """The logistic loss of the network's one output, in the form of `septum.losses`. One thread from now on.

    Raises MissingExtraError where torch is not installed.

    >>> loss = gradients((Linear(1),))
    >>> p = {"0.weight": np.zeros((1, 2), np.float32), "0.bias": np.zeros(1, np.float32)}
    >>> out = {"0.weight": np.zeros((1, 1, 2), np.float32), "0.bias": np.zeros((1, 1), np.float32)}
    >>> loss(p, np.float32([[2, 4]]), np.float32([1]), out)  # as `losses.logistic`
    >>> out["0.weight"].tolist(), out["0.bias"].tolist()
    ([[[-1.0, -2.0]]], [[-0.5]])
    """
    _need_torch()
    import torch  # an optional extra

    torch.set_num_threads(1)  # more threads sum in another order, by how busy the machine is

    def of_one(parameters: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logit = _forward(layers, parameters, x[None])[0, 0]
        return torch.nn.functional.binary_cross_entropy_with_logits(logit, y)

    of_each = torch.func.vmap(torch.func.grad(of_one), in_dims=(None, 0, 0), randomness="error")

    def loss(parameters: Parameters, x: Float32, y: Float32, out: Mapping[str, Float32]) -> None:
        found = of_each({name: _own(tensor) for name, tensor in parameters.items()}, _own(x), _own(y))
        for name, place in out.items():
            place[...] = found[name].numpy()

    return loss


def logits(layers: Layers, parameters: Parameters, x: Float32) -> Float32:
    """The network's output for each record, (rows,)."""
    _need_torch()
    import torch  # as above

    with torch.no_grad():
        found = _forward(layers, {name: _own(tensor) for name, tensor in parameters.items()}, _own(x))
    made: Float32 = found[:, 0].numpy()
    return made


def initial(layers: Layers, features: int, generator: np.random.Generator) -> dict[str, Float32]:
    """The network before round 1: weights of variance 1 / inputs, biases 0; of a norm 1 and 0. Needs no torch."""
    made: dict[str, Float32] = {}
    for name, shape in tensors_of(layers, features).items():
        at, part = name.split(".")
        if part == "bias":
            made[name] = np.zeros(shape, np.float32)
        elif isinstance(layers[int(at)], GroupNorm | LayerNorm):
            made[name] = np.ones(shape, np.float32)
        else:
            made[name] = generator.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)
    return made


def _need_torch() -> None:
    try:
        import torch  # noqa: F401  as above
    except ImportError as error:
        raise MissingExtraError(
            "networks are trained by torch, which is not installed here", hint="pip install 'septum[torch]'"
        ) from error


def _own(array: Float32) -> Tensor:
    import torch  # as above

    return torch.tensor(array)  # a copy


def _forward(layers: Layers, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """(batch, features) to (batch, 1)."""
    for at, layer in enumerate(layers):
        x = _through(layer, {name: parameters[f"{at}.{name}"] for name in _PARTS if f"{at}.{name}" in parameters}, x)
    return x


def _through(layer: Layer, own: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """`own`: the layer's parameters."""
    from torch.nn import functional as f  # as above

    match layer:
        case Linear():
            x = f.linear(x, own["weight"], own["bias"])
        case Unflatten(channels, height, width):
            x = x.reshape(len(x), channels, height, width)
        case Conv2d(_, _, stride, padding):
            x = f.conv2d(x, own["weight"], own["bias"], stride, padding)
        case MaxPool2d(size):
            x = f.max_pool2d(x, size)
        case AvgPool2d(size):
            x = f.avg_pool2d(x, size)
        case GroupNorm(groups):
            x = f.group_norm(x, groups, own["weight"], own["bias"])
        case LayerNorm():
            x = f.layer_norm(x, x.shape[1:], own["weight"], own["bias"])
        case Flatten():
            x = x.flatten(1)
        case Relu():
            x = f.relu(x)
        case Tanh():
            x = f.tanh(x)
        case Gelu():
            x = f.gelu(x)
    return x
