"""What a run is made of: its state, the events that reach it, and the effects that leave it. Transitions: run.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from septum.protocol.codec import LATER
from septum.protocol.facts import Fact, Metrics, ModelMeasured, SiloModel, StatisticsMade
from septum.protocol.messages import Blob, Outcome, SiloMessage, Stage
from septum.protocol.plan import Plan
from septum.protocol.priority import Priority
from septum.secagg.messages import Advert, Reveal


class Phase(Enum):
    """Where a run is. Queued: it has not begun, for its silos have no room (queue.py)."""

    QUEUED = "queued"
    GATHER = "gather"
    PREPARE = "prepare"
    TRAIN = "train"
    EVALUATE = "evaluate"
    ENDED = "ended"


class Presence(Enum):
    """What the run knows of a silo."""

    INVITED = "invited"
    ACTIVE = "active"
    ABSENT = "absent"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Contribution:
    """A silo's accepted report: its payload by digest, and its weight in rows."""

    payload: Blob
    weight: int


@dataclass(frozen=True, slots=True)
class Best:
    """The best measured model so far, by the early-stopping metric, and how many models were no better since."""

    value: float
    round: int
    stale: int = 0


@dataclass(frozen=True, slots=True)
class Base:
    """What the newest model was made from, and how the run stood then: to go on from when that model is lost.

    model      None when the newest is the initial one
    attempt    the attempt that made the newest model
    silos      in a masked run, those whose sum made it
    """

    model: Blob | None
    optimizer: Blob | None
    measured: Metrics | None
    best: Best | None
    attempt: int
    silos: tuple[str, ...] = ()


class Step(Enum):
    """Where a masked attempt is: the steps R0 to R4 of its protocol. An attempt without masking has `work` alone."""

    KEYS = "keys"
    SHARES = "shares"
    WORK = "work"
    AGREE = "agree"
    UNMASK = "unmask"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the silos of a masked attempt said to each other through the coordinator. Nothing in it is secret.

    rosters     by silo, the digest of the identity keys that it holds the others' signatures to
    adverts     public keys, by silo (U1)
    sealed      by sender and recipient, shares that only the recipient can open; dropped once everybody has them
    bundled     the silos whose shares are with the others (U2)
    signatures  of the silos that agreed to the list of survivors (U3, the silos in the attempt's reports)
    reveals     shares that take the masks off, by silo
    """

    step: Step = Step.KEYS
    rosters: Mapping[str, str] = field(default_factory=dict)
    adverts: Mapping[str, Advert] = field(default_factory=dict)
    sealed: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)
    bundled: tuple[str, ...] = ()
    signatures: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    reveals: Mapping[str, Reveal] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Ahead:
    """Keys and shares for the attempt that is to follow, exchanged beside the one at work.

    With them the next attempt begins with its work, and takes three requests a silo instead of five.
    """

    stage: Stage
    round: int
    attempt: int
    rosters: Mapping[str, str] = field(default_factory=dict)
    adverts: Mapping[str, Advert] = field(default_factory=dict)
    sealed: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Run:
    """The whole state of a run.

    round        the round at work; after the last one, the number of finished rounds
    attempt      the attempt at this stage and round, counted over gatherings, stops and resumes; 0 before the first
    forgiven     attempts before an operator's resume: they no longer count against the plan's
    numbered     attempts at a round are numbered from here on: what a lost model had led to had smaller numbers
    cohort       the silos asked in this attempt, in a masked one those asked in this step; sorted
    reports      accepted reports of this attempt
    failures     silos of the cohort that said they cannot, with the reason
    problems     why a silo refused, left, or last failed; gone with its next accepted report
    exchange     what a masked attempt has so far; None without masking
    ahead        what was exchanged for the attempt that follows a masked one
    burned       silos whose masked sum an earlier attempt began to release, and is not a model yet: it may be asked
                 again of exactly these silos, for two sums over almost the same silos would tell one silo's numbers
    burnt        models in a row that were voted down
    edges        of the slots in which the last model's scores are counted once more; see Evaluate
    burned_later what `burned` is to be once a model that was lost is made again: its own next sum was begun already
    combining    all reports are in and are being combined
    retrying     it is paused only for lack of space: until there is some, or until combining, tried again at the
                 deadline, succeeds
    model        the newest model, and `finished` the number of rounds behind it
    optimizer    the server optimizer's state that belongs to the model; None when the strategy has none
    previous     what the newest model was made from; None when the one after it was lost
    deadline     engine time, seconds, at which the attempt (or the gathering) closes; None while paused or not waiting
    remaining_s  what is left of the deadline while paused
    now          the latest engine time seen; it never goes back
    priority     how soon it is to begin, compared with others that wait
    queued_at    when it last began to wait in the queue, Unix seconds; 0 if it never did
    """

    id: str
    plan: Plan
    phase: Phase = Phase.GATHER
    round: int = 0
    attempt: int = 0
    forgiven: int = 0
    numbered: int = 0
    presence: Mapping[str, Presence] = field(default_factory=dict)
    cohort: tuple[str, ...] = ()
    reports: Mapping[str, Contribution] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    combining: bool = False
    retrying: bool = False
    paused: bool = False
    model: Blob | None = None
    finished: int = 0
    optimizer: Blob | None = None
    previous: Base | None = None
    measured: Metrics | None = None
    best: Best | None = None
    deadline: float | None = None
    remaining_s: float | None = None
    now: float = 0.0
    outcome: Outcome | None = None
    reason: str = ""
    exchange: Exchange | None = None
    ahead: Ahead | None = None
    burned: tuple[str, ...] = ()
    burned_later: tuple[str, ...] = ()
    burnt: int = 0
    edges: tuple[int, ...] = ()
    priority: Priority = Priority.NORMAL
    queued_at: float = 0.0

    @property
    def active(self) -> tuple[str, ...]:
        """The silos that take part now, in canonical order."""
        return tuple(silo for silo in self.plan.silos if self.presence.get(silo) is Presence.ACTIVE)

    @property
    def stage(self) -> Stage | None:
        """The work that is asked for in this phase."""
        return None if self.phase in (Phase.QUEUED, Phase.GATHER, Phase.ENDED) else Stage(self.phase.value)

    @property
    def at_work(self) -> bool:
        """Whether results are what this step waits for: always, but for the other steps of a masked attempt."""
        return self.exchange is None or self.exchange.step is Step.WORK

    @property
    def begun(self) -> tuple[str, ...]:
        """Over whom a sum was begun to be released: by an earlier attempt, or by this one if it was the first."""
        signing = self.exchange is not None and self.exchange.step in (Step.AGREE, Step.UNMASK)
        return tuple(sorted(self.reports)) if signing and not self.burned else self.burned

    @property
    def step_s(self) -> float:
        """How long this step waits for a silo."""
        masking = self.plan.masking
        return self.plan.deadline_s if masking is None or self.at_work else masking.barrier_s

    @property
    def awaited(self) -> tuple[str, ...]:
        """Whom this attempt still waits for."""
        answered = self._answered()
        return tuple(silo for silo in self.cohort if silo not in answered and silo not in self.failures)

    def _answered(self) -> Collection[str]:
        """Who has said what this step asks for."""
        if self.exchange is None:
            return self.reports
        match self.exchange.step:
            case Step.KEYS:
                return self.exchange.adverts
            case Step.SHARES:
                return self.exchange.sealed
            case Step.WORK:
                return self.reports
            case Step.AGREE:
                return self.exchange.signatures
            case Step.UNMASK:
                return self.exchange.reveals


# --- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FromSilo:
    """A silo said something. `machine`: what the coordinator knows of its software and processor, when it joins."""

    silo: str
    message: SiloMessage
    machine: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went on."""


@dataclass(frozen=True, slots=True)
class Combined:
    """The reports of an attempt were combined.

    model      the new model; None for `evaluate`, which makes none, and where statistics were asked
    measured   the metrics of the model that the reports evaluated; None for `prepare`
    answered   the statistics that were asked
    edges      for `evaluate`: how to count the scores once more, since too many lie in one bin; empty if they need not
    kept       each silo's own model, of a `train` whose plan has them kept
    """

    stage: Stage
    round: int
    attempt: int
    model: Blob | None = None
    optimizer: Blob | None = None
    measured: ModelMeasured | None = None
    answered: StatisticsMade | None = None
    edges: tuple[int, ...] = field(default=(), metadata=LATER)
    kept: Mapping[str, SiloModel] = field(default_factory=dict, metadata=LATER)


@dataclass(frozen=True, slots=True)
class CombineFailed:
    """The reports of an attempt could not be combined, for a reason outside the run.

    `retry`: it may go away by itself, like a full disk.
    """

    stage: Stage
    round: int
    attempt: int
    reason: str
    retry: bool = False


@dataclass(frozen=True, slots=True)
class CombineRefused:
    """The reports of an attempt do not make a model (a sum overflows, say): the attempt has failed."""

    stage: Stage
    round: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class PayloadsLost:
    """What these silos reported in an attempt is no longer on disk, or no longer what they sent."""

    stage: Stage
    round: int
    attempt: int
    silos: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutOfSpace:
    """What silos send cannot be stored. Their time is not running meanwhile."""

    reason: str


@dataclass(frozen=True, slots=True)
class SpaceIsBack:
    """What silos send can be stored again."""


@dataclass(frozen=True, slots=True)
class ModelLost:
    """The newest model, or the optimizer's state beside it, is no longer on disk, or no longer what was written."""

    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Hand out no new work."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on: after a pause where the run stood, after a stop or a failure from the last finished round.

    queued_at  in the latter case: the moment, Unix seconds, from which it waits in the queue; None where it begins now
    """

    queued_at: float | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Its silos have room now: begin."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """No coordinator that is here may drive it: it waits in the queue, and goes on after the last finished round.

    queued_at  the moment, Unix seconds, from which it waits
    """

    queued_at: float
    why: str


@dataclass(frozen=True, slots=True)
class Prioritise:
    """An operator wants it to begin sooner, or later."""

    priority: Priority


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run. The last finished model stays."""

    reason: str = "stopped by an operator"


Event = (
    FromSilo
    | Tick
    | Combined
    | CombineFailed
    | CombineRefused
    | PayloadsLost
    | ModelLost
    | OutOfSpace
    | SpaceIsBack
    | Pause
    | Resume
    | Dequeue
    | Requeue
    | Prioritise
    | Stop
)


# --- effects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Combine:
    """Combine these reports, in canonical order, into statistics, a model, metrics; answer with `Combined`.

    `against` and `edges` are what masked results were asked for besides; see Train and Evaluate.
    """

    stage: Stage
    round: int
    attempt: int
    base: Blob | None
    optimizer: Blob | None
    contributions: Mapping[str, Contribution]
    exchange: Exchange | None = None
    against: str = field(default="", metadata=LATER)
    edges: tuple[int, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True)
class Discard:
    """The silos' payloads up to this round are no longer needed."""

    stage: Stage
    round: int


@dataclass(frozen=True, slots=True)
class Note:
    """Write this fact in the run's journal."""

    fact: Fact


Effect = Combine | Discard | Note
