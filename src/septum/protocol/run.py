"""The run machine: which step a synchronous run takes next. Every transition of a run is in this file.

`step(run, event, now) -> (run, effects)` is pure. An event that this state does not allow raises and changes nothing;
one that is merely late or repeated changes nothing. What a silo is asked is not an effect: `instruction(run, silo)`
derives it from the state, so a silo that reconnects is told the truth. Effects are what the coordinator itself has to
do, and facts for the journal.

    GATHER -> PREPARE -> TRAIN round 1 .. R -> EVALUATE -> ENDED
       ^_________|_________|   quorum lost: wait for silos to return
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from septum.errors import ProtocolError
from septum.protocol import facts
from septum.protocol.facts import Fact
from septum.protocol.messages import (
    Await,
    End,
    Evaluate,
    Failure,
    Instruction,
    Join,
    Leave,
    Outcome,
    Prepare,
    Refuse,
    Report,
    SiloMessage,
    Stage,
    Train,
)
from septum.protocol.plan import Plan
from septum.protocol.run_state import (
    Best,
    Combine,
    Combined,
    CombineFailed,
    Contribution,
    Discard,
    Effect,
    Event,
    FromSilo,
    Note,
    Pause,
    Phase,
    Presence,
    Resume,
    Run,
    Stop,
    Tick,
)

MAX_SILOS_IN_REASON = 8  # of 500 characters each: far from the limit of a message

Step = tuple[Run, tuple[Effect, ...]]


def create(run_id: str, plan: Plan, now: float) -> Step:
    """A new run, waiting for its silos."""
    presence = dict.fromkeys(plan.silos, Presence.INVITED)
    run = Run(id=run_id, plan=plan, presence=presence, now=now, deadline=now + plan.gather_s)
    return run, (Note(facts.RunCreated(plan.name, plan.digest)),)


def step(run: Run, event: Event, now: float) -> Step:
    """The run after `event`, and what is to be done. Raises ProtocolError, changing nothing, for an illegal event."""
    run = replace(run, now=max(run.now, now))
    match event:
        case FromSilo(silo, message):
            return _from_silo(run, silo, message)
        case Tick():
            return _tick(run)
        case Combined():
            return _combined(run, event)
        case CombineFailed():
            return _combine_failed(run, event)
        case Pause():
            return _pause(run, "")
        case Resume():
            return _resume(run)
        case Stop(reason):
            return _stop(run, reason)


def instruction(run: Run, silo: str) -> Instruction | None:
    """What `silo` is to do now; None while there is nothing, so its request is held. Raises for an unknown silo."""
    _known(run, silo)
    if run.outcome is not None:
        return End(run.outcome, run.reason)
    if run.presence[silo] is Presence.REFUSED:
        return End(Outcome.STOPPED, "this silo refused the run")
    if run.paused or run.combining or silo not in run.awaited:
        return None
    match run.phase:
        case Phase.PREPARE:
            return Prepare(run.attempt, initial=silo == initial_maker(run))
        case Phase.TRAIN:
            assert run.model is not None
            return Train(run.round, run.attempt, run.model)
        case Phase.EVALUATE:
            assert run.model is not None
            return Evaluate(run.round, run.attempt, run.model)
        case _:
            return None


def initial_maker(run: Run) -> str:
    """The silo that makes the initial model: another one in each attempt, for the first may be unable to."""
    return run.cohort[(run.attempt - 1) % len(run.cohort)]


def _known(run: Run, silo: str) -> None:
    if silo not in run.presence:
        raise ProtocolError(f"silo {silo!r} is not part of run {run.id}", hint=f"septum run show {run.id}")


# --- what silos say ------------------------------------------------------------------------------------------------


def _from_silo(run: Run, silo: str, message: SiloMessage) -> Step:
    _known(run, silo)
    if run.outcome is not None:
        return run, ()
    match message:
        case Join(plan_digest):
            if plan_digest != run.plan.digest:
                raise ProtocolError(
                    f"silo {silo!r} joins run {run.id} with plan {plan_digest[:80]}, but the plan is {run.plan.digest}"
                )
            return _present(run, silo)
        case Refuse(rule, reason):
            return _refuse(run, silo, rule, reason)
        case Leave(reason):
            return _leave(run, silo, reason)
        case Await():
            return _present(run, silo) if run.presence[silo] is Presence.ABSENT else (run, ())
        case Report():
            return _report(run, silo, message)
        case Failure():
            return _failure(run, silo, message)


def _present(run: Run, silo: str) -> Step:
    before = run.presence[silo]
    if before in (Presence.ACTIVE, Presence.REFUSED):
        return run, ()
    run = replace(run, presence={**run.presence, silo: Presence.ACTIVE})
    fact: Fact = facts.SiloReturned(silo) if before is Presence.ABSENT else facts.SiloJoined(silo)
    return _then((run, (Note(fact),)), _gathered)


def _refuse(run: Run, silo: str, rule: str, reason: str) -> Step:
    if run.presence[silo] is Presence.REFUSED:
        return run, ()
    run = _withdrawn(run, silo, Presence.REFUSED, f"refused by its rule {rule!r}: {reason}")
    return _then((run, (Note(facts.SiloRefused(silo, rule, reason)),)), _gathered, _close_if_complete)


def _leave(run: Run, silo: str, reason: str) -> Step:
    if run.presence[silo] is not Presence.ACTIVE:
        return run, ()
    run = _withdrawn(run, silo, Presence.ABSENT, reason)
    return _then((run, (Note(facts.SiloLeft(silo, reason)),)), _gathered, _close_if_complete)


def _withdrawn(run: Run, silo: str, presence: Presence, reason: str) -> Run:
    """The cohort of an attempt stays as it was asked: who makes the initial model depends on it."""
    failures = {**run.failures, silo: reason} if silo in run.awaited else run.failures
    problems = {**run.problems, silo: reason}
    return replace(run, presence={**run.presence, silo: presence}, failures=failures, problems=problems)


def _report(run: Run, silo: str, report: Report) -> Step:
    late = _is_past(run, report.stage, report.round, report.attempt)  # by what was asked before this silo was back
    run, effects = _present(run, silo) if run.presence[silo] is Presence.ABSENT else (run, ())
    if late or silo not in run.awaited or run.combining:
        return run, effects  # late or repeated: delivery is at least once
    expected = run.model.digest if run.model else ""
    if report.base != expected:
        raise ProtocolError(
            f"round {report.round}: silo {silo!r} started from model {report.base or 'none'}, "
            f"not from {expected or 'none'}",
            hint=f"septum run show {run.id}",
        )
    contribution = Contribution(report.payload.without_bytes(), report.weight)
    problems = {other: problem for other, problem in run.problems.items() if other != silo}
    run = replace(run, reports={**run.reports, silo: contribution}, problems=problems)
    fact = facts.SiloReported(silo, report.stage, report.round, report.attempt, report.durations_s)
    return _then((run, (*effects, Note(fact))), _close_if_complete)


def _failure(run: Run, silo: str, failure: Failure) -> Step:
    late = _is_past(run, failure.stage, failure.round, failure.attempt)
    run, effects = _present(run, silo) if run.presence[silo] is Presence.ABSENT else (run, ())
    if late or silo not in run.awaited:
        return run, effects
    problem = f"{_where(failure.stage, failure.round)}: {failure.reason}"
    run = replace(run, failures={**run.failures, silo: failure.reason}, problems={**run.problems, silo: problem})
    fact = facts.SiloFailed(silo, failure.stage, failure.round, failure.attempt, failure.reason, failure.details)
    return _then((run, (*effects, Note(fact))), _close_if_complete)


def _is_past(run: Run, stage: Stage, round_: int, attempt: int) -> bool:
    """Whether work belongs to an earlier attempt. Raises for work that nobody has asked for yet."""
    theirs, ours = (_order(stage), round_, attempt), (_order(run.stage), run.round, run.attempt)
    if theirs > ours and run.phase is not Phase.GATHER:
        raise ProtocolError(
            f"{stage.value} round {round_} attempt {attempt} is ahead of run {run.id}, which is at "
            f"{run.phase.value} round {run.round} attempt {run.attempt}",
            hint=f"septum run show {run.id}",
        )
    return theirs != ours


def _order(stage: Stage | None) -> int:
    return -1 if stage is None else list(Stage).index(stage)


# --- time ----------------------------------------------------------------------------------------------------------


def _tick(run: Run) -> Step:
    if run.deadline is None or run.now < run.deadline or run.outcome is not None:
        return run, ()
    if run.phase is Phase.GATHER:
        if len(run.active) >= _needed(run):
            return _open_next(run)
        got, need = len(run.active), run.plan.quorum
        waited = f"{got} of {need} silos joined within {run.plan.gather_s:g} s"
        return _end(run, Outcome.FAILED, f"no quorum: {waited}; missing: {_not_active(run)}")
    late = run.awaited
    presence = {**run.presence, **dict.fromkeys(late, Presence.ABSENT)}
    reason = f"no report within {run.plan.deadline_s:g} s"
    failures = {**run.failures, **dict.fromkeys(late, reason)}
    problems = {**run.problems, **dict.fromkeys(late, f"{_where(run.stage, run.round)}: {reason}")}
    run = replace(run, presence=presence, failures=failures, problems=problems)
    return _then((run, tuple(Note(facts.SiloLeft(silo, reason)) for silo in late)), _close_if_complete)


def _not_active(run: Run) -> str:
    return _some([f"{silo} ({run.presence[silo].value})" for silo in run.plan.silos if silo not in run.active])


def _some(items: Sequence[str]) -> str:
    """The first few, so that a reason fits into a message however many silos there are.

    >>> _some(["a", "b"]), _some("abcdefghij")
    ('a; b', 'a; b; c; d; e; f; g; h; and 2 more')
    """
    shown = list(items[:MAX_SILOS_IN_REASON])
    return "; ".join(shown if len(items) == len(shown) else [*shown, f"and {len(items) - len(shown)} more"])


# --- opening and closing a stage -----------------------------------------------------------------------------------


def _gathered(run: Run) -> Step:
    """Leave GATHER as soon as every silo that may still come has come."""
    if run.phase is not Phase.GATHER:
        return run, ()
    still_out = [s for s in run.plan.silos if run.presence[s] in (Presence.INVITED, Presence.ABSENT)]
    could_come = len(run.active) + len(still_out)
    if could_come < _needed(run):
        missing = _not_active(run)
        return _end(run, Outcome.FAILED, f"no quorum: at most {could_come} of {run.plan.quorum} silos; {missing}")
    return (run, ()) if still_out or len(run.active) < _needed(run) else _open_next(run)


def _needed(run: Run) -> int:
    """How many silos the next stage takes. None for the last: the finished model is there, measured or not."""
    return 0 if _next(run)[0] is Stage.EVALUATE else run.plan.quorum


def _next(run: Run) -> tuple[Stage, int]:
    """The stage, and its round, that the run's results so far call for; the open one while its result is not in."""
    if run.model is None:
        return Stage.PREPARE, 0
    if run.finished < run.plan.rounds and not _stale(run):
        return Stage.TRAIN, run.finished + 1
    return Stage.EVALUATE, run.finished


def _stale(run: Run) -> bool:
    rule = run.plan.early_stopping
    return rule is not None and run.best is not None and run.best.stale >= rule.patience


def _open_next(run: Run) -> Step:
    """Ask the silos that are present for the next piece of work, in a new attempt; gather first if they are too few."""
    stage, round_ = _next(run)
    run = replace(run, cohort=(), reports={}, failures={}, combining=False)
    if len(run.active) < _needed(run):
        return _gathered(_wait(replace(run, phase=Phase.GATHER), run.plan.gather_s))
    if not run.active:
        return _end(run, Outcome.FINISHED, "the last model was not measured: no silo was present")
    # Attempts are numbered through gatherings, stops and resumes, so that what an earlier one left behind is known by
    # its number: a late report or a late `Combined` never passes for one of this attempt.
    run = replace(run, phase=Phase(stage.value), round=round_, attempt=run.attempt + 1, cohort=run.active)
    return _wait(run, run.plan.deadline_s), (Note(facts.StageOpened(stage, round_, run.attempt, run.active)),)


def _wait(run: Run, seconds: float) -> Run:
    if run.paused:
        return replace(run, deadline=None, remaining_s=seconds)
    return replace(run, deadline=run.now + seconds, remaining_s=None)


def _close_if_complete(run: Run) -> Step:
    """Close the attempt once every silo of the cohort has reported, failed or left."""
    stage = run.stage
    if stage is None or run.combining or run.awaited:
        return run, ()
    reported, missing = tuple(sorted(run.reports)), tuple(sorted(run.failures))
    enough = 1 if stage is Stage.EVALUATE else run.plan.quorum
    maker_failed = stage is Stage.PREPARE and initial_maker(run) not in run.reports
    if len(reported) < enough or maker_failed:
        return _try_again(run, stage, reported, missing)
    run = replace(run, combining=True, deadline=None, remaining_s=None)
    combine = _combine(run, stage)
    return run, (Note(facts.StageClosed(stage, run.round, run.attempt, reported, missing)), combine)


def _combine(run: Run, stage: Stage) -> Combine:
    contributions = {silo: run.reports[silo] for silo in sorted(run.reports)}
    return Combine(stage, run.round, run.attempt, run.model, run.optimizer, contributions)


def _try_again(run: Run, stage: Stage, reported: tuple[str, ...], missing: tuple[str, ...]) -> Step:
    note = Note(facts.AttemptFailed(stage, run.round, run.attempt, reported, missing))
    tried = run.attempt - run.forgiven
    if tried < run.plan.attempts:
        return _then((run, (note,)), _open_next)
    if stage is Stage.EVALUATE:
        return _then((run, (note,)), lambda r: _end(r, Outcome.FINISHED, "the last model was not measured"))
    reasons = _some([f"{silo}: {run.failures[silo]}" for silo in missing])
    reason = f"{_where(stage, run.round)}: {len(reported)} of {run.plan.quorum} silos after {tried} attempts; {reasons}"
    return _then((run, (note,)), lambda r: _end(r, Outcome.FAILED, reason))


def _where(stage: Stage | None, round_: int) -> str:
    return "preparation" if stage is Stage.PREPARE else f"round {round_}"


# --- results -------------------------------------------------------------------------------------------------------


def _combined(run: Run, result: Combined) -> Step:
    if run.outcome is not None or _is_past(run, result.stage, result.round, result.attempt):
        return run, ()
    if not run.combining:
        raise ProtocolError(f"run {run.id}: round {result.round} was combined before its reports were in")
    if (result.model is None) != (result.stage is Stage.EVALUATE):
        raise ProtocolError(
            f"run {run.id}: {result.stage.value} {'needs a' if result.model is None else 'makes no'} model"
        )
    notes: list[Effect] = []
    if result.measured is not None:
        run = replace(run, measured=result.measured.metrics, best=_best(run, result.measured))
        notes.append(Note(result.measured))
    if result.model is not None:
        model = result.model.without_bytes()
        optimizer = result.optimizer.without_bytes() if result.optimizer else None
        run = replace(run, model=model, finished=result.round, optimizer=optimizer)
        notes.append(Note(facts.ModelMade(result.round, model)))
    if result.stage is Stage.EVALUATE:
        reason = "early stopping" if run.finished < run.plan.rounds else ""
        return _then((run, tuple(notes)), lambda r: _end(r, Outcome.FINISHED, reason))
    notes.append(Discard(result.stage, result.round))
    return _then((replace(run, attempt=0, forgiven=0), tuple(notes)), _open_next)


def _best(run: Run, measured: facts.ModelMeasured) -> Best | None:
    rule = run.plan.early_stopping
    if rule is None:
        return None
    value: float | None = getattr(measured.metrics, rule.metric.value)
    if value is None:
        return run.best
    gain = 0.0 if run.best is None else (value - run.best.value) * (1 if rule.metric.larger_is_better else -1)
    if run.best is None or gain > rule.min_delta:
        return Best(value, measured.round)
    return replace(run.best, stale=run.best.stale + 1)


def _combine_failed(run: Run, failed: CombineFailed) -> Step:
    if run.outcome is not None or _is_past(run, failed.stage, failed.round, failed.attempt) or not run.combining:
        return run, ()
    return _pause(run, failed.reason or "the reports could not be combined")


# --- the operator --------------------------------------------------------------------------------------------------


def _pause(run: Run, reason: str) -> Step:
    if run.outcome is not None:
        raise ProtocolError(f"run {run.id} has ended ({run.outcome.value})", hint=f"septum run show {run.id}")
    if run.paused:
        if reason in ("", run.reason):
            return run, ()
        return replace(run, reason=reason), (Note(facts.RunPaused(reason)),)
    left = None if run.deadline is None else max(0.0, run.deadline - run.now)
    run = replace(run, paused=True, deadline=None, remaining_s=left, reason=reason)
    return run, (Note(facts.RunPaused(reason)),)


def _resume(run: Run) -> Step:
    if run.outcome is Outcome.FINISHED:
        raise ProtocolError(f"run {run.id} has finished", hint=f"septum model list --run {run.id}")
    if run.outcome is not None:
        return _resume_ended(run)
    if not run.paused:
        return run, ()
    deadline = None if run.remaining_s is None else run.now + run.remaining_s
    again: tuple[Effect, ...] = ()
    if run.combining and run.reason:  # the effect failed; without a failure it is still in the outbox
        assert run.stage is not None
        again = (_combine(run, run.stage),)
    run = replace(run, paused=False, deadline=deadline, remaining_s=None, reason="")
    return run, (Note(facts.RunResumed()), *again)


def _resume_ended(run: Run) -> Step:
    """Gather the silos again, and go on after the last finished round.

    A silo that had joined may never have heard of the end, so it is taken for absent: any word of it brings it back.
    """
    back = {Presence.ACTIVE: Presence.ABSENT, Presence.REFUSED: Presence.INVITED}
    presence = {silo: back.get(was, was) for silo, was in run.presence.items()}
    run = replace(run, phase=Phase.GATHER, outcome=None, reason="", presence=presence, forgiven=run.attempt)
    return _wait(run, run.plan.gather_s), (Note(facts.RunResumed()),)


def _stop(run: Run, reason: str) -> Step:
    if run.outcome is Outcome.STOPPED:
        return run, ()
    if run.outcome is not None:
        raise ProtocolError(f"run {run.id} has ended ({run.outcome.value})", hint=f"septum run show {run.id}")
    return _end(run, Outcome.STOPPED, reason)


def _end(run: Run, outcome: Outcome, reason: str) -> Step:
    discard: tuple[Effect, ...] = () if run.attempt == 0 else (Discard(*_last(run)),)
    ended = replace(
        run,
        phase=Phase.ENDED,
        outcome=outcome,
        reason=reason,
        cohort=(),
        reports={},
        failures={},
        combining=False,
        paused=False,
        deadline=None,
        remaining_s=None,
    )
    return ended, (*discard, Note(facts.RunEnded(outcome, reason)))


def _last(run: Run) -> tuple[Stage, int]:
    """The stage, and its round, that was opened last and has no result: also while gathering for its next attempt."""
    return (run.stage, run.round) if run.stage else _next(run)


def _then(done: Step, *following: Callable[[Run], Step]) -> Step:
    """Apply further transitions to a step's run, collecting the effects."""
    run, effects = done
    for transition in following:
        run, more = transition(run)
        effects = (*effects, *more)
    return run, effects
