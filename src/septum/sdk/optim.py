"""How does `train` minimise a loss over a silo's rows without a framework: Adam or SGD over minibatches?

Adam: Kingma and Ba 2015, algorithm 1. Weight decay is added to the gradient (L2), as torch.optim.Adam and SGD do. Under
FedProx the term mu (w - base) is added too. Parameters are one flat vector during the loop, and a loss sees it through
views by name: for small models a step costs what a few numpy calls cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from septum.algorithms.fedprox import proximal_gradient
from septum.errors import AppError
from septum.sdk.data import Context, Data, Float32, Integers, Parameters
from septum.sdk.losses import Loss

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # the paper's defaults


@dataclass(frozen=True, slots=True)
class Steps:
    """How one round of local training goes: passes over the rows, rows a batch, step size, L2 weight decay."""

    epochs: int = 1
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise AppError(f"optim: epochs is {self.epochs}, batch_size is {self.batch_size}; both must be 1 or more")
        if not (self.lr > 0 and math.isfinite(self.lr) and 0 <= self.weight_decay < math.inf):
            raise AppError(
                f"optim: lr is {self.lr}, it must be above 0; weight_decay is {self.weight_decay}, 0 or more"
            )


class Rule(Protocol):
    """Moves `vector` in place against `gradient`, both (width,). `gradient` may be overwritten."""

    def __call__(self, vector: Float32, gradient: Float32) -> None:
        """Take one step."""


def adam(parameters: Parameters, loss: Loss, data: Data, context: Context, steps: Steps) -> dict[str, Float32]:
    """Train with Adam; its moments start at zero in each round, because the model that they describe was replaced.

    >>> from septum.sdk import harness, losses
    >>> data = Data.of({"x": [1, -1, 2, -2]}, [1, 0, 1, 0])
    >>> zeros = {"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    >>> context = Context(harness.rng(0), 1, "a", base=zeros)
    >>> float(adam(zeros, losses.logistic, data, context, Steps(lr=0.5, batch_size=4))["weight"][0, 0])
    0.5
    """
    return _minimise(parameters, loss, data, context, steps, _adam_rule(_width(parameters), steps.lr))


def sgd(parameters: Parameters, loss: Loss, data: Data, context: Context, steps: Steps) -> dict[str, Float32]:
    """Train with plain stochastic gradient descent."""
    rate = np.float32(steps.lr)

    def step(vector: Float32, gradient: Float32) -> None:
        np.multiply(gradient, rate, out=gradient)
        np.subtract(vector, gradient, out=vector)

    return _minimise(parameters, loss, data, context, steps, step)


def batches(rows: int, steps: Steps, rng: np.random.Generator) -> Iterator[Integers]:
    """The row numbers of each batch of a round: per epoch a new order, the last batch may be smaller.

    >>> [len(batch) for batch in batches(10, Steps(epochs=2, batch_size=4), np.random.default_rng(0))]
    [4, 4, 2, 4, 4, 2]
    """
    for _ in range(steps.epochs):
        order = rng.permutation(rows)
        for start in range(0, rows, steps.batch_size):
            yield order[start : start + steps.batch_size]


def _minimise(
    parameters: Parameters, loss: Loss, data: Data, context: Context, steps: Steps, step: Rule
) -> dict[str, Float32]:
    vector = np.concatenate([parameters[name].ravel() for name in parameters], dtype=np.float32)  # (width,)
    named = _views(vector[None], parameters)
    own = {name: view[0, ...] for name, view in named.items()}  # `...` keeps a scalar tensor a view
    anchored = [name for name in parameters if name in context.base]  # private parameters have no anchor
    base = {name: context.base[name] for name in anchored} if context.proximal_mu else {}
    free = {name: np.zeros(own[name].size, np.float32) for name in own if name not in base}
    gradient = np.empty_like(vector)
    blocks: dict[int, tuple[Float32, dict[str, Float32], Float32]] = {}  # one for full batches, one for the last
    for rows in batches(len(data), steps, context.rng):
        size = len(rows)
        if size not in blocks:
            block = np.zeros((size, vector.size), np.float32)
            blocks[size] = (block, _views(block, parameters), np.full(size, 1.0 / size, np.float32))
        block, out, share = blocks[size]
        loss(own, data.x[rows], data.y[rows], out)
        np.dot(share, block, out=gradient)  # the mean over the batch
        if steps.weight_decay:
            gradient += np.float32(steps.weight_decay) * vector
        if base:
            pull = proximal_gradient({name: own[name] for name in base}, base, context.proximal_mu)
            gradient += np.concatenate([free[name] if name in free else pull[name].ravel() for name in own])
        step(vector, gradient)
    return {name: view.copy() for name, view in own.items()}


def _adam_rule(width: int, lr: float) -> Rule:
    first, second, scratch = np.zeros(width, np.float32), np.zeros(width, np.float32), np.empty(width, np.float32)
    beta_1, rest_1 = np.float32(BETA_1), np.float32(1 - BETA_1)
    beta_2, rest_2, epsilon = np.float32(BETA_2), np.float32(1 - BETA_2), np.float32(EPSILON)
    power_1 = power_2 = 1.0

    def step(vector: Float32, gradient: Float32) -> None:
        nonlocal power_1, power_2
        power_1, power_2 = power_1 * BETA_1, power_2 * BETA_2
        np.multiply(first, beta_1, out=first)
        np.multiply(gradient, rest_1, out=scratch)
        np.add(first, scratch, out=first)
        np.multiply(second, beta_2, out=second)
        np.multiply(gradient, gradient, out=gradient)
        np.multiply(gradient, rest_2, out=gradient)
        np.add(second, gradient, out=second)
        np.sqrt(second, out=scratch)
        np.multiply(scratch, np.float32(1 / math.sqrt(1 - power_2)), out=scratch)
        np.add(scratch, epsilon, out=scratch)
        np.divide(first, scratch, out=scratch)
        np.multiply(scratch, np.float32(lr / (1 - power_1)), out=scratch)
        np.subtract(vector, scratch, out=vector)

    return step


def _views(block: Float32, parameters: Parameters) -> dict[str, Float32]:
    """Named windows (rows, *tensor's shape) into a block (rows, width): writing them writes the block."""
    views, start = {}, 0
    for name, tensor in parameters.items():
        views[name] = block[:, start : start + tensor.size].reshape(len(block), *tensor.shape)
        start += tensor.size
    return views


def _width(parameters: Mapping[str, Float32]) -> int:
    return sum(tensor.size for tensor in parameters.values())
