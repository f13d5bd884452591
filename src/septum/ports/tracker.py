"""What does a run tell an experiment tracker? That it started, what each round measured, and how it ended.

The coordinator tells of the whole run. What is one silo's own is told by that silo to trackers of its own, or by the
coordinator of a run that shows it each silo's numbers, to trackers that want to hear it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
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
class BatchTracker(Protocol):
    """A tracker that takes several things at one time, as after it was down.

    Contract: as for `Tracker.tell`, each run's in order. After it raised, all of them come again.
    """

    def tell_all(self, told: Sequence[Told]) -> int:
        """Record these things of one run. Returns once they are recorded: how many records were refused for good."""


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
class SiloStarted:
    """A silo takes part in a run.

    rank        its place among the run's silos in the order of their names, from 1
    train_rows  how many rows it trains on; None where that is not known, or may not be told
    device      on what its app trains; empty where that is not known
    """

    run: str
    at: float
    silo: str
    rank: int
    plan: Plan
    train_rows: int | None = None
    device: str = ""


@dataclass(frozen=True, slots=True)
class SiloMeasured:
    """What one silo measured of the model of a round.

    metrics     of that model on the silo's own test rows; None where it was not measured
    train_loss  mean log loss on the silo's train rows of what it trained in that round; None where it is not known
    """

    run: str
    at: float
    silo: str
    rank: int
    round: int
    metrics: Metrics | None = None
    train_loss: float | None = None


@dataclass(frozen=True, slots=True)
class SiloEnded:
    """A silo's part in a run is over."""

    run: str
    at: float
    silo: str
    rank: int
    outcome: Outcome


SiloTold: TypeAlias = SiloStarted | SiloMeasured | SiloEnded


@runtime_checkable
class SiloTracker(Protocol):
    """A tracker that can hear what is one silo's own.

    Contract: as for what it is told of runs: each run's in order, at least once, from one thread. In a silo it hears
    nothing else.
    """

    @property
    def hears_silos(self) -> bool:
        """Whether a coordinator is to tell it, in runs that show the coordinator each silo's own numbers."""

    def tell_silos(self, told: Sequence[SiloTold]) -> int:
        """Record these. Returns once they are recorded: how many of them were refused for good."""

    def close(self) -> None:
        """There will be no more."""


@dataclass(frozen=True, slots=True)
class FinalModel:
    """The model that a run ended with.

    model    its file, to be read only
    package  the file of the app's package; None where the run is of an app that is no package
    """

    run: str
    round: int
    digest: str
    plan: Plan
    model: Path
    package: Path | None


FindModel: TypeAlias = Callable[[str, str], AbstractContextManager[FinalModel | None]]
"""The id of a run and the digest of its last model -> that model, whose files are there while it is open.

None where it is not there any more.
"""


def no_model(run: str, digest: str) -> AbstractContextManager[None]:
    """Finds none."""
    del run, digest
    return nullcontext()


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """What a tracker is made from.

    data_dir  the coordinator's or the silo's; paths in `values` are relative to it
    values    its table in coordinator.toml or silo.toml, `[tracking.NAME]`
    hosts     the only hosts that it may reach, `HOST` or `HOST:PORT`: a silo's policy; None in a coordinator
    find      finds a run's last model, in a coordinator
    """

    data_dir: Path
    values: Mapping[str, Scalar]
    hosts: tuple[str, ...] | None = None
    find: FindModel = no_model


MakeTracker: TypeAlias = Callable[[TrackerSettings], Tracker]
"""Makes a tracker. Raises ConfigError for a setting that it does not know or cannot use; connects to nothing yet."""
