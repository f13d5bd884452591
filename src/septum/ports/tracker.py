"""What does a run tell an experiment tracker? That it started, what each round measured, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from septum.protocol.codec import Scalar
from septum.protocol.facts import Metrics
from septum.protocol.feed import FeedEntry, Kind
from septum.protocol.messages import Outcome
from septum.protocol.plan import Plan


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run was submitted. `at`: Unix time, seconds, here and below."""

    run: str
    at: float
    plan: Plan


@dataclass(frozen=True, slots=True)
class RoundMeasured:
    """The model of a round, on the test rows of all silos together. Nothing here is one silo's."""

    run: str
    at: float
    round: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run is over. `model`: the digest of its last model; empty when it made none."""

    run: str
    at: float
    outcome: Outcome
    reason: str
    model: str


Told: TypeAlias = RunStarted | RoundMeasured | RunEnded


class Tracker(Protocol):
    """Where runs are recorded for people who compare them.

    Contract: it hears what is durable, each run's in order, from one thread, and may take its time: no run waits. It
    hears everything at least once: after a restart of the coordinator, or after it raised, the same may come again.
    What it raises is logged, and it is told again later. A run that was resumed goes on after its RunEnded, without
    another RunStarted.
    """

    def tell(self, told: Told) -> None:
        """Record one thing. Returns once it is recorded."""

    def close(self) -> None:
        """There will be no more."""


@runtime_checkable
class Listener(Protocol):
    """A tracker that hears of changes in the federation, too.

    Contract: as for what trackers are told of runs: what is durable, in order, at least once, from the same thread. It
    hears what changes from its first start on, not what was before.
    """

    @property
    def kinds(self) -> frozenset[Kind]:
        """Of which it wants to hear."""

    def change(self, entry: FeedEntry) -> None:
        """Record one change. Returns once it is recorded."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """What a tracker is made from.

    data_dir  the coordinator's; paths in `values` are relative to it
    values    its table in coordinator.toml, `[tracking.NAME]`
    """

    data_dir: Path
    values: Mapping[str, Scalar]


MakeTracker: TypeAlias = Callable[[TrackerSettings], Tracker]
"""Makes a tracker. Raises ConfigError for a setting that it does not know or cannot use; connects to nothing yet."""
