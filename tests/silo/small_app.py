"""A tiny app and its data, written to a folder. `train` and `extra` are pieces of Python that replace its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from septum.ports.launcher import Task, WorkerSpec
from septum.protocol import payload, tensors
from septum.protocol.codec import Scalar
from septum.protocol.messages import Stage
from septum.protocol.plan import StrategyRef
from septum.sdk.package import digest_of, read_manifest
from septum.silo.admission import Admission
from septum.silo.consent import ApprovedApp, Granted
from septum.silo.datasets import plain_file
from septum.silo.library import Folders
from septum.silo.log import Log
from septum.silo.policy import Policy
from septum.silo.receipts import Receipts
from septum.silo.tables import Table

GOOD_TRAIN = "return {'w': p['w'] + np.float32(h.lr) * np.float32(len(data))}"

APP = """
import os, signal, subprocess, sys, time
import numpy as np
from septum import App, Data, Split, hyper

app = App("small")

@app.hyper
class Hyper:
    rounds: int = hyper(2, min=1)
    lr: float = hyper(0.5, min=0.0)

@app.data
def load(table, h):
    data = Data.of({"x": table["x"]}, table["y"])
    return Split(data.take(range(6)), data.take(range(6, len(data))))

@app.initial
def initial(shape, h, rng):
    return {"w": np.zeros((1, len(shape)), np.float32)}

EXTRA
@app.train
def train(p, data, h, ctx):
TRAIN

@app.predict
def predict(p, data):
    return data.x @ p["w"][0]
"""

MANIFEST = """
app = "app:app"
version = "1.0.0"
[data.columns]
x = {}
y = { role = "target" }
[leaves]
open = LEAVES
"""


def write_app(folder: Path, train: str = GOOD_TRAIN, extra: str = "") -> Path:
    """The folder, with the app in it."""
    folder.mkdir(parents=True, exist_ok=True)
    leaves = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]
    if "statistics(" in extra:
        leaves.append("statistics")
    code = APP.replace("EXTRA", textwrap.dedent(extra)).replace(
        "TRAIN", textwrap.indent(textwrap.dedent(train), "    ")
    )
    (folder / "app.py").write_text(code)
    (folder / "septum.toml").write_text(MANIFEST.replace("LEAVES", str(leaves).replace("'", '"')))
    return folder


def write_data(path: Path, rows: int = 10) -> Path:
    """Ten rows: six to train with, four to test."""
    lines = [f"{row / 2},{row % 2}" for row in range(rows)]
    path.write_text("x,y\n" + "\n".join(lines) + "\n")
    return path


def spec_for(
    folder: Path,
    train: str = GOOD_TRAIN,
    extra: str = "",
    *,
    hyper: Mapping[str, Scalar] | None = None,
) -> WorkerSpec:
    """A worker's spec for such an app, everything in `folder`."""
    app_dir = write_app(folder / "app", train, extra)
    return WorkerSpec(
        run="r1",
        silo="north",
        app_dir=app_dir,
        app_digest=digest_of(app_dir),
        data_path=write_data(folder / "data.csv"),
        hyper=hyper or {},
        seed=7,
        strategy=StrategyRef(),
        run_dir=folder / "run",
    )


def write_model(path: Path, w: float = 0.0) -> Path:
    """A model file of one parameter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tensors.encode(payload.model_tensors({"w": np.full((1, 1), w, np.float32)}, {})))
    return path


def payload_of(spec: WorkerSpec) -> Path:
    """Where a large payload goes."""
    return spec.run_dir.parent / "payload"


def carry_of(spec: WorkerSpec, round: int) -> Path:
    """Where the state after a round goes."""
    return spec.run_dir / f"train-{round}.state"


def train_task(spec: WorkerSpec, round: int = 1, state: Path | None = None) -> Task:
    """Train from a model of zeros."""
    model = write_model(spec.run_dir / "model")
    return Task(Stage.TRAIN, round, model, initial=False, state=state, carry=carry_of(spec, round))


def worker_process(program: list[str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A process that runs a program in place of the worker's, and the agent's end of the control channel."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, *program, str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), start_new_session=True)
    return process, ours


def approved(app_dir: Path, data: Path) -> ApprovedApp:
    """An app in a folder, as an agent approves it at its start."""
    manifest, digest = read_manifest(app_dir), digest_of(app_dir)
    data_set, private = plain_file(data), manifest.private
    return ApprovedApp(app_dir, digest, digest, manifest.columns, manifest.leaves, data_set, private=private)


def granted(app: ApprovedApp) -> Granted:
    """Served with the file of its dataset as it is."""
    return Granted(app, Table(Path(str(app.dataset.settings["path"])), 6, "blake3:" + "d" * 64))


def allowing(**rules: Any) -> Policy:
    """Rules that let a plain run of two silos in, but for those given."""
    return Policy(**{"min_cohort": 2, "require_masking": False, **rules})


def admission(
    folder: Path,
    app: ApprovedApp,
    policy: Policy | None = None,
    table: Callable[[ApprovedApp, Path], Table] = lambda app, _: granted(app).table,
) -> Admission:
    """The silo north with this one app, whose data are used as they are, if they are not read by `table`."""
    return Admission(
        silo="north",
        policy=policy or allowing(),
        library=Folders({"small": app}),
        roster=lambda _: None,
        table=table,
        receipts=Receipts(folder),
        sandbox=1,
        log=Log(silo="north"),
    )
