"""What happened in a run, as its journal records it and people read it. Numbers about people's rows are sums only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from septum.protocol.codec import LATER
from septum.protocol.messages import Blob, Outcome, Stage
from septum.protocol.priority import Priority
from septum.protocol.query import Query, QueryAnswer

LARGE_BOUND = 0.002  # of a ROC-AUC: above it the last model's scores are counted once more, and people are told it


@dataclass(frozen=True, slots=True)
class MetricsNoise:
    """Standard errors that noise adds to metrics, in a run with differential privacy."""

    accuracy: float
    log_loss: float
    roc_auc: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """How a model does on test rows.

    roc_auc        None where the rows have one class only, or too few for the noise
    roc_auc_bound  the exact value lies within roc_auc +- this; 0 within one silo
    noise          None where it is the exact counts that were summed; then `rows` is exact, too
    """

    rows: int
    accuracy: float
    log_loss: float
    roc_auc: float | None
    roc_auc_bound: float = 0.0
    noise: MetricsNoise | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class RunCreated:
    """The plan was accepted; silos are invited."""

    name: str
    plan_digest: str


@dataclass(frozen=True, slots=True)
class SiloJoined:
    """A silo checked the plan and takes part.

    dataset  digest of its rows, hashed with a key of its own, where its policy lets that be told
    machine  what it said of its software and processor; nothing of this is proven
    """

    silo: str
    dataset: str = field(default="", metadata=LATER)
    machine: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class SiloReturned:
    """A silo that was absent is back, with what it says now, as in `SiloJoined`."""

    silo: str
    dataset: str = field(default="", metadata=LATER)
    machine: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class SiloRefused:
    """A silo's own rule forbids the run."""

    silo: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class SiloLeft:
    """A silo withdrew, or missed a deadline."""

    silo: str
    reason: str


@dataclass(frozen=True, slots=True)
class SiloReported:
    """A silo's report was accepted."""

    silo: str
    stage: Stage
    round: int
    attempt: int
    durations_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiloFailed:
    """A silo could not do its piece of work."""

    silo: str
    stage: Stage
    round: int
    attempt: int
    reason: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class StageOpened:
    """The silos of the cohort are asked for a piece of work."""

    stage: Stage
    round: int
    attempt: int
    cohort: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageClosed:
    """Enough reports are in; they are combined now. `missing` silos did not make it."""

    stage: Stage
    round: int
    attempt: int
    reported: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """Too few reports; the stage is tried again, or the run fails."""

    stage: Stage
    round: int
    attempt: int
    reported: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CombineRefused:
    """The reports do not make a model: a sum overflows, say."""

    stage: Stage
    round: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class PayloadsLost:
    """What these silos had reported is gone or was changed on disk; they are asked again."""

    stage: Stage
    round: int
    attempt: int
    silos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelLost:
    """The model of round `round` is gone or was changed on disk; the run goes on from the one before."""

    round: int
    reason: str


@dataclass(frozen=True, slots=True)
class ModelMade:
    """Round `round` made a model. Round 0 is the initial one."""

    round: int
    model: Blob


@dataclass(frozen=True, slots=True)
class SiloModel:
    """One silo's own model of a round: the model that the round began with, plus the silo's update.

    model        its file, which is made when it is first asked for (silo_models.py)
    update       what the silo sent, as it is kept
    update_norm  L2 norm of the update
    """

    model: Blob
    update: Blob
    update_norm: float


@dataclass(frozen=True, slots=True)
class SiloModelsKept:
    """Each silo's own model of round `round` is kept. `base`: the model that the round began with."""

    round: int
    base: Blob
    silos: Mapping[str, SiloModel]


@dataclass(frozen=True, slots=True)
class StatisticsMade:
    """What was asked of the silos' data, and the answer over all of them."""

    query: Query
    answer: QueryAnswer


@dataclass(frozen=True, slots=True)
class Votes:
    """How many silos accept a model, of those that vote. `down`: why it is not kept; empty if it is."""

    accepts: int
    voters: int
    down: str = ""


@dataclass(frozen=True, slots=True)
class ModelMeasured:
    """The model of round `round` on the test rows of all reporting silos, and silo by silo.

    votes  on it, in a run with a vote. One that is voted down is dropped: the next `ModelMade` names the one kept
    """

    round: int
    metrics: Metrics
    silos: Mapping[str, Metrics]
    votes: Votes | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class RunPaused:
    """No new work is handed out. A reason is given when it was not asked for."""

    reason: str


@dataclass(frozen=True, slots=True)
class RunResumed:
    """Work goes on."""


@dataclass(frozen=True, slots=True)
class RunQueued:
    """It waits in the queue.

    why  no coordinator that is here may drive it; empty: its silos have no room for it
    """

    why: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class RunDequeued:
    """It has left the queue: its silos are invited."""


@dataclass(frozen=True, slots=True)
class RunPrioritised:
    """An operator wants it to begin sooner than others, or later."""

    priority: Priority


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over."""

    outcome: Outcome
    reason: str


Fact = (
    RunCreated
    | SiloJoined
    | SiloReturned
    | SiloRefused
    | SiloLeft
    | SiloReported
    | SiloFailed
    | StageOpened
    | StageClosed
    | AttemptFailed
    | CombineRefused
    | PayloadsLost
    | ModelLost
    | ModelMade
    | ModelMeasured
    | SiloModelsKept
    | StatisticsMade
    | RunPaused
    | RunResumed
    | RunQueued
    | RunDequeued
    | RunPrioritised
    | RunEnded
)
