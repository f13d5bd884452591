"""Who falls ill within a year? Logistic regression over silos that share no record. Replace it by your own model.

Try it: septum simulate .    Check it: septum app check .    Package it: septum app build .
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from septum import App, Array, Context, Data, Parameters, Shape, Split, Table, hyper, losses, optim, split, stats

if TYPE_CHECKING:
    from numpy.random import Generator

app = App("my-app")

FEATURES = ("age", "dose", "smoker")
TARGET = "ill"


@app.hyper
class Hyper:
    """What a run may change, with its default: forms, --set and all checks are made from it."""

    rounds: int = hyper(20, min=1, max=1000, help="how often the silos train and are averaged")
    epochs: int = hyper(1, min=1, max=100, help="passes over a silo's rows in each round")
    batch_size: int = hyper(16, min=1, max=4096, help="rows a step")
    lr: float = hyper(0.01, min=1e-6, max=1.0, help="step size")
    seed: int = hyper(0, min=0, max=2**31 - 1, help="initial model and order of the rows")


@app.inputs  # what one row is to the model, also where nobody knows its target: for predictions after training
def inputs(table: Table, h: Hyper) -> dict[str, Array]:  # noqa: ARG001
    """The features as they are; a row with a gap gets no prediction."""
    return {name: table[name] for name in FEATURES}


@app.data  # in the silo: its table becomes train and test rows
def load(table: Table, h: Hyper) -> Split:
    """Rows without a gap, three quarters of them for training."""
    rows = table.complete([*FEATURES, TARGET])
    data = Data.of(inputs(rows, h), rows[TARGET])
    train, test = split.stratified(data.y, 0.75, seed=h.seed)
    return Split(data.take(train), data.take(test))


scale = app.statistics(stats.mean_and_std())  # summed over the silos' train rows, once, before round 1


@app.initial  # sees the number of features, never a record
def initial(shape: Shape, h: Hyper, rng: Generator) -> Parameters:  # noqa: ARG001
    """The model before round 1, the same in each silo."""
    return {"weight": np.zeros((1, len(shape)), np.float32), "bias": np.zeros(1, np.float32)}


@app.train  # one round in one silo; any framework will do
def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:
    """From the parameters of all to those that these rows ask for."""
    steps = optim.Steps(epochs=h.epochs, batch_size=h.batch_size, lr=h.lr)
    return optim.adam(p, losses.logistic, scale(data), ctx, steps)


@app.predict  # septum derives ROC-AUC, accuracy and log loss from it
def predict(p: Parameters, data: Data) -> Array:
    """The log-odds of falling ill, one a row."""
    logits: Array = scale(data).x @ p["weight"][0] + p["bias"]
    return logits
