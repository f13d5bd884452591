"""Whose records are attacked? Four hospitals with an app as anybody would write it, and records of their own."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from septum.protocol.plan import AppRef, Masking, Plan
from septum.sdk.data import Data
from septum.sdk.package import digest_of
from septum.secagg.fixed_point import Scale

SILOS = ("east", "north", "south", "west")
FEATURES, HIDDEN, TEST_ROWS = 64, 16, 20
SCALE = Scale(len(SILOS), weight_cap=100, clip=1.0)
NAMES = tuple(f"f{number}" for number in range(FEATURES))

APP = f"""
import numpy as np
from septum import App, Data, Split, hyper, losses, optim

app = App("victim")
FEATURES = {list(NAMES)!r}

@app.hyper
class Hyper:
    rounds: int = hyper(1, min=1)
    epochs: int = hyper(1, min=1)
    lr: float = hyper(0.1, min=0.0)
    rows: int = hyper(1, min=1, help="train rows, the first of the file")
    hidden: int = hyper(0, min=0, help="units between; 0 is logistic regression")

@app.data
def load(table, h):
    data = Data.of({{name: table[name] for name in FEATURES}}, table["y"])
    return Split(data.take(range(h.rows)), data.take(range(h.rows, len(data))))

@app.initial
def initial(shape, h, rng):
    widths = [len(shape), h.hidden, 1] if h.hidden else [len(shape), 1]
    names = [f"layers.{{k}}." for k in range(2)] if h.hidden else [""]
    model = {{}}
    for name, inputs, outputs in zip(names, widths, widths[1:]):
        model[name + "weight"] = rng.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        model[name + "bias"] = np.zeros(outputs, np.float32)
    return model

@app.train
def train(p, data, h, ctx):
    loss = losses.perceptron if h.hidden else losses.logistic
    return optim.sgd(p, loss, data, ctx, optim.Steps(epochs=h.epochs, batch_size=len(data), lr=h.lr))

@app.predict
def predict(p, data):
    if "weight" in p:
        return data.x @ p["weight"][0] + p["bias"]
    inner = np.tanh(data.x @ p["layers.0.weight"].T + p["layers.0.bias"])
    return inner @ p["layers.1.weight"][0] + p["layers.1.bias"]
"""


def records(silo: str, rows: int) -> Data:
    """A silo's train rows: standardised measurements of patients, each with a label."""
    rng = np.random.default_rng([41, SILOS.index(silo)])
    x = rng.normal(size=(rows + TEST_ROWS, FEATURES))[:rows]
    return Data.of({name: x[:, at] for at, name in enumerate(NAMES)}, (x[:, 0] > 0).astype(float))


def write_files(folder: Path, rows: int) -> tuple[Path, Mapping[str, Path]]:
    """The app's folder, and each silo's file."""
    app = folder / "app"
    app.mkdir(parents=True)
    (app / "app.py").write_text(APP)
    columns = "\n".join(f"{name} = {{}}" for name in NAMES)
    leaves = '["parameters", "rows", "accuracy", "log_loss", "roc_auc"]'
    manifest = f"""
        app = "app:app"
        version = "1.0.0"
        [leaves]
        open = {leaves}
        [data.columns]
        y = {{ role = "target" }}
        """
    (app / "septum.toml").write_text(textwrap.dedent(manifest) + columns + "\n")
    files = {}
    for silo in SILOS:
        files[silo] = folder / f"{silo}.csv"
        with files[silo].open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow([*NAMES, "y"])
            train, test = records(silo, rows), records(silo, rows + TEST_ROWS).take(range(rows, rows + TEST_ROWS))
            for x, y in [*zip(train.x, train.y, strict=True), *zip(test.x, test.y, strict=True)]:
                lines.writerow([*(repr(float(value)) for value in x), int(y)])
    return app, files


def plan(app: Path, *, masked: bool, **hyper: int | float) -> Plan:
    """A run of one round over all four."""
    masking = Masking(max_update=SCALE.clip, max_weight=SCALE.weight_cap) if masked else None
    ref = AppRef("victim", "1.0.0", digest_of(app))
    rounds = int(hyper.get("rounds", 1))
    return Plan("p", ref, hyper, SILOS, rounds, quorum=3, seed=5, masking=masking)
