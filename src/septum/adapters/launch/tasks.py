"""How does a task become files? The one implementation behind the worker process and the inline worker.

A workplace loads the app and its data once and keeps them over all rounds. What it writes is the whole of what can
leave the silo for a task, in the layout of `protocol.payload`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from septum.algorithms.evaluation import Evaluation
from septum.errors import AppError, SeptumError, WorkerError
from septum.ports.launcher import Task, TaskResult, WorkerSpec
from septum.privacy.clipping import clip_l2
from septum.protocol import payload, tensors
from septum.protocol.messages import Stage
from septum.sdk import harness
from septum.sdk.app import App
from septum.sdk.harness import Prepared
from septum.sdk.package import digest_of, load_app
from septum.sdk.table import read_csv

STATE_SUFFIX = ".state"

_Tensors = dict[str, NDArray[np.generic]]
_Parameters = dict[str, NDArray[np.float32]]
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is kept warm: the app, its hyper-parameters and the silo's rows, with the newest model's statistics."""

    app: App
    hyper: object
    prepared: Prepared
    statistics: Mapping[str, NDArray[np.float64]] | None = None


class Workplace:
    """One silo's app and rows for one run. Not used by two threads at once."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._loaded: _Loaded | None = None

    def perform(self, task: Task) -> TaskResult:
        """Do a task and write its output. Raises SeptumErrors, and whatever the machine itself raises."""
        timer = _Timer()
        loaded = timer.run("load", self._load)
        state: _Tensors = {}
        match task.stage:
            case Stage.PREPARE:
                leaving = timer.run("prepare", lambda: self._prepare(task, loaded))
                weight = len(loaded.prepared.split.train)
            case Stage.TRAIN:
                leaving, state = self._train(task, timer)
                weight = len(loaded.prepared.split.train)
            case Stage.EVALUATE:
                leaving, weight = payload.evaluation_tensors(self._evaluate(task, timer)[1]), 0
        timer.run("encode", lambda: _write(task.output, leaving))
        if state:
            timer.run("encode", lambda: _write(state_path(task.output), state))
        return TaskResult(weight, timer.seconds, bool(state))

    def _load(self) -> _Loaded:
        if self._loaded is not None:
            return self._loaded
        spec = self._spec
        _check_digest(spec.app_dir, spec.app_digest, digest_of(spec.app_dir))
        loaded = load_app(spec.app_dir)
        _check_digest(spec.app_dir, spec.app_digest, loaded.digest)  # of the bytes that were really imported
        hyper = loaded.app.resolve(dict(spec.hyper))
        manifest = loaded.manifest
        table = read_csv(spec.data_path, tuple(manifest.columns), manifest.missing, manifest.target)
        self._loaded = _Loaded(loaded.app, hyper, harness.prepare(loaded.app, hyper, table))
        return self._loaded

    def _prepare(self, task: Task, loaded: _Loaded) -> _Tensors:
        initial = None
        if task.initial:
            initial = harness.initial(loaded.app, loaded.hyper, loaded.prepared.shape, self._spec.seed)
        return payload.prepared_tensors(harness.summands(loaded.app, loaded.prepared), initial)

    def _evaluate(self, task: Task, timer: _Timer) -> tuple[_Parameters, Evaluation]:
        """The model's parameters, and its counts on the test rows."""
        parameters, loaded = timer.run("load", lambda: self._model(task))
        return parameters, timer.run("evaluate", lambda: harness.evaluate(loaded.app, loaded.prepared, parameters))

    def _train(self, task: Task, timer: _Timer) -> tuple[_Tensors, _Tensors]:
        """What leaves, and the app's new state."""
        spec = self._spec
        parameters, evaluation = self._evaluate(task, timer)
        loaded = self._load()
        carried = {} if task.state is None else timer.run("load", lambda: _read(task.state))
        order = harness.Task(task.round, spec.seed, spec.silo, spec.proximal_mu, carried)
        made = timer.run("train", lambda: harness.train(loaded.app, loaded.hyper, loaded.prepared, parameters, order))
        update = timer.run("clip", lambda: self._clipped(made.update))
        return payload.update_tensors(update, evaluation), dict(made.state)

    def _clipped(self, update: _Parameters) -> _Parameters:
        limit = self._spec.clip_norm
        return update if limit is None else clip_l2(update, limit)[0]

    def _model(self, task: Task) -> tuple[_Parameters, _Loaded]:
        """The parameters of the task's model, and the rows with the statistics that its file brings."""
        parameters, statistics = payload.split_model(_read(task.model))
        loaded = self._load()
        if loaded.statistics is None or not _equal(statistics, loaded.statistics):
            prepared = harness.with_statistics(loaded.app, loaded.prepared, statistics)
            loaded = self._loaded = replace(loaded, prepared=prepared, statistics=statistics)
        return parameters, loaded


def state_path(output: Path) -> Path:
    """Where the app's new carried state goes.

    >>> state_path(Path("train-3")).name
    'train-3.state'
    """
    return output.with_name(output.name + STATE_SUFFIX)


def worker_error(error: BaseException) -> WorkerError:
    """What went wrong in a task, in the words of the error tree, with its traceback."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, SeptumError):
        return WorkerError(error.message, hint=error.hint, details=details)
    return WorkerError(f"the task raised {type(error).__name__}: {error}", details=details)


class _Timer:
    """Seconds spent in each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, step: str, work: Callable[[], _R]) -> _R:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - began


def _check_digest(folder: Path, approved: str, found: str) -> None:
    if found != approved:
        raise AppError(
            f"the app in {folder} has the digest {found}, but {approved} was approved for this run",
            hint="it was changed since the agent started; restore it, or restart the agent to approve it as it is",
        )


def _read(path: Path | None) -> _Tensors:
    """Mapped, not read: the arrays are views on the file's pages."""
    assert path is not None
    return tensors.decode(np.memmap(path, np.uint8, mode="r").data)


def _write(path: Path, content: _Tensors) -> None:
    """Whole or not at all: a killed worker leaves no half file under the name. Tensors are not copied together."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(tensors.header(content))
        for name in tensors.file_order(content):
            file.write(np.ascontiguousarray(content[name]).reshape(-1).view(np.uint8).data)
    part.replace(path)


def _equal(one: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
