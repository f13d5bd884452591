"""Is a whole run with differential privacy as private as the silo's ledger says? A canary attack on what leaves.

tests/privacy/canary.py attacks one step, the function. Here an agent serves a run: the app makes rows in one process,
septum trains on them in another, and the reports are all that the adversary has. Half of the features have a record
whose gradient lies along that feature alone, the others have none; all of them are drawn, clipped and drowned in noise
independently, so each is a trial. The noise is the system's, so the bound holds with a probability of 1 - 10^-5, and no
run of this test is like another. In the mutants the training process, and nothing else, is another one.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.attacks import mutant_worker
from tests.privacy.canary import LIMIT_OFF, MUTATIONS, bound
from tests.silo.private_app import MANIFEST
from tests.silo.scripted import ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import approved, granted

from septum.adapters.accountant import epsilon_of
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.ports.launcher import Level
from septum.privacy.ledger import Budget
from septum.protocol import payload, tensors
from septum.protocol.messages import End, Outcome, Prepare, Report, Stage, Train, blob_of
from septum.protocol.plan import AppRef, Plan
from septum.protocol.privacy import Privacy
from septum.protocol.silo import SiloRun
from septum.sdk.package import read_manifest
from septum.silo.ledger import Ledger, read
from septum.silo.private_receipts import PrivateReceipt, PrivateReceipts
from septum.silo.private_run import PrivacyTools
from septum.silo.run_files import RunFiles
from septum.silo.session import Session

pytestmark = pytest.mark.attacks

ROUNDS, FEATURES, DELTA = 8, 2_000, 1e-3
RECORDS = FEATURES // 2  # one along each of the first features
MISS = 1e-5
PRIVACY = Privacy(1.5, delta=DELTA, batch=100, steps=1, learning_rate=1.0)

APP = f"""
import numpy as np
from septum import App, Data, Split, hyper, stats

app = App("small")

@app.hyper
class Hyper:
    rounds: int = hyper({ROUNDS}, min=1)

@app.data
def load(table, h):
    along = {{f"f{{at}}": 1000.0 * (table["x"] == at) for at in range({FEATURES})}}
    data = Data.of(along, table["y"])
    return Split(data, data)

scale = app.statistics(stats.mean_and_std())

@app.initial
def initial(shape, h, rng):
    return {{"weight": np.zeros((1, len(shape)), np.float32), "bias": np.zeros(1, np.float32)}}

@app.train
def train(p, data, h, ctx):
    raise RuntimeError("nobody calls this")

@app.predict
def predict(p, data):
    return scale(data).x @ p["weight"][0] + p["bias"][0]
"""


def canaries(folder: Path) -> tuple[Path, Path]:
    """The app, and its records."""
    app = folder / "app"
    app.mkdir()
    (app / "app.py").write_text(APP)
    ranges = "\n".join(f"f{at} = [-1, 1]" for at in range(FEATURES))
    (app / "septum.toml").write_text(MANIFEST.replace("x = [0, 10]", ranges))
    records = folder / "rows.csv"
    records.write_text("x,y\n" + "".join(f"{at},{at % 2}\n" for at in range(RECORDS)))
    return app, records


def left(folder: Path) -> tuple[np.ndarray, PrivateReceipt, float]:
    """What leaves in a run: (rounds, features), each from a model of zeros; what it cost, as receipt and ledger say."""
    app, records = canaries(folder)
    found = replace(approved(app, records), trains=read_manifest(app).trains)
    ref = AppRef("small", "1", found.digest)
    plan = Plan("p", ref, {}, ("north", "south"), rounds=ROUNDS, privacy=PRIVACY)
    zeros = {"bias": np.zeros(1, np.float32), "weight": np.zeros((1, FEATURES), np.float32)}
    model = blob_of(tensors.encode(payload.model_tensors(zeros, {})))
    asked = [Train(round_, 1, model) for round_ in range(1, ROUNDS + 1)]
    channel = ScriptedChannel(ScriptedStop(), Prepare(1, initial=True), *asked, End(Outcome.FINISHED))
    receipts = PrivateReceipts(folder)
    purse = PrivacyTools(Ledger(folder, epsilon_of, lambda: 1.0), Budget(20.0, DELTA), epsilon_of, receipts)
    tools = replace(tools_for(channel, SubprocessLauncher(Level.PROCESS)), privacy=purse)
    state = SiloRun("r1", "north", plan)
    Session(tools, RunFiles(folder / "runs" / "r1"), state, lambda: granted(found)).serve()
    trained = [said for said in channel.said if isinstance(said, Report) and said.stage is Stage.TRAIN]
    assert len(trained) == ROUNDS
    updates = np.array([tensors.decode(report.payload.inline)["update.weight"][0] for report in trained])
    (receipt,) = receipts.all()
    return updates, receipt, epsilon_of(read(folder).book.costs("file"), DELTA)


def least_epsilon(updates: np.ndarray, receipt: PrivateReceipt) -> float:
    """What the updates show: half of the features choose the threshold, the other half say how good it is."""
    expected = receipt.sampling_rate * receipt.rows
    towards = 2.0 * (np.arange(FEATURES) % 2) - 1  # a record with label 1 pulls up, one with label 0 down
    drawn = towards * updates * expected / (PRIVACY.learning_rate * PRIVACY.clip)  # the step's sum, in clips
    variance, rate = receipt.noise_multiplier**2, receipt.sampling_rate
    likelier = np.log1p(rate * np.expm1(np.clip((drawn - 0.5) / variance, -50, 50)))  # as in canary.evidence
    present, absent = np.split(likelier.sum(axis=0), 2)
    half = RECORDS // 2
    thresholds = np.quantile(np.concatenate([absent[:half], present[:half]]), np.linspace(0.3, 0.999, 100))
    found = [bound(np.sum(absent[:half] > at), np.sum(present[:half] > at), half, DELTA, MISS) for at in thresholds]
    best = thresholds[int(np.argmax(found))]
    return bound(np.sum(absent[half:] > best), np.sum(present[half:] > best), half, DELTA, MISS)


def test_what_leaves_a_silo_shows_no_more_of_a_record_than_its_ledger_has(tmp_path):
    updates, receipt, spent = left(tmp_path)
    assert receipt.steps == ROUNDS
    assert least_epsilon(updates, receipt) <= receipt.epsilon <= spent + 1e-9
    assert spent <= PRIVACY.target_epsilon


@pytest.mark.parametrize("missing", MUTATIONS)
def test_a_training_process_without_one_of_the_parts_is_found_out(tmp_path, monkeypatch, missing):
    changes = [MUTATIONS[missing], *([LIMIT_OFF] if missing == "no clipping" else [])]
    (tmp_path / "changes.json").write_text(json.dumps(changes))
    program = [sys.executable, "-P", str(Path(mutant_worker.__file__)), str(tmp_path / "changes.json")]
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(program)} "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    updates, receipt, _ = left(tmp_path)
    assert least_epsilon(updates, receipt) > receipt.epsilon
