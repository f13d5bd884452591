"""How fast does a model of any size travel? Training moves every parameter by one number, and nothing else.

The number differs by silo and round, so no two updates are the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from septum import App, Array, Context, Data, Parameters, Shape, Split, Table, hyper

if TYPE_CHECKING:
    from numpy.random import Generator

app = App("echo")

FLOATS_A_MB = 250_000  # 10^6 bytes
LAYER_FLOATS = 4_000_000


@app.hyper
class Hyper:
    """What a run may change."""

    rounds: int = hyper(5, min=1, max=1000, help="how often the model goes out and comes back")
    mb: int = hyper(100, min=1, max=2000, help="size of the model, 10^6 bytes")


@app.data
def load(table: Table, h: Hyper) -> Split:  # noqa: ARG001
    """Some rows to train with, some to test."""
    data = Data.of({"x": table["x"]}, table["y"])
    half = len(data) // 2
    return Split(data.take(np.arange(half)), data.take(np.arange(half, len(data))))


@app.initial
def initial(shape: Shape, h: Hyper, rng: Generator) -> Parameters:  # noqa: ARG001
    """A model of the wanted size, in layers."""
    left = h.mb * FLOATS_A_MB
    layers: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}
    while left:
        size = min(left, LAYER_FLOATS)
        layers[f"layer{len(layers):03}"] = np.zeros(size, np.float32)
        left -= size
    return layers


@app.train
def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:  # noqa: ARG001
    """Move every parameter a little, in place: the parameters are this function's own."""
    by = np.float32(ctx.rng.uniform(0.5, 1.0))
    for layer in p.values():
        layer += by
    return p


@app.predict
def predict(p: Parameters, data: Data) -> Array:
    """Some number a row."""
    logits: Array = data.x[:, 0] * p["layer000"][0]
    return logits
