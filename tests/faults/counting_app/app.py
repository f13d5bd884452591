"""A tiny app that leaves a trail: a line for each training, so that a test can count them."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from septum import App, Array, Context, Data, Parameters, Shape, Split, Table, hyper, stats

app = App("counting")
GATE_S = 60.0  # a gate that nobody opens fails the training


@app.hyper
class Hyper:
    rounds: int = hyper(3, min=1)
    width: int = hyper(4, min=4, help="parameters; 40,000 of them no longer fit into a message")
    lr: float = hyper(0.25, min=0.0)
    trail: str = hyper("", help="the file that gets a line for each training")
    gate: str = hyper("", help="training waits until this file exists")
    fails: str = hyper("", help="SILO ROUND: there the first attempt fails")
    carries: bool = hyper(True, help="what a silo adds depends on its own earlier rounds")
    overflow: int = hyper(0, help="the round whose updates no float32 can sum")
    memory_mb: int = hyper(0, min=0, help="what one training takes")
    hungry: str = hyper("", help="the silo that takes it")


@app.data
def load(table: Table, h: Hyper) -> Split:
    data = Data.of({"x": table["x"]}, table["y"])
    half = len(data) // 2
    return Split(data.take(range(half)), data.take(range(half, len(data))))


scale = app.statistics(stats.mean_and_std())


@app.initial
def initial(shape: Shape, h: Hyper, rng: np.random.Generator) -> Parameters:
    return {"w": np.zeros(h.width, np.float32)}


@app.train
def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:
    wait_for(h.gate)
    if h.trail:
        with Path(h.trail).open("a") as trail:
            trail.write(f"{ctx.silo} {ctx.round}\n")
    if h.fails == f"{ctx.silo} {ctx.round}":
        failed = Path(f"{h.trail}.failed")
        if not failed.exists():
            failed.touch()
            raise RuntimeError("this attempt was to fail")
    if h.memory_mb and ctx.silo == h.hungry:
        np.ones(h.memory_mb * 125_000)  # float64
    if h.overflow == ctx.round:
        return {"w": np.full_like(p["w"], 3e38)}
    times = 0.0
    if h.carries:
        times = float(ctx.state.get("times", np.zeros(1))[0]) + 1
        ctx.state["times"] = np.array([times])
    added = update(ctx.rng, h.width, len(data), h.lr) + np.float32(times)
    return {"w": p["w"] + added}


@app.predict
def predict(p: Parameters, data: Data) -> Array:
    return scale(data).x[:, 0] * p["w"][0]


def update(rng: np.random.Generator, width: int, rows: int, lr: float) -> Array:
    """What a training adds, if nothing is carried: of this silo (by its rows), in this round (by `rng`)."""
    return np.float32(lr * rows) + rng.standard_normal(width, np.float32)


def wait_for(gate: str) -> None:
    pause = threading.Event()
    waited_s = 0.0
    while gate and not Path(gate).exists():
        pause.wait(0.01)
        waited_s += 0.01
        if waited_s > GATE_S:
            raise RuntimeError(f"nobody opened {gate}")
