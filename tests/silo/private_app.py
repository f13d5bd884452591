"""A small app that declares a loss, with data: x falls for one class and rises for the other."""

from __future__ import annotations

from pathlib import Path

APP = """
import numpy as np
from septum import App, Data, Split, hyper, stats

app = App("small")

@app.hyper
class Hyper:
    rounds: int = hyper(2, min=1)

@app.data
def load(table, h):
    data = Data.of({"x": table["x"]}, table["y"])
    return Split(data.take(range(ROWS)), data.take(range(ROWS, len(data))))

scale = app.statistics(stats.mean_and_std())

@app.initial
def initial(shape, h, rng):
    return {"weight": np.zeros((1, len(shape)), np.float32), "bias": np.zeros(1, np.float32)}

@app.train
def train(p, data, h, ctx):
    raise RuntimeError("in a run with differential privacy nobody calls this")

@app.predict
def predict(p, data):
    return PREDICT
"""
PREDICT = 'scale(data).x @ p["weight"][0] + p["bias"]'
MANIFEST = """
app = "app:app"
version = "1.0.0"
[data.columns]
x = {}
y = { role = "target" }
[leaves]
open = ["parameters", "rows", "accuracy", "log_loss", "roc_auc", "statistics"]
[privacy]
loss = "logistic"
[privacy.ranges]
x = [0, 10]
"""


def write_private_app(folder: Path, rows: int = 60, predict: str = PREDICT) -> Path:
    """The folder, with the app in it; `rows` of the file are for training."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(APP.replace("ROWS", str(rows)).replace("PREDICT", predict))
    (folder / "septum.toml").write_text(MANIFEST)
    return folder


NETWORK_APP = """
import numpy as np
import torch
from septum import App, Data, Split, hyper, stats
from septum.sdk import torch as septum_torch

app = App("small")

@app.hyper
class Hyper:
    rounds: int = hyper(2, min=1)

@app.data
def load(table, h):
    data = Data.of({"x": table["x"]}, table["y"])
    return Split(data.take(range(60)), data.take(range(60, len(data))))

scale = app.statistics(stats.mean_and_std())

def network(inputs):
    return torch.nn.Sequential(torch.nn.Linear(inputs, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))

@app.initial
def initial(shape, h, rng):
    return septum_torch.parameters(network(len(shape)))

@app.train
def train(p, data, h, ctx):
    raise RuntimeError("in a run with differential privacy nobody calls this")

@app.predict
def predict(p, data):
    module = network(1)
    septum_torch.load(module, p)
    with torch.no_grad():
        return module(torch.tensor(scale(data).x))[:, 0].numpy()
"""
OWN_TRAIN = """
    asked = ctx.privacy
    ctx.privacy.attest(
        noise_multiplier=asked.noise_multiplier, sampling_rate=asked.sampling_rate, steps=asked.steps, clip=asked.clip
    )
    return {name: tensor + np.float32(0.5) for name, tensor in p.items()}
"""
_REFUSES = '    raise RuntimeError("in a run with differential privacy nobody calls this")\n'
LAYERS = """
loss = "network"
layers = [{ kind = "linear", outputs = 4 }, { kind = "relu" }, { kind = "linear", outputs = 1 }]
"""


def write_network_app(folder: Path, layers: str = LAYERS) -> Path:
    """The same with a network of torch; `layers` is what its manifest says of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(NETWORK_APP)
    (folder / "septum.toml").write_text(MANIFEST.replace('loss = "logistic"', layers))
    return folder


def write_own_app(folder: Path, train: str = OWN_TRAIN) -> Path:
    """An app that trains by itself and attests it; `train` is the body of that."""
    write_private_app(folder)
    code, manifest = folder / "app.py", folder / "septum.toml"
    code.write_text(code.read_text().replace(_REFUSES, train))
    manifest.write_text(manifest.read_text().replace('loss = "logistic"', 'loss = "own"'))
    return folder


def write_rows(path: Path, rows: int = 80) -> Path:
    """Labels that follow from x."""
    lines = [f"{row % 11},{int(row % 11 > 5)}" for row in range(rows)]
    path.write_text("x,y\n" + "\n".join(lines) + "\n")
    return path
