"""A network of one hidden layer, of any size, that trains one epoch a round: what a model of so many parameters costs.

Its inputs are made up from the one column of the data, for it is only about the arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from septum import App, Array, Context, Data, Parameters, Shape, Split, Table, hyper

if TYPE_CHECKING:
    from numpy.random import Generator

app = App("dense")

INPUTS = 98  # a hidden unit has so many weights, a bias, and one weight to the output
BATCH = 32


@app.hyper
class Hyper:
    """What a run may change."""

    rounds: int = hyper(5, min=1, max=1000, help="how often the model goes out and comes back")
    parameters: int = hyper(100_000, min=100, max=10_000_000, help="size of the model")
    lr: float = hyper(0.01, min=1e-6, max=1, help="learning rate")


@app.data
def load(table: Table, h: Hyper) -> Split:  # noqa: ARG001
    """Half of the rows to train with, half to test."""
    data = Data.of({"x": table["x"]}, table["y"])
    half = len(data) // 2
    return Split(data.take(np.arange(half)), data.take(np.arange(half, len(data))))


@app.initial
def initial(shape: Shape, h: Hyper, rng: Generator) -> Parameters:  # noqa: ARG001
    """Small weights."""
    hidden = h.parameters // (INPUTS + 2)
    inner = (rng.normal(size=(INPUTS, hidden)) / 10).astype(np.float32)
    return {"inner": inner, "bias": np.zeros(hidden, np.float32), "outer": np.full(hidden, 0.01, np.float32)}


@app.train
def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:
    """One epoch of stochastic gradient descent on the logistic loss."""
    x, y, rate = _inputs(data), data.y.astype(np.float32), np.float32(h.lr)
    order = ctx.rng.permutation(len(y))
    for start in range(0, len(y), BATCH):
        rows = order[start : start + BATCH]
        active = np.tanh(x[rows] @ p["inner"] + p["bias"])  # (batch, hidden)
        slope = (1 / (1 + np.exp(-(active @ p["outer"]))) - y[rows]).astype(np.float32) / len(rows)
        back = slope[:, None] * p["outer"] * (1 - active * active)
        p["outer"] -= rate * (slope @ active)
        p["inner"] -= rate * (x[rows].T @ back)
        p["bias"] -= rate * back.sum(axis=0)
    return p


@app.predict
def predict(p: Parameters, data: Data) -> Array:
    """The logits."""
    logits: Array = np.tanh(_inputs(data) @ p["inner"] + p["bias"]) @ p["outer"]
    return logits


def _inputs(data: Data) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    made: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = np.sin(data.x[:, :1] * np.arange(1, INPUTS + 1))
    return made.astype(np.float32)
