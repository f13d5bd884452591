"""What does one silo's training make from a model? All that can leave the silo for one piece of work.

The worker process, the inline worker and the simulator do their work here, so all three give the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from septum.privacy.clipping import clip_l2
from septum.protocol import payload
from septum.protocol.tensors import Array, Tensors
from septum.sdk import harness
from septum.sdk.app import App
from septum.sdk.harness import Prepared

R = TypeVar("R")
_NO_TENSORS: Tensors = {}


@dataclass(frozen=True, slots=True)
class Made:
    """The result of one piece of work: the tensors that leave, their weight in rows, and the app's carried state."""

    leaving: Mapping[str, Array]
    weight: int
    state: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One silo's part in a run: what every piece of its work has in common."""

    silo: str
    seed: int
    proximal_mu: float = 0.0
    clip_norm: float | None = None


class Timer:
    """Seconds spent in each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, step: str, work: Callable[[], R]) -> R:
        """Do `work` and add its time to `step`."""
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - began


class Station:
    """An app with one silo's rows, kept ready over all rounds. Not used by two threads at once."""

    def __init__(self, app: App, hyper: object, prepared: Prepared, part: Part) -> None:
        self._app = app
        self._hyper = hyper
        self._prepared = prepared
        self._part = part
        self._statistics: dict[str, NDArray[np.float64]] = {}

    def prepare(self, timer: Timer, *, initial: bool) -> Made:
        """The summands of the app's statistics; if `initial`, also the initial model."""
        summands = timer.run("prepare", lambda: harness.summands(self._app, self._prepared))
        model = timer.run("prepare", self._initial) if initial else None
        return Made(payload.prepared_tensors(summands, model), len(self._prepared.split.train))

    def train(self, timer: Timer, round_: int, model: Tensors, state: Tensors = _NO_TENSORS) -> Made:
        """How `model` does on the test rows, and what one round of training adds to it."""
        parameters = self._apply_statistics(model)
        evaluation = timer.run("evaluate", lambda: harness.evaluate(self._app, self._prepared, parameters))
        part = self._part
        task = harness.Task(round_, part.seed, part.silo, part.proximal_mu, state)
        result = timer.run("train", lambda: harness.train(self._app, self._hyper, self._prepared, parameters, task))
        update: Mapping[str, NDArray[np.float32]] = result.update
        if part.clip_norm is not None:
            limit = part.clip_norm
            update, _ = timer.run("clip", lambda: clip_l2(result.update, limit))
        return Made(payload.update_tensors(update, evaluation), result.weight, result.state)

    def evaluate(self, timer: Timer, model: Tensors) -> Made:
        """How `model` does on the test rows."""
        parameters = self._apply_statistics(model)
        evaluation = timer.run("evaluate", lambda: harness.evaluate(self._app, self._prepared, parameters))
        return Made(payload.evaluation_tensors(evaluation), 0)

    def _initial(self) -> dict[str, NDArray[np.float32]]:
        return harness.initial(self._app, self._hyper, self._prepared.shape, self._part.seed)

    def _apply_statistics(self, model: Tensors) -> dict[str, NDArray[np.float32]]:
        """The parameters of a model; its statistics are put beside the rows, once, for they stay the same."""
        parameters, statistics = payload.split_model(model)
        if not self._statistics or not _equal(statistics, self._statistics):
            self._prepared = harness.with_statistics(self._app, self._prepared, statistics)
            self._statistics = {name: array.copy() for name, array in statistics.items()}
        return parameters


def _equal(one: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
