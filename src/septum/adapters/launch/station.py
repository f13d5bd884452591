"""What does one silo's training make from a model? All that can leave the silo for one piece of work.

The worker process, the inline worker and the simulator do their work here, so all three give the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from septum.errors import AppError, SeptumError
from septum.protocol import payload
from septum.protocol.contents import CHOSEN, OWN, PRIVATE, STATE, STATISTICS
from septum.protocol.tensors import Array, Tensors
from septum.sdk import harness, personal
from septum.sdk.app import App
from septum.sdk.attested import Attested
from septum.sdk.harness import Prepared

R = TypeVar("R")
Floats = Mapping[str, NDArray[np.float32]]
_NO_TENSORS: Tensors = {}


@dataclass(frozen=True, slots=True)
class Made:
    """The result of one piece of work: the tensors that leave, their weight in rows, and the app's carried state.

    attested  what an app says of its own training with differential privacy
    train_loss  mean log loss on the train rows of what was trained on them; None where nobody asked for it
    """

    leaving: Mapping[str, Array]
    weight: int
    state: Mapping[str, Array] = field(default_factory=dict)
    attested: Attested | None = None
    train_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One silo's part in a run: what every piece of its work has in common.

    private      patterns of the names of the parameters that are the silo's own
    personalise  local rounds after the last round, behind a gate; 0 for none
    train_loss   whether the silo wants to know how what it trained does on its train rows
    """

    silo: str
    seed: int
    proximal_mu: float = 0.0
    private: tuple[str, ...] = ()
    personalise: int = 0
    train_loss: bool = False


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
        self._made: tuple[Floats, Floats] | None = None

    def prepare(self, timer: Timer, *, initial: bool) -> Made:
        """The summands of the app's statistics; if `initial`, also the initial model, as far as it is shared."""
        summands = timer.run("prepare", lambda: harness.summands(self._app, self._prepared))
        needed = initial or bool(self._part.private)  # patterns that do not fit the model are told now
        shared = timer.run("prepare", self._initial)[0] if needed else {}
        return Made(payload.prepared_tensors(summands, shared if initial else None), len(self._prepared.split.train))

    def train(self, timer: Timer, round_: int, model: Tensors, state: Tensors = _NO_TENSORS) -> Made:
        """How `model` does on the test rows, and what one round of training adds to it.

        It is evaluated and trained together with the silo's own parameters, which come back in the carried state.
        """
        shared = self._apply_statistics(model)
        own, app_state = self._own(state)
        whole = {**shared, **own}
        evaluation = timer.run("evaluate", lambda: harness.evaluate(self._app, self._prepared, whole))
        part = self._part
        task = harness.Task(round_, part.seed, part.silo, part.proximal_mu, app_state, own)
        result = timer.run("train", lambda: harness.train(self._app, self._hyper, self._prepared, shared, task))
        carried = _named(PRIVATE, result.private, STATE, result.state) if part.private else result.state
        loss = timer.run("measure", lambda: self._train_loss(shared, result)) if part.train_loss else None
        return Made(payload.update_tensors(result.update, evaluation), result.weight, carried, train_loss=loss)

    def _train_loss(self, shared: Floats, result: harness.TrainResult) -> float | None:
        """None where the app's predict fails on its train rows: the round goes on without that number."""
        trained = {name: shared[name] + delta for name, delta in result.update.items()}
        try:
            found = harness.evaluate(self._app, self._prepared, {**trained, **result.private}, "train")
        except SeptumError:
            return None
        return found.log_loss_sum / found.rows if found.rows and math.isfinite(found.log_loss_sum) else None

    def evaluate(self, timer: Timer, model: Tensors, state: Tensors = _NO_TENSORS) -> Made:
        """How the silo's model does on the test rows: `model` with its own parameters, perhaps trained further here.

        What is the silo's own of it comes back as carried state.
        """
        shared = self._apply_statistics(model)
        own, app_state = self._own(state)
        weights, prepared, chosen = personal.Weights(shared, own, dict(app_state)), self._prepared, None
        if self._part.personalise:
            found = timer.run("train", lambda: self._personalise(weights))
            weights, prepared, chosen = found.weights, found.prepared, found.origin
        evaluation = timer.run("evaluate", lambda: harness.evaluate(self._app, prepared, weights.whole))
        kept: Mapping[str, Array] = weights.private if chosen is None else weights.whole
        carried: dict[str, Array] = {OWN + name: array for name, array in kept.items()}
        if chosen is not None:
            carried[CHOSEN] = np.array(list(personal.Origin).index(chosen), np.int64)
        if chosen is personal.Origin.LOCAL:  # it works with this silo's statistics, not the federation's
            sums = harness.summands(self._app, prepared)
            carried |= {OWN + STATISTICS + name: array for name, array in sums.items()}
        return Made(payload.evaluation_tensors(evaluation), 0, carried)

    def _personalise(self, ended: personal.Weights) -> personal.Personal:
        rounds, part = self._app.rounds(self._hyper), self._part
        silo = personal.Silo(self._app, self._hyper, part.silo, part.seed, rounds, part.personalise)
        return personal.personalise(silo, self._prepared, ended, personal.Weights(*self._initial()))

    def _initial(self) -> tuple[Floats, Floats]:
        """The shared and the private part of the model before round 1: the same in every silo."""
        if self._made is None:
            part, shape = self._part, self._prepared.shape
            self._made = harness.initial_parts(self._app, self._hyper, shape, part.seed, part.private)
        return self._made

    def _own(self, state: Tensors) -> tuple[Floats, Tensors]:
        """The silo's own parameters, and what its app carries: of carried tensors, or as they are before round 1."""
        if not self._part.private:
            return {}, state
        first = self._initial()[1]
        carried = {name.removeprefix(PRIVATE): array for name, array in state.items() if name.startswith(PRIVATE)}
        if carried:
            _check_fits(self._app.name, carried, first)
        own = {name: array.astype(np.float32, copy=False) for name, array in (carried or first).items()}
        rest = {name.removeprefix(STATE): array for name, array in state.items() if name.startswith(STATE)}
        return own, rest

    def _apply_statistics(self, model: Tensors) -> dict[str, NDArray[np.float32]]:
        """The parameters of a model; its statistics are put beside the rows, once, for they stay the same."""
        parameters, statistics = payload.split_model(model)
        if not self._statistics or not _equal(statistics, self._statistics):
            self._prepared = harness.with_statistics(self._app, self._prepared, statistics)
            self._statistics = {name: array.copy() for name, array in statistics.items()}
        return parameters


def _named(first: str, one: Mapping[str, Array], second: str, other: Mapping[str, Array]) -> dict[str, Array]:
    """Two mappings in one, each name behind its prefix."""
    result: dict[str, Array] = {first + name: array for name, array in one.items()}
    return result | {second + name: array for name, array in other.items()}


def _check_fits(app: str, kept: Mapping[str, Array], made: Mapping[str, Array]) -> None:
    """Kept parameters may be of a version whose private part had another shape."""
    for name in sorted(kept.keys() | made.keys()):
        shapes = [str(list(one[name].shape)) if name in one else "nothing" for one in (kept, made)]
        if shapes[0] != shapes[1]:
            raise AppError(
                f"app {app!r}: of the private tensor {name!r} this silo kept {shapes[0]}, the app makes {shapes[1]}",
                hint="submit the run with --private fresh",
            )


def _equal(one: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
