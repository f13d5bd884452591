"""Does this patient have heart disease? Logistic regression over four hospitals that share no record.

Whole federation: septum demo    One process: septum simulate examples/heart_disease

Rows, features and split are those of the published protocol (FLamby's Fed-Heart-Disease, NeurIPS 2022), so figures can
be compared. One thing differs: inputs are standardised by the mean and deviation over all hospitals, not by each
hospital's own. Its own would erase the very difference between hospitals that tells much about the disease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from septum import App, Array, Context, Data, Parameters, Shape, Split, Table, hyper, losses, optim, split, stats

if TYPE_CHECKING:
    from numpy.random import Generator

app = App("heart-disease")

NUMBERS = ("age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak")
CODES = {"cp": (2, 3, 4), "restecg": (1, 2)}  # one input each; the first code of a column is the case of all zeros


@app.hyper
class Hyper:
    """What a run may change."""

    rounds: int = hyper(50, min=1, max=1000, help="how often the hospitals train and are averaged")
    epochs: int = hyper(1, min=1, max=100, help="passes over a hospital's rows in each round")
    batch_size: int = hyper(4, min=1, max=1024, help="rows a step")
    lr: float = hyper(1e-3, min=1e-6, max=1.0, help="step size")
    optimizer: str = hyper("adam", choices=("adam", "sgd"), help="how a hospital steps")
    weight_decay: float = hyper(0.0, min=0.0, max=1.0, help="pull of the weights towards zero (L2)")
    seed: int = hyper(42, min=0, max=2**31 - 1, help="initial model and order of the rows; the split is fixed")
    backend: str = hyper("numpy", choices=("numpy", "torch"), help="torch needs septum[torch] in each silo")


@app.inputs
def inputs(table: Table, h: Hyper) -> dict[str, Array]:  # noqa: ARG001  no hyper-parameter changes the protocol's rows
    """13 inputs; what has no value stays without one, and gets no prediction."""
    columns: dict[str, Array] = {name: table[name] for name in NUMBERS}
    for name, codes in CODES.items():
        missing = np.isnan(table[name])
        columns |= {f"{name}_{code}": np.where(missing, np.nan, table[name] == code) for code in codes}
    return columns


@app.data
def load(table: Table, h: Hyper) -> Split:
    """Rows without a missing value, 13 inputs, two thirds for training."""
    rows = table.complete([*NUMBERS, *CODES, "num"])
    data = Data.of(inputs(rows, h), rows["num"] > 0)  # Hungary has no grades, so any disease is 1
    by_class = min(sum(data.y), sum(1 - data.y)) > 2  # the protocol's rule for small hospitals
    train, test = split.stratified(data.y, 0.66, seed=43) if by_class else split.shuffled(len(data), 0.66, seed=43)
    return Split(data.take(train), data.take(test))


scale = app.statistics(stats.mean_and_std())  # summed over the hospitals' train rows, once, before round 1


@app.initial
def initial(shape: Shape, h: Hyper, rng: Generator) -> Parameters:  # noqa: ARG001
    """Weights near zero: every patient starts at even odds, and 50 rounds of small steps need not undo chance."""
    return {
        "weight": rng.normal(0.0, 0.01, (1, len(shape))).astype(np.float32),
        "bias": np.zeros(1, np.float32),
    }


@app.train
def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:
    """One round in one hospital."""
    steps = optim.Steps(epochs=h.epochs, batch_size=h.batch_size, lr=h.lr, weight_decay=h.weight_decay)
    if h.backend == "torch":
        return train_with_torch(p, scale(data), h, ctx, steps)
    step = {"adam": optim.adam, "sgd": optim.sgd}[h.optimizer]
    return step(p, losses.logistic, scale(data), ctx, steps)


@app.predict
def predict(p: Parameters, data: Data) -> Array:
    """The log-odds of disease, one a row."""
    logits: Array = scale(data).x @ p["weight"][0] + p["bias"]
    return logits


def train_with_torch(p: Parameters, data: Data, h: Hyper, ctx: Context, steps: optim.Steps) -> Parameters:
    """The same round with torch: same batches, same arithmetic up to rounding."""
    import torch  # an optional extra

    from septum.sdk import torch as septum_torch

    module = torch.nn.Linear(len(data.features), 1)
    septum_torch.load(module, p)
    optimizer = torch.optim.Adam if h.optimizer == "adam" else torch.optim.SGD
    return septum_torch.train(module, torch.nn.functional.binary_cross_entropy_with_logits, data, ctx, steps, optimizer)
