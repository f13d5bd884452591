"""What do people and tools see of runs, models and silos? Frozen values, made from the state by pure functions.

They are the public API's answers: `codec.to_json` and `codec.from_json` carry them, and the OpenAPI page shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from septum.protocol.aggregator import ANY
from septum.protocol.codec import LATER, Scalar
from septum.protocol.description import SiloDescription, Standing
from septum.protocol.facts import Fact, Metrics, ModelMade, ModelMeasured, SiloModelsKept
from septum.protocol.html import value_html
from septum.protocol.messages import Blob
from septum.protocol.plan import AppRef, Plan, StrategyRef, Vote
from septum.protocol.priority import Priority
from septum.protocol.privacy import Mode, Strength
from septum.protocol.rights import FIRST_ORGANISATION
from septum.protocol.run_state import Phase, Presence, Run

ONLINE_S = 60.0  # an agent's request is held for 25 s at most, so two missed ones mean that it is away


class RunStatus(Enum):
    """What a run is doing, in one word."""

    QUEUED = "queued"
    GATHERING = "gathering"
    PREPARING = "preparing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self in (RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.FAILED)


@dataclass(frozen=True, slots=True)
class SiloInRun:
    """A silo as one run knows it.

    awaited  the run waits for its report now
    problem  why it refused, left, or last failed; empty once it reports again
    """

    name: str
    presence: Presence
    awaited: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PrivacyView:
    """What a run with differential privacy promises of the records of each silo.

    epsilon  by silo, at most: what the plan lets it cost. What it did cost, and its exact delta, stay in the silo, for
             they tell how many rows it has
    delta    None: a tenth of 1 / rows, each silo's own
    """

    mode: Mode
    strength: Strength
    epsilon: Mapping[str, float]
    delta: float | None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run.

    round            the round at work; `finished_rounds` of `rounds` are done
    metrics          the newest measured model on the test rows of all silos
    model            digest of the newest model
    reason           why it is paused or has ended, when there is something to say
    created_at       Unix time, seconds
    masked           whether the coordinator learns sums over the silos alone
    privacy          what is promised of each silo's records; None where it is trained without differential privacy
    vote             by which rule its silos vote on each model; None where they do not
    burnt            models in a row that were voted down
    asks             whether it asks for statistics, and makes no model
    project          to which it belongs; empty: to none, and so to the federation
    priority         how soon it is to begin, compared with others that wait in the queue
    position         its place in the queue, from 1; 0 where it does not wait there. `reason` says for what it waits
    submitter        the name of who submitted it; empty: an older septum did not ask
    ended_at         Unix time, seconds; None while it has not ended
    keeps_silo_models  whether each silo's own model of each round is kept at the coordinator
    shredded_at      when all files of what it made and got were removed, and their key with them, Unix time, seconds
    shredded_by      by whom; empty: it was not shredded
    aggregator       the label of the coordinators that may drive it; "any": every one
    """

    id: str
    name: str
    app: AppRef
    status: RunStatus
    round: int
    finished_rounds: int
    rounds: int
    attempt: int
    quorum: int
    silos: tuple[SiloInRun, ...]
    strategy: StrategyRef
    hyper: Mapping[str, Scalar]
    plan_digest: str
    metrics: Metrics | None
    model: str | None
    reason: str
    created_at: float
    masked: bool = False
    privacy: PrivacyView | None = field(default=None, metadata=LATER)
    vote: Vote | None = field(default=None, metadata=LATER)
    burnt: int = field(default=0, metadata=LATER)
    asks: bool = field(default=False, metadata=LATER)
    project: str = field(default="", metadata=LATER)
    priority: Priority = field(default=Priority.NORMAL, metadata=LATER)
    position: int = field(default=0, metadata=LATER)
    submitter: str = field(default="", metadata=LATER)
    ended_at: float | None = field(default=None, metadata=LATER)
    keeps_silo_models: bool = field(default=False, metadata=LATER)
    aggregator: str = field(default=ANY, metadata=LATER)
    shredded_at: float | None = field(default=None, metadata=LATER)
    shredded_by: str = field(default="", metadata=LATER)

    def _repr_html_(self) -> str:
        return value_html(self)


@dataclass(frozen=True, slots=True)
class Shredded:
    """A run was shredded.

    under_key  whether the coordinator seals files: then what was sealed under the run's key opens nowhere any more, on
               whatever disk it is. Else its files were removed, and what a disk keeps of them may be under no key
    """

    run: RunView
    under_key: bool


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model that a run made. `metrics` is None while it is not measured."""

    run: str
    round: int
    digest: str
    size_bytes: int
    metrics: Metrics | None

    def _repr_html_(self) -> str:
        return value_html(self)


@dataclass(frozen=True, slots=True)
class SiloModelView:
    """A silo's own model of a round, which a run without masks was to keep (docs/decisions/0030).

    digest       of its file, in the safetensors layout
    base         digest of the federation's model that the round began with
    update       digest of what the silo sent
    update_norm  L2 norm of how the silo changed the model: one unlike the others' is worth a look
    federation   the federation's model of that round on this silo's test rows; None while it is not measured
    """

    run: str
    round: int
    silo: str
    digest: str
    size_bytes: int
    base: str
    update: str
    update_norm: float
    federation: Metrics | None

    def _repr_html_(self) -> str:
        return value_html(self)


@dataclass(frozen=True, slots=True)
class PrunedRun:
    """Of a run: how many models go, how many of single silos, and their bytes, updates included."""

    run: str
    models: int
    size_bytes: int
    silo_models: int = field(default=0, metadata=LATER)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What goes, newest run first. `done`: it has gone; else it would."""

    runs: tuple[PrunedRun, ...]
    done: bool


class SiloStatus(Enum):
    """How a silo stands with the coordinator. Of one that is paused `seen_at` tells whether it is there."""

    INVITED = "invited"
    ONLINE = "online"
    OFFLINE = "offline"
    PAUSED = "paused"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class SiloView:
    """A silo. Times are Unix seconds, 0 if it never happened; `seen_at` may lag by some seconds.

    septum, labels  as the silo says; empty while it has said nothing
    fingerprint     of the key that it enrolled with, as `septum silo key` prints it there; empty before
    """

    name: str
    status: SiloStatus
    enrolled_at: float
    seen_at: float
    organisation: str = field(default=FIRST_ORGANISATION, metadata=LATER)
    septum: str = field(default="", metadata=LATER)
    labels: Mapping[str, str] = field(default_factory=dict, metadata=LATER)
    fingerprint: str = field(default="", metadata=LATER)

    def _repr_html_(self) -> str:
        return value_html(self)


@dataclass(frozen=True, slots=True)
class SiloDetail:
    """A silo with what it says of itself, none of which is proven. Times are Unix seconds, 0 if it never happened."""

    silo: SiloView
    description: SiloDescription | None
    described_at: float
    standing: Standing
    stood_at: float


@dataclass(frozen=True, slots=True)
class JournalView:
    """One entry of a run's journal. `seq` counts from 1 without gaps; `at` is Unix time, seconds."""

    seq: int
    at: float
    fact: Fact


@dataclass(frozen=True, slots=True)
class AppView:
    """A package that silos can fetch.

    digest      sha256: of its bytes, by which silos approve it and plans name it
    blob        the same bytes as they are stored and fetched
    pushed_at   Unix time, seconds
    signatures  JSON as its authors made it; whoever approves the package verifies it
    presets     values of hyper-parameters by the preset's name, given beside the package; those in it are not here
    """

    digest: str
    name: str
    version: str
    blob: Blob
    pushed_at: float
    signatures: str
    presets: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InviteView:
    """A one-time invitation. The token is shown this once; only its hash is kept.

    url  by which the silo reaches the coordinator, as the coordinator knows it
    """

    silo: str
    token: str = field(repr=False)
    expires_at: float
    url: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class HealthView:
    """That the coordinator answers, which version it is, and what it carries.

    labels  by which runs name the coordinators that may drive them
    """

    version: str
    started_at: float
    runs_unfinished: int
    silos_online: int
    labels: tuple[str, ...] = field(default=(), metadata=LATER)


def run_view(
    run: Run,
    *,
    created_at: float,
    project: str = "",
    submitter: str = "",
    ended_at: float | None = None,
    shredded_at: float | None = None,
    shredded_by: str = "",
) -> RunView:
    """What people see of a run's state. `ended_at`: when it ended last; it may go on since."""
    plan = run.plan
    awaited = () if run.combining else run.awaited
    return RunView(
        id=run.id,
        name=plan.name,
        app=plan.app,
        status=run_status(run),
        round=run.round,
        finished_rounds=run.finished,
        rounds=plan.rounds,
        attempt=run.attempt,
        quorum=plan.quorum,
        silos=tuple(
            SiloInRun(silo, run.presence[silo], silo in awaited, run.problems.get(silo, "")) for silo in plan.silos
        ),
        strategy=plan.strategy,
        hyper=plan.hyper,
        plan_digest=plan.digest,
        metrics=run.measured,
        model=run.model.digest if run.model else None,
        reason=run.reason,
        created_at=created_at,
        masked=plan.masking is not None,
        privacy=_promised(plan),
        vote=plan.vote,
        burnt=run.burnt,
        asks=plan.query is not None,
        project=project,
        priority=run.priority,
        submitter=submitter,
        ended_at=None if run.outcome is None else ended_at,
        keeps_silo_models=plan.keep_silo_models,
        aggregator=plan.aggregator,
        shredded_at=shredded_at,
        shredded_by=shredded_by,
    )


def _promised(plan: Plan) -> PrivacyView | None:
    wanted = plan.privacy
    if plan.query is not None and plan.query.noise is not None:
        noise = plan.query.noise
        epsilons = dict.fromkeys(plan.silos, noise.epsilon)
        return PrivacyView(Mode.RECORD, Strength.ENFORCED, epsilons, noise.delta)
    if wanted is None:
        return None
    return PrivacyView(wanted.mode, wanted.strength, dict.fromkeys(plan.silos, wanted.target_epsilon), wanted.delta)


def run_status(run: Run) -> RunStatus:
    """What a run is doing."""
    if run.outcome is not None:
        return RunStatus(run.outcome.value)
    if run.paused:
        return RunStatus.PAUSED
    match run.phase:
        case Phase.QUEUED:
            return RunStatus.QUEUED
        case Phase.PREPARE:
            return RunStatus.PREPARING
        case Phase.TRAIN:
            return RunStatus.TRAINING
        case Phase.EVALUATE:
            return RunStatus.EVALUATING
        case _:
            return RunStatus.GATHERING


def newest_model(run: Run) -> ModelView | None:
    """The newest model of a run, if it has one. It is measured one stage later, so only an ended run's has metrics."""
    if run.model is None:
        return None
    measured = run.measured if run_status(run) is RunStatus.FINISHED else None
    return ModelView(run.id, run.finished, run.model.digest, run.model.size_bytes, measured)


def models_of(run_id: str, facts: Iterable[Fact]) -> tuple[ModelView, ...]:
    """Every model of a run, oldest first, from its journal.

    >>> blob = Blob("blake3:" + 64 * "0", 8)
    >>> [(m.round, m.metrics) for m in models_of("r1", [ModelMade(0, blob), ModelMade(1, blob)])]
    [(0, None), (1, None)]
    """
    made: dict[int, Blob] = {}
    measured: dict[int, Metrics] = {}
    for fact in facts:
        match fact:
            case ModelMade(round_, model):
                made[round_] = model
            case ModelMeasured(round_, votes=votes) if votes is not None and votes.down:
                made.pop(round_, None)  # the next `ModelMade` names the model that is kept
            case ModelMeasured(round_, metrics, _):
                measured[round_] = metrics
            case _:
                pass
    return tuple(
        ModelView(run_id, round_, model.digest, model.size_bytes, measured.get(round_))
        for round_, model in sorted(made.items())
    )


def silo_models_of(run_id: str, facts: Iterable[Fact]) -> tuple[SiloModelView, ...]:
    """Every silo's own model that a run kept, by round and silo, from its journal.

    Of a round that was made again, those of the last time.
    """
    kept: dict[int, SiloModelsKept] = {}
    measured: dict[int, Mapping[str, Metrics]] = {}
    for fact in facts:
        if isinstance(fact, SiloModelsKept):
            kept[fact.round] = fact
        elif isinstance(fact, ModelMeasured):
            measured[fact.round] = fact.silos
    return tuple(
        SiloModelView(
            run_id,
            round_,
            silo,
            one.model.digest,
            one.model.size_bytes,
            fact.base.digest,
            one.update.digest,
            one.update_norm,
            measured.get(round_, {}).get(silo),
        )
        for round_, fact in sorted(kept.items())
        for silo, one in sorted(fact.silos.items())
    )


def silo_status(*, enrolled_at: float, seen_at: float, revoked: bool, now: float, paused: bool = False) -> SiloStatus:
    """How a silo stands at Unix time `now`.

    >>> silo_status(enrolled_at=5.0, seen_at=90.0, revoked=False, now=100.0)
    <SiloStatus.ONLINE: 'online'>
    """
    if revoked:
        return SiloStatus.REVOKED
    if not enrolled_at:
        return SiloStatus.INVITED
    if paused:
        return SiloStatus.PAUSED
    return SiloStatus.ONLINE if now - seen_at <= ONLINE_S else SiloStatus.OFFLINE
