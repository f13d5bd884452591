"""Which model serves a silo best: the federation's, that one trained further here, or one trained here alone?

FedAvg and then local steps (Wang et al. 2019; "fine-tuning" in FLamby, du Terrail et al. 2022), behind a gate: by
cross-validation over the silo's own train rows, each held out once. The model that was trained further is kept only
where it beats both others there, else the better of them; a tie goes to the federation. Test rows have no part in it.
The federation's model was trained on the held-out rows, too, in all its rounds: the gate leans towards it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

import numpy as np

from septum.algorithms.log_loss import log_loss_sum
from septum.errors import AppError
from septum.sdk import harness
from septum.sdk.app import App
from septum.sdk.data import Data, Float32, Parameters, Split, State
from septum.sdk.harness import Prepared, Task

FOLDS = 5
MIN_ROWS = 2 * FOLDS  # with fewer train rows nothing is tried out: the federation's model is kept


class Origin(Enum):
    """How a silo's model came to be."""

    FEDERATION = "federation"
    PERSONALISED = "personalised"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Silo:
    """Whose model it is, and with what it trains: `rounds` of the run, `further` rounds from its last model."""

    app: App
    hyper: object
    name: str
    seed: int
    rounds: int
    further: int


@dataclass(frozen=True, slots=True)
class Weights:
    """A model in a silo: what is shared, what is its own, and what its app carries."""

    shared: Parameters
    private: Parameters = field(default_factory=dict)
    state: State = field(default_factory=dict)

    @property
    def whole(self) -> dict[str, Float32]:
        """All parameters."""
        return {**self.shared, **self.private}


@dataclass(frozen=True, slots=True)
class Personal:
    """The model that a silo keeps.

    prepared  the rows with the statistics that it works with: its own for one that was trained here alone
    losses    mean log loss on held-out rows, by origin; none where there were too few rows to tell
    """

    origin: Origin
    weights: Weights
    prepared: Prepared
    losses: Mapping[Origin, float]


@dataclass(frozen=True, slots=True)
class _Way:
    """How to come to a model from some rows."""

    origin: Origin
    make: Callable[[Prepared], tuple[Weights, Prepared]]


def personalise(silo: Silo, prepared: Prepared, ended: Weights, first: Weights) -> Personal:
    """The best model for this silo. `ended`: after the last round, `first`: before the first.

    A function of its arguments: asked again it gives the same bits.
    """
    ways = (
        _Way(Origin.FEDERATION, lambda rows: (ended, rows)),
        _Way(Origin.PERSONALISED, lambda rows: (_train(silo, rows, ended, silo.rounds, silo.further), rows)),
        _Way(Origin.LOCAL, partial(_alone, silo, first)),
    )
    losses = {way.origin: _held_out_loss(silo, prepared, way) for way in ways} if _enough(prepared) else {}
    best = min(ways, key=lambda way: losses.get(way.origin, 0.0))  # the first of equals
    weights, rows = best.make(prepared)
    return Personal(best.origin, weights, rows, losses)


def _enough(prepared: Prepared) -> bool:
    return len(prepared.split.train) >= MIN_ROWS


def _alone(silo: Silo, first: Weights, rows: Prepared) -> tuple[Weights, Prepared]:
    """What this silo would have without any other: also its own statistics."""
    own = harness.with_statistics(silo.app, rows, harness.summands(silo.app, rows))
    return _train(silo, own, first, 0, silo.rounds), own


def _train(silo: Silo, rows: Prepared, start: Weights, done: int, rounds: int) -> Weights:
    """So many rounds here alone, numbered on from those that were done."""
    weights = start
    for round_ in range(done + 1, done + rounds + 1):
        task = Task(round_, silo.seed, silo.name, state=weights.state, private=weights.private)
        made = harness.train(silo.app, silo.hyper, rows, weights.shared, task)
        shared = {name: weights.shared[name] + made.update[name] for name in made.update}
        weights = Weights(shared, made.private, made.state)
    return weights


def _held_out_loss(silo: Silo, prepared: Prepared, way: _Way) -> float:
    """The mean log loss over all train rows, each when it was held out; infinite where such a model cannot be made."""
    total = 0.0
    for rows, held_out in _folds(silo, prepared):
        try:
            weights, fitted = way.make(rows)
            data = _with_statistics_of(fitted, held_out)
            total += log_loss_sum(harness.predict(silo.app, data, weights.whole), data.y)
        except AppError:  # it diverged, say: no model to choose
            return math.inf
    return total / len(prepared.split.train)


def _folds(silo: Silo, prepared: Prepared) -> Iterator[tuple[Prepared, Data]]:
    """Train rows without a fold, and the fold. Both classes are spread over the folds."""
    train = prepared.split.train
    order = harness.rng(silo.seed, silo.name).permutation(len(train))
    by_class = order[np.argsort(train.y[order], kind="stable")]
    for fold in range(FOLDS):
        held_out = by_class[fold::FOLDS]
        rest = np.setdiff1d(np.arange(len(train)), held_out)
        yield Prepared(Split(train.take(rest), prepared.split.test)), train.take(held_out)


def _with_statistics_of(prepared: Prepared, data: Data) -> Data:
    return Data(data.x, data.y, data.features, prepared.split.train.statistics)
