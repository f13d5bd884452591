"""Where did a run's time go? Its rounds, from its journal: when each opened, how long it took, what the silos did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from septum.protocol import facts
from septum.protocol.messages import Stage
from septum.protocol.views import JournalView

APP_STEPS = ("train", "evaluate")  # what the app's own functions do; loading, clipping and encoding are septum's


@dataclass(frozen=True, slots=True)
class Round:
    """One training round.

    opened_at   Unix time
    wall_s      from its opening to that of the next stage
    training_s  the slowest silo's own work in it: training, and measuring the model that it starts from
    steps_s     the slowest silo's seconds in each step
    """

    number: int
    opened_at: float
    wall_s: float
    training_s: float
    steps_s: Mapping[str, float]

    @property
    def overhead_ms(self) -> float:
        """What the round took beyond the slowest silo's own work."""
        return 1000 * (self.wall_s - self.training_s)


def rounds_of(journal: Sequence[JournalView]) -> list[Round]:
    """Every training round that was closed."""
    openings = [(entry.at, entry.fact) for entry in journal if isinstance(entry.fact, facts.StageOpened)]
    reports: dict[int, list[Mapping[str, float]]] = {}
    for entry in journal:
        if isinstance(entry.fact, facts.SiloReported) and entry.fact.stage is Stage.TRAIN:
            reports.setdefault(entry.fact.round, []).append(entry.fact.durations_s)
    return [
        _round(fact.round, at, following - at, reports[fact.round])
        for (at, fact), (following, _) in pairwise(openings)
        if fact.stage is Stage.TRAIN and fact.round in reports
    ]


def _round(number: int, opened_at: float, wall_s: float, durations: Sequence[Mapping[str, float]]) -> Round:
    slowest = max(durations, key=_own_work_s)
    return Round(number, opened_at, wall_s, _own_work_s(slowest), slowest)


def _own_work_s(steps: Mapping[str, float]) -> float:
    return sum(steps.get(name, 0.0) for name in APP_STEPS)


def first_opening(journal: Sequence[JournalView], stage: Stage) -> float:
    """When a stage was opened first, Unix time."""
    return next(e.at for e in journal if isinstance(e.fact, facts.StageOpened) and e.fact.stage is stage)
