"""The silo machine: what a silo does next in one run. Every transition of its part is in this file.

`step(state, event) -> (state, effects)` is pure. The coordinator derives its instructions from committed state, so it
may ask for the same work again: in a new attempt, after a lost answer, after its own restart. The same work is never
done twice: the kept report is offered again with the new attempt's number. An event that this state does not allow
raises and changes nothing.

    INVITED -> ACTIVE  -> ENDED     the app's own state is carried on once the coordinator asks for a later round:
           |-> REFUSED ->           only then is it certain that the round is closed

A stopped or failed run can be resumed by its operator; then the silo goes on from what it kept (ENDED -> ACTIVE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from septum.errors import ProtocolError
from septum.protocol.messages import (
    MAX_DETAILS_CHARS,
    MAX_REASON_CHARS,
    Agree,
    Await,
    Barrier,
    Blob,
    End,
    Evaluate,
    Failure,
    Instruction,
    Join,
    MakeKeys,
    Masked,
    Outcome,
    Prepare,
    Refuse,
    Report,
    Result,
    ShareKeys,
    SiloMessage,
    Stage,
    Train,
    Unmask,
    Wait,
    Work,
)
from septum.protocol.plan import Plan

MAX_TRIES = 2  # how often one attempt's work is begun when its process dies: once may be chance, twice is a cause


class SiloPhase(Enum):
    """Where a silo's part in a run is."""

    INVITED = "invited"
    ACTIVE = "active"
    REFUSED = "refused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work, as it was asked for. `model` is the base, by digest."""

    stage: Stage
    round: int
    attempt: int
    model: Blob | None = None
    initial: bool = False

    def is_same_work(self, other: Job) -> bool:
        """Whether both ask for the same result, whatever the attempt."""
        return replace(self, attempt=other.attempt) == other

    @property
    def place(self) -> tuple[int, int]:
        """Its place in the run; the order in which a run asks."""
        return list(Stage).index(self.stage), self.round

    @property
    def base(self) -> str:
        """The digest of the model it starts from; empty for `prepare`."""
        return self.model.digest if self.model else ""

    @property
    def name(self) -> str:
        """What its files are called.

        >>> Job(Stage.TRAIN, 3, attempt=2).name
        'train-3'
        """
        return f"{self.stage.value}-{self.round}"


@dataclass(frozen=True, slots=True)
class Held:
    """The result of a job, kept until its round is closed; small payloads with their bytes.

    `has_state`: the app's new state lies beside it.
    """

    job: Job
    payload: Blob
    weight: int
    durations_s: Mapping[str, float]
    has_state: bool


@dataclass(frozen=True, slots=True)
class SiloRun:
    """A silo's whole part in a run.

    job       the newest work that was asked for
    working   it is being done now
    tries     how often this attempt's work was begun
    held      the newest result
    failure   why the newest work could not be done
    carried   the round whose app state the next training starts from; 0 before there is one
    before    the round whose app state that one had started from, for a coordinator that has to go back one round
    """

    run: str
    silo: str
    plan: Plan
    phase: SiloPhase = SiloPhase.INVITED
    refusal: Refuse | None = None
    job: Job | None = None
    working: bool = False
    tries: int = 0
    held: Held | None = None
    failure: Failure | None = None
    carried: int = 0
    before: int = 0
    outcome: Outcome | None = None


# --- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Consented:
    """The silo's own policy allows the run. Also after a restart of the agent: whatever was being done is lost."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The silo's own rule `rule` forbids the run."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The line to the coordinator broke, and can be tried again."""


@dataclass(frozen=True, slots=True)
class Instructed:
    """The coordinator answered."""

    instruction: Instruction


@dataclass(frozen=True, slots=True)
class Rejected:
    """The coordinator did not accept what was said last."""

    reason: str


@dataclass(frozen=True, slots=True)
class Worked:
    """A job was done."""

    job: Job
    payload: Blob
    weight: int
    durations_s: Mapping[str, float] = field(default_factory=dict)
    has_state: bool = False


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """A job could not be done. `worker_gone`: its process died or hung, so another one may succeed."""

    job: Job
    reason: str
    details: str = ""
    worker_gone: bool = False


Event = Consented | Denied | Reconnected | Instructed | Rejected | Worked | WorkFailed


# --- effects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Say this to the coordinator. Of a payload it holds the reference; the driver adds the bytes, or masks them."""

    message: SiloMessage


@dataclass(frozen=True, slots=True)
class Exchange:
    """Answer this step of a masked attempt, with secrets that only the driver has and that no file ever holds."""

    asked: Barrier


@dataclass(frozen=True, slots=True)
class Do:
    """Do this work. `model` may bring the bytes of the base model; `state` names the app state to start from."""

    job: Job
    model: Blob | None
    state: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete the files of jobs that `kept_payloads` and `kept_states` no longer name."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The silo's part is over: end the worker. `keep`: the run may be resumed, so keep what is kept."""

    outcome: Outcome
    reason: str
    keep: bool


Effect = Send | Exchange | Do | Forget | Finish
Step = tuple[SiloRun, tuple[Effect, ...]]


def step(state: SiloRun, event: Event) -> Step:
    """The state after `event`, and what is to be done. Raises ProtocolError, changing nothing, for an illegal event."""
    match event:
        case Consented():
            return _consented(state)
        case Denied(rule, reason):
            refusal = Refuse(rule, _short(reason, MAX_REASON_CHARS))
            return replace(state, phase=SiloPhase.REFUSED, refusal=refusal, working=False), (Send(refusal),)
        case Reconnected():
            return _reconnected(state)
        case Instructed(instruction):
            return _instructed(state, instruction)
        case Rejected(reason):
            return _rejected(state, reason)
        case Worked():
            return _worked(state, event)
        case WorkFailed():
            return _work_failed(state, event)


def kept_payloads(state: SiloRun) -> frozenset[str]:
    """The jobs, by `Job.name`, whose payload may be offered again."""
    return frozenset() if state.held is None else frozenset({state.held.job.name})


def kept_states(state: SiloRun) -> frozenset[str]:
    """The jobs, by `Job.name`, whose app state a training may yet start from."""
    states = {f"{Stage.TRAIN.value}-{round_}" for round_ in (state.carried, state.before) if round_}
    return kept_payloads(state) | states


# --- standing in the run -------------------------------------------------------------------------------------------


def _consented(state: SiloRun) -> Step:
    if state.outcome is Outcome.FINISHED:
        raise ProtocolError(f"run {state.run} has finished for silo {state.silo!r}")
    state = replace(state, phase=SiloPhase.ACTIVE, refusal=None, outcome=None, working=False, tries=0)
    return state, (Send(Join(state.plan.digest)),)


def _reconnected(state: SiloRun) -> Step:
    """Join again: the coordinator may have been away, and the run stopped and resumed meanwhile."""
    match state.phase:
        case SiloPhase.ACTIVE:
            return replace(state, working=False), (Send(Join(state.plan.digest)),)
        case SiloPhase.REFUSED:
            assert state.refusal is not None
            return state, (Send(state.refusal),)
        case _:
            raise _not_active(state, "has no line to the coordinator")


def _instructed(state: SiloRun, instruction: Instruction) -> Step:
    if state.phase is SiloPhase.INVITED or (state.phase is SiloPhase.ENDED and not isinstance(instruction, End)):
        raise _not_active(state, f"was told {type(instruction).__name__}")
    match instruction:
        case End(outcome, reason):
            return _end(state, outcome, reason)
        case _ if state.phase is SiloPhase.REFUSED:
            assert state.refusal is not None
            return state, (Send(state.refusal),)
        case Wait():
            return state, () if state.working else (Send(Await()),)
        case Prepare() | Train() | Evaluate():
            return _asked(state, instruction)
        case MakeKeys() | ShareKeys() | Agree() | Unmask():
            return state, (Exchange(instruction),)


def _end(state: SiloRun, outcome: Outcome, reason: str) -> Step:
    if state.phase is SiloPhase.ENDED:
        return state, ()
    kept = state.held is not None or state.carried > 0 or state.failure is not None  # of a failure, what the app said
    keep = outcome is not Outcome.FINISHED and kept
    state = replace(state, phase=SiloPhase.ENDED, outcome=outcome, working=False)
    return state, (Finish(outcome, reason, keep),)


def _not_active(state: SiloRun, what: str) -> ProtocolError:
    return ProtocolError(f"silo {state.silo!r} {what}, but its part in run {state.run} is {state.phase.value}")


# --- work ----------------------------------------------------------------------------------------------------------


def _asked(state: SiloRun, work: Work) -> Step:
    job = _job_of(work)
    newest = state.job
    if not 0 <= job.round <= state.plan.rounds:  # the silo agreed to so many rounds; its policy may bound them
        beyond = f"{job.name} is not in the plan, which has {state.plan.rounds} rounds"
        return state, (Send(_failure(job, beyond, "")),)
    if newest is not None and job.place < newest.place:
        return _asked_again(state, newest, job, work)
    if state.working and newest is not None and job.is_same_work(newest):
        return replace(state, job=job), ()
    if state.held is not None and job.is_same_work(state.held.job):
        state = replace(state, job=job, working=False, failure=None, held=replace(state.held, job=job))
        return state, (Send(_report(state)),)
    if state.failure is not None and job == newest:
        return state, (Send(state.failure),)
    return _begin(state, job, work)


def _asked_again(state: SiloRun, newest: Job, job: Job, work: Work) -> Step:
    """Do work of an earlier round anew: the coordinator lost a model, or was restored from a backup.

    Training is a function, so the result is the one of then; but only where the app's state of then is still there.
    """
    carried = _state_before(state, job.round)
    if job.stage is Stage.TRAIN and carried is None:
        gone = f"{job.name} is asked for after {newest.name}, and the app's state in this silo has gone on: submit anew"
        return state, (Send(_failure(job, gone, "")),)
    back = replace(state, held=None, carried=carried or 0, before=carried or 0)
    state, effects = _begin(back, job, work)
    return state, (Forget(), *effects)


def _state_before(state: SiloRun, round_: int) -> int | None:
    """The round whose app state a training of `round_` starts from; None when that state is no longer kept."""
    if round_ <= 1:
        return 0
    return next((kept for kept in (state.carried, state.before) if kept < round_), None)


def _job_of(work: Work) -> Job:
    match work:
        case Prepare(attempt=attempt, initial=initial):
            return Job(Stage.PREPARE, 0, attempt, initial=initial)
        case Train(round=round_, attempt=attempt, model=model):
            return Job(Stage.TRAIN, round_, attempt, model.without_bytes())
        case Evaluate(round=round_, attempt=attempt, model=model):
            return Job(Stage.EVALUATE, round_, attempt, model.without_bytes())


def _begin(state: SiloRun, job: Job, work: Work) -> Step:
    """Leave the held result behind; if its round is closed, the app state that belongs to it counts from now on."""
    held, carried, before = state.held, state.carried, state.before
    if isinstance(work, Train) and work.burnt:  # what was made since belongs to a model that is not kept
        kept = _state_before(state, job.round - work.burnt)
        if kept is None:
            gone = f"{job.name} goes back {work.burnt} rounds, and the app's state in this silo has gone on"
            return _fail(replace(state, job=job, held=None), job, gone, "")
        carried = before = kept
    elif held is not None and held.job.stage is Stage.TRAIN and held.job.place < job.place:
        carried, before = held.job.round if held.has_state else 0, carried
    has_files = held is not None and (
        held.payload.inline is None or held.has_state or state.carried > 0 or state.plan.masking is not None
    )  # a masked result may be a file though the plain one is not
    forget = (Forget(),) if has_files else ()
    state = replace(state, job=job, working=True, tries=1, held=None, failure=None, carried=carried, before=before)
    return state, (*forget, _do(state, None if isinstance(work, Prepare) else work.model))


def _do(state: SiloRun, model: Blob | None) -> Do:
    assert state.job is not None
    personal = state.plan.private is not None and state.job.stage is Stage.EVALUATE
    starts_from_state = (state.job.stage is Stage.TRAIN or personal) and state.carried > 0
    return Do(state.job, model, f"{Stage.TRAIN.value}-{state.carried}" if starts_from_state else "")


def _worked(state: SiloRun, event: Worked) -> Step:
    job = state.job
    if not state.working or job is None or not job.is_same_work(event.job):
        return state, ()  # other work was asked for meanwhile
    held = Held(job, event.payload, event.weight, event.durations_s, event.has_state)
    state = replace(state, working=False, held=held)
    return state, (Send(_report(state)),)


def _report(state: SiloRun) -> Result:
    held = state.held
    assert held is not None
    job = held.job
    if state.plan.masking is not None:
        return Masked(job.stage, job.round, job.attempt, job.base, held.payload, held.durations_s)
    return Report(job.stage, job.round, job.attempt, job.base, held.payload, held.weight, held.durations_s)


def _work_failed(state: SiloRun, event: WorkFailed) -> Step:
    job = state.job
    if not state.working or job is None or not job.is_same_work(event.job):
        return state, ()
    if event.worker_gone and state.tries < MAX_TRIES:
        state = replace(state, tries=state.tries + 1)
        return state, (_do(state, job.model),)
    return _fail(state, job, event.reason, event.details)


def _rejected(state: SiloRun, reason: str) -> Step:
    """A report that is refused is a failure of this attempt; anything else is said anew."""
    held, job = state.held, state.job
    if state.phase is SiloPhase.ACTIVE and held is not None and job == held.job and state.failure is None:
        state, effects = _fail(replace(state, held=None), job, f"the coordinator refused the report: {reason}", "")
        return state, (Forget(), *effects)
    return _reconnected(state)


def _fail(state: SiloRun, job: Job, reason: str, details: str) -> Step:
    failure = _failure(job, reason, details)
    return replace(state, working=False, failure=failure), (Send(failure),)


def _failure(job: Job, reason: str, details: str) -> Failure:
    last = details[-MAX_DETAILS_CHARS:]  # of a traceback, the last lines say most
    return Failure(job.stage, job.round, job.attempt, _short(reason, MAX_REASON_CHARS), last)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
