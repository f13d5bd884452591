"""What must every Launcher do? Subclass `LauncherContract`, name it `Test...`, and define `make`.

The suite brings a small app and its rows. What a worker makes is compared with what the same app makes in this
process: however a launcher starts it, the bytes that leave are the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from septum.adapters.launch.inline import InlineLauncher
from septum.errors import WorkerError
from septum.ports.launcher import Launcher, Level, Task, TaskResult, Worker, WorkerLimits, WorkerSpec
from septum.protocol import payload, tensors
from septum.protocol.messages import Stage
from septum.protocol.plan import StrategyRef
from septum.sdk.package import digest_of

APP = """
import os
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
    return {"w": np.full((1, len(shape)), 0.25, np.float32)}

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
open = ["parameters", "rows", "accuracy", "log_loss", "roc_auc"]
"""
GOOD = "return {'w': p['w'] + np.float32(h.lr) * ctx.rng.random(p['w'].shape).astype(np.float32)}"
CARRYING = """
    n = ctx.state.get("n", np.zeros(1, np.float32)) + 1
    ctx.state["n"] = n
    return {"w": p["w"] + n}
"""

Start = Callable[[WorkerSpec], Worker]


class LauncherContract(ABC):
    """The contract of `ports.launcher.Launcher` and the workers that it starts, as tests."""

    @abstractmethod
    def make(self) -> Launcher:
        """The launcher under test."""

    @pytest.fixture
    def start(self) -> Iterator[Start]:
        """Starts a worker, which is ended after the test."""
        launcher = self.make()
        workers: list[Worker] = []

        def start_one(spec: WorkerSpec) -> Worker:
            workers.append(launcher.start(spec, WorkerLimits()))
            return workers[-1]

        yield start_one
        for worker in workers:
            worker.close()

    def test_what_leaves_has_the_same_bytes_as_in_any_other_worker(self, start: Start, tmp_path: Path) -> None:
        """Preparing, training, and the last evaluation."""
        here, there = (spec_for(tmp_path / name) for name in ("here", "there"))
        expected, found = InlineLauncher().start(here, WorkerLimits()), start(there)
        for made in (prepare, train, evaluate):
            ours, theirs = made(expected, here), made(found, there)
            assert isinstance(theirs.payload, bytes)
            assert (theirs.weight, theirs.payload, theirs.has_state) == (ours.weight, ours.payload, ours.has_state)

    def test_a_worker_is_warm(self, start: Start, tmp_path: Path) -> None:
        """The same one does round after round, and says how far its app is kept apart."""
        spec = spec_for(tmp_path)
        worker = start(spec)
        first = train(worker, spec)
        assert worker.alive
        assert train(worker, spec).payload == first.payload
        assert isinstance(worker.level, Level)

    def test_an_app_that_raises_is_told_with_its_traceback(self, start: Start, tmp_path: Path) -> None:
        """And nothing leaves. The worker takes the next task."""
        spec = spec_for(tmp_path, "raise LookupError('no such patient')")
        worker = start(spec)
        with pytest.raises(WorkerError) as failed:
            train(worker, spec)
        assert "LookupError" in failed.value.details + failed.value.message
        assert not _output(spec).exists()
        assert prepare(worker, spec).weight == 6

    def test_an_app_that_ends_its_process_is_a_worker_error_and_the_worker_is_gone(
        self, start: Start, tmp_path: Path
    ) -> None:
        """Not a hang."""
        spec = spec_for(tmp_path, "raise SystemExit(3)")
        worker = start(spec)
        with pytest.raises(WorkerError):
            train(worker, spec)
        assert not worker.alive
        with pytest.raises(WorkerError):
            train(worker, spec)

    def test_carried_state_goes_through_the_files_of_the_task(self, start: Start, tmp_path: Path) -> None:
        """A worker that is new in a later round goes on from it."""
        spec = spec_for(tmp_path, CARRYING.strip())
        first = train(start(spec), spec)
        assert first.has_state
        second = train(start(spec), spec, round_=2, state=_carry(spec, 1))
        assert _update(second) == 2 * _update(first)

    def test_a_closed_worker_does_nothing_more(self, start: Start, tmp_path: Path) -> None:
        """Closing twice is no error."""
        spec = spec_for(tmp_path)
        worker = start(spec)
        worker.close()
        worker.close()
        assert not worker.alive
        with pytest.raises(WorkerError):
            train(worker, spec)

    def test_an_app_that_was_changed_after_its_approval_does_not_run(self, start: Start, tmp_path: Path) -> None:
        """What runs is what was approved."""
        spec = spec_for(tmp_path)
        (spec.app_dir / "app.py").write_text("raise SystemExit('this must never run')\n")
        with pytest.raises(WorkerError, match="approved"):
            prepare(start(spec), spec)


def spec_for(folder: Path, body: str = GOOD) -> WorkerSpec:
    """What a worker for the small app needs, everything in `folder`."""
    app_dir = folder / "app"
    app_dir.mkdir(parents=True)
    (app_dir / "app.py").write_text(APP.replace("TRAIN", body))
    (app_dir / "septum.toml").write_text(MANIFEST)
    (folder / "data.csv").write_text("x,y\n" + "".join(f"{row / 2},{row % 2}\n" for row in range(10)))
    (folder / "run").mkdir(mode=0o700)
    return WorkerSpec(
        run="r1",
        silo="north",
        app_dir=app_dir,
        app_digest=digest_of(app_dir),
        data_path=folder / "data.csv",
        hyper={"lr": 0.5},
        seed=7,
        strategy=StrategyRef(),
        run_dir=folder / "run",
    )


def prepare(worker: Worker, spec: WorkerSpec) -> TaskResult:
    """Before round 1, with the initial model."""
    task = Task(Stage.PREPARE, 0, None, initial=True, state=None, carry=_carry(spec, 0))
    return worker.perform(task, _output(spec))


def train(worker: Worker, spec: WorkerSpec, round_: int = 1, state: Path | None = None) -> TaskResult:
    """A round, from a model of zeros."""
    task = Task(Stage.TRAIN, round_, _MODEL, initial=False, state=state, carry=_carry(spec, round_))
    return worker.perform(task, _output(spec))


def evaluate(worker: Worker, spec: WorkerSpec) -> TaskResult:
    """After the last round."""
    task = Task(Stage.EVALUATE, 2, _MODEL, initial=False, state=None, carry=_carry(spec, 2))
    return worker.perform(task, _output(spec))


_MODEL = tensors.encode(payload.model_tensors({"w": np.zeros((1, 1), np.float32)}, {}))


def _update(result: TaskResult) -> float:
    assert isinstance(result.payload, bytes)
    return float(tensors.decode(result.payload)["update.w"][0, 0])


def _output(spec: WorkerSpec) -> Path:
    return spec.run_dir.parent / "payload"


def _carry(spec: WorkerSpec, round_: int) -> Path:
    return spec.run_dir / f"train-{round_}.state"
