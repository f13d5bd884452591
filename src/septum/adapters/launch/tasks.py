"""How does a task become tensors that leave? The one implementation behind the worker process and the inline worker.

A workplace loads the app and its data once and keeps them over all rounds. What it gives is the whole of what can
leave the silo for a task, in the layout of `protocol.payload`.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from septum.adapters.launch.attested_station import AnyStation, AttestedStation
from septum.adapters.launch.private_rows import rows_of
from septum.adapters.launch.private_station import PrivateStation
from septum.adapters.launch.scoring import Scoring, approved, scoring_of
from septum.adapters.launch.station import Made, Part, Station, Timer
from septum.adapters.tables import is_table, read_table
from septum.algorithms.strategy import proximal_mu
from septum.errors import SeptumError, WorkerError
from septum.ports.launcher import Task, WorkerSpec
from septum.protocol import tensors
from septum.protocol.messages import INLINE_LIMIT_BYTES, Stage
from septum.protocol.tensors import Tensors
from septum.sdk import harness
from septum.sdk.attested import Attested
from septum.sdk.package import MODULE_PREFIX, LoadedApp
from septum.sdk.table import read_csv


@dataclass(frozen=True, slots=True)
class Performed:
    """What a task made. The payload is in `small` if it fits into a message, else its tensors are in `large`.

    `state` is what the app carries on; empty when it carries nothing.
    """

    weight: int
    durations_s: Mapping[str, float]
    small: bytes
    large: Tensors
    state: Tensors
    attested: Attested | None = None
    train_loss: float | None = None


class Workplace:
    """One silo's app and rows for one run. Not used by two threads at once."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._station: AnyStation | None = None
        self._scoring: Scoring | None = None

    def perform(self, task: Task) -> Performed:
        """Do a task. Raises SeptumErrors, and whatever the machine itself raises."""
        timer = Timer()
        if self._spec.scores:
            made = self._scored(task, timer)
        else:
            made = timer.run("load", lambda: _rows(self._spec)) if self._spec.rows_for else self._made(task, timer)
        small = timer.run("encode", lambda: _small(made.leaving))
        timer.run("encode", lambda: bytes_of(made.state))  # a state that cannot be written is told here
        large = {} if small else made.leaving
        return Performed(made.weight, timer.seconds, small, large, made.state, made.attested, made.train_loss)

    def _scored(self, task: Task, timer: Timer) -> Made:
        if self._scoring is None:
            self._scoring = timer.run("load", lambda: scoring_of(self._spec))
        rows, scoring = task.state, self._scoring
        assert rows is not None
        model = timer.run("load", lambda: _read(task.model))
        return timer.run("evaluate", lambda: scoring.score(model, rows))

    def _made(self, task: Task, timer: Timer) -> Made:
        if self._station is None:
            self._station = timer.run("load", lambda: _open(self._spec))
        station = self._station
        if task.stage is Stage.PREPARE:
            return station.prepare(timer, initial=task.initial)
        model = timer.run("load", lambda: _read(task.model))
        state = {} if task.state is None else timer.run("load", lambda: _read(task.state))
        if task.stage is Stage.EVALUATE:
            return station.evaluate(timer, model, state)
        return station.train(timer, task.round, model, state)


def pieces_of(content: Tensors) -> Iterable[memoryview]:
    """The bytes of tensors as they lie in memory; of none there are none."""
    return tensors.pieces(content) if content else ()


def bytes_of(content: Tensors) -> int:
    """How many they are."""
    return sum(len(piece) for piece in pieces_of(content))


def worker_error(error: BaseException) -> WorkerError:
    """What went wrong in a task, in the words of the error tree, with its traceback."""
    if isinstance(error, SeptumError):
        return WorkerError(error.message, hint=error.hint, details=_in_the_app(error))
    details = "".join(traceback.format_exception(error))
    return WorkerError(f"the task raised {type(error).__name__}: {error}", details=details)


def _in_the_app(error: SeptumError) -> str:
    """The traceback of what went wrong first, from the app's own code on; empty when that had no part in it.

    The message says what septum found. Where in septum it was found would bury the one line that can be mended.
    """
    first: BaseException = error
    while isinstance(first, SeptumError) and first.__cause__ is not None:
        first = first.__cause__
    frames = first.__traceback__
    while frames is not None and not str(frames.tb_frame.f_globals.get("__name__")).startswith(MODULE_PREFIX):
        frames = frames.tb_next
    if frames is None and not isinstance(first, SyntaxError):  # which names its line itself
        return ""
    return "".join(traceback.format_exception(type(first), first, frames))


def _open(spec: WorkerSpec) -> AnyStation:
    """The approved app, with the silo's rows as it splits them; or septum's own loop with rows that were made so."""
    mu = proximal_mu(spec.strategy.name, spec.strategy.settings)
    part = Part(spec.silo, spec.seed, mu, spec.private, spec.personalise, spec.train_loss)
    if spec.loop is not None and not spec.loop.private.by_app:
        return PrivateStation(spec.loop, _read(spec.data_path), part, os.urandom)
    loaded, hyper, prepared = _prepared(spec)
    if spec.loop is not None:
        return AttestedStation(spec.loop, loaded.app, hyper, prepared, part)
    return Station(loaded.app, hyper, prepared, part)


def _rows(spec: WorkerSpec) -> Made:
    """The app's rows, for the silo itself."""
    loaded, hyper, prepared = _prepared(spec)
    assert spec.rows_for is not None
    return Made(rows_of(loaded.app, hyper, prepared, spec.rows_for), len(prepared.split.train))


def _prepared(spec: WorkerSpec) -> tuple[LoadedApp, object, harness.Prepared]:
    """The approved app, its hyper-parameters, and the silo's rows as it splits them."""
    loaded, hyper = approved(spec)
    manifest = loaded.manifest
    names = tuple(manifest.columns)
    if is_table(spec.data_path):
        table = read_table(spec.data_path, names, manifest.target)
    else:
        table = read_csv(spec.data_path, names, manifest.missing, manifest.target)
    return loaded, hyper, harness.prepare(loaded.app, hyper, table)


def _read(content: Path | bytes | None) -> Tensors:
    """A file is mapped, not read: the arrays are views on its pages."""
    assert content is not None
    return tensors.decode(content if isinstance(content, bytes) else np.memmap(content, np.uint8, mode="r").data)


def _small(content: Tensors) -> bytes:
    """Few bytes; of many none."""
    if sum(array.nbytes for array in content.values()) > INLINE_LIMIT_BYTES:
        return b""
    data = tensors.encode(content)
    return data if len(data) <= INLINE_LIMIT_BYTES else b""
