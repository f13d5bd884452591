"""A tiny app with a head of each silo's own, on which what it adds to the shared body depends."""

from __future__ import annotations

import numpy as np

from septum import App, Array, Context, Data, Parameters, Shape, Split, Table, hyper, stats

app = App("private")


@app.hyper
class Hyper:
    rounds: int = hyper(3, min=1)
    width: int = hyper(8, min=8, help="numbers in each of the two tensors; 40,000 of them no longer fit into a message")
    carries: bool = hyper(True, help="a state besides the head")


@app.data
def load(table: Table, h: Hyper) -> Split:
    data = Data.of({"x": table["x"]}, table["y"])
    half = len(data) // 2
    return Split(data.take(range(half)), data.take(range(half, len(data))))


scale = app.statistics(stats.mean_and_std())


@app.initial
def initial(shape: Shape, h: Hyper, rng: np.random.Generator) -> Parameters:
    return {"body.w": rng.standard_normal(h.width, np.float32), "head.w": rng.standard_normal(h.width, np.float32)}


@app.train
def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:
    times = np.float32(1)
    if h.carries:
        times = np.float32(ctx.state.get("times", np.zeros(1))[0] + 1)
        ctx.state["times"] = np.array([float(times)])
    head = p["head.w"] * np.float32(0.9) + ctx.rng.standard_normal(h.width, np.float32) * np.float32(len(data))
    return {"body.w": p["body.w"] + times * np.tanh(p["head.w"]), "head.w": head}


@app.predict
def predict(p: Parameters, data: Data) -> Array:
    return scale(data).x[:, 0] * p["body.w"][0] + p["head.w"][0]
