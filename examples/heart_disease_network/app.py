"""Does this patient have heart disease? A small torch network over four hospitals that share no record.

One process: septum simulate examples/heart_disease_network
With differential privacy, which trains the same network by the list in septum.toml: --target-epsilon 5

Rows, features and split are those of examples/heart_disease, whose data it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from septum import App, Array, Context, Data, Parameters, Shape, Split, Table, hyper, optim, split, stats
from septum.sdk import torch as septum_torch

if TYPE_CHECKING:
    from numpy.random import Generator

app = App("heart-disease-network")

NUMBERS = ("age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak")
CODES = {"cp": (2, 3, 4), "restecg": (1, 2)}  # one input each; the first code of a column is the case of all zeros


@app.hyper
class Hyper:
    """What a run may change; with differential privacy septum trains, by the rounds alone."""

    rounds: int = hyper(50, min=1, max=1000, help="how often the hospitals train and are averaged")
    epochs: int = hyper(1, min=1, max=100, help="passes over a hospital's rows in each round")
    batch_size: int = hyper(16, min=1, max=1024, help="rows a step")
    lr: float = hyper(1e-3, min=1e-6, max=1.0, help="step size")
    seed: int = hyper(42, min=0, max=2**31 - 1, help="initial model and order of the rows; the split is fixed")


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


def network(inputs: int) -> nn.Module:
    """The network; septum.toml says the same under [privacy], layer by layer."""
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, 1))


@app.initial
def initial(shape: Shape, h: Hyper, rng: Generator) -> Parameters:  # noqa: ARG001
    """As torch begins, by the plan's seed."""
    torch.manual_seed(int(rng.integers(2**63)))
    return septum_torch.parameters(network(len(shape)))


@app.train
def train(p: Parameters, data: Data, h: Hyper, ctx: Context) -> Parameters:
    """One round in one hospital, in a run without differential privacy."""
    module = network(len(data.features))
    septum_torch.load(module, p)
    steps = optim.Steps(epochs=h.epochs, batch_size=h.batch_size, lr=h.lr)
    loss = nn.functional.binary_cross_entropy_with_logits
    return septum_torch.train(module, loss, scale(data), ctx, steps, torch.optim.Adam)


@app.predict
def predict(p: Parameters, data: Data) -> Array:
    """The log-odds of disease, one a row."""
    module = network(len(data.features))
    septum_torch.load(module, p)
    with torch.no_grad():
        logits: Array = module(torch.tensor(scale(data).x))[:, 0].numpy()
    return logits
