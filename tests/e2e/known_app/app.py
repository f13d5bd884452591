"""An app whose every number is known to whoever has the data; one silo can be made to wait, in both kinds of work."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from septum import App, Array, Context, Data, Parameters, Shape, Split, Table, hyper, stats

app = App("known")
GATE_S = 60.0  # a gate that nobody opens fails the work


@app.hyper
class Hyper:
    rounds: int = hyper(2, min=1)
    width: int = hyper(10_000, min=1)
    waits: str = hyper("", help="the silo that waits")
    rows: int = hyper(0, help="how many rows it has")
    before_preparing: str = hyper("", help="the file that it waits for")
    before_training: str = hyper("", help="the file that it waits for then")


@app.data
def load(table: Table, h: Hyper) -> Split:
    data = Data.of({"x": table["x"]}, table["y"])
    if len(data) == h.rows:
        wait_for(h.before_preparing)
    half = len(data) // 2
    return Split(data.take(range(half)), data.take(range(half, len(data))))


scale = app.statistics(stats.mean_and_std())


@app.initial
def initial(shape: Shape, h: Hyper, rng: np.random.Generator) -> Parameters:
    return {"w": rng.standard_normal(h.width, np.float32)}


@app.train
def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:
    if ctx.silo == h.waits:
        wait_for(h.before_training)
    return {"w": p["w"] + ctx.rng.uniform(-0.5, 0.5, h.width).astype(np.float32)}


@app.predict
def predict(p: Parameters, data: Data) -> Array:
    return scale(data).x[:, 0] * p["w"][0]


def wait_for(gate: str) -> None:
    pause = threading.Event()
    waited_s = 0.0
    while gate and not Path(gate).exists():
        pause.wait(0.01)
        waited_s += 0.01
        if waited_s > GATE_S:
            raise RuntimeError(f"nobody opened {gate}")
