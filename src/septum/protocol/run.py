"""The run machine: which step a synchronous run takes next. Transitions are here, what they share is in stages.py.

`step(run, event, now) -> (run, effects)` is pure. An event that this state does not allow raises and changes nothing;
one that is merely late or repeated changes nothing. What a silo is asked is not an effect: `instruction(run, silo)`
derives it from the state, so a silo that reconnects is told the truth. Effects are what the coordinator itself has to
do, and facts for the journal.

    QUEUED -> GATHER -> PREPARE -> TRAIN round 1 .. R -> EVALUATE -> ENDED
                 ^_________|_________|   quorum lost: wait for silos to return

QUEUED is for runs whose silos have no room for them (queue.py decides), and for those that no coordinator may drive
(aggregator.py); the others begin with GATHER.

A run that asks for statistics (`plan.query`) goes from PREPARE to ENDED: what silos prepare are the sums of its answer.
How the steps of a masked attempt follow each other is in closing.py.
"""

from __future__ import annotations

from dataclasses import replace

from septum.errors import ProtocolError
from septum.protocol import closing, early_stopping, facts, stages, voting, wording
from septum.protocol.messages import (
    Await,
    BarrierAnswer,
    End,
    Evaluate,
    Failure,
    Instruction,
    Join,
    Leave,
    Masked,
    Outcome,
    Prepare,
    Refuse,
    Report,
    Result,
    Stage,
    Train,
)
from septum.protocol.plan import Plan
from septum.protocol.priority import Priority
from septum.protocol.run_state import (
    Base,
    Combined,
    CombineFailed,
    CombineRefused,
    Contribution,
    Dequeue,
    Discard,
    Effect,
    Event,
    FromSilo,
    ModelLost,
    Note,
    OutOfSpace,
    Pause,
    PayloadsLost,
    Phase,
    Presence,
    Prioritise,
    Requeue,
    Resume,
    Run,
    SpaceIsBack,
    Stop,
    Tick,
)
from septum.protocol.stages import Step

RETRY_S = 5.0  # engine time until something that failed for lack of space is tried again


def create(
    run_id: str, plan: Plan, now: float, *, priority: Priority = Priority.NORMAL, queued_at: float | None = None
) -> Step:
    """A new run, waiting for its silos; or in the queue, from `queued_at` on (Unix seconds)."""
    presence = dict.fromkeys(plan.silos, Presence.INVITED)
    run = Run(id=run_id, plan=plan, presence=presence, now=now, priority=priority)
    created = Note(facts.RunCreated(plan.name, plan.digest))
    if queued_at is None:
        return stages.wait(run, plan.gather_s), (created,)
    return replace(run, phase=Phase.QUEUED, queued_at=queued_at), (created, Note(facts.RunQueued()))


def step(run: Run, event: Event, now: float) -> Step:
    """The run after `event`, and what is to be done. Raises ProtocolError, changing nothing, for an illegal event."""
    run = replace(run, now=max(run.now, now))
    match event:
        case FromSilo():
            return _from_silo(run, event)
        case Tick():
            return _tick(run)
        case Combined():
            return _combined(run, event)
        case CombineFailed() | CombineRefused() | PayloadsLost() | ModelLost():
            return _failed(run, event)
        case OutOfSpace() | SpaceIsBack():
            return _space(run, event)
        case Dequeue():
            return _dequeue(run)
        case Requeue(queued_at, why):
            return _requeue(run, queued_at, why)
        case Pause() | Resume() | Prioritise() | Stop():
            return _operated(run, event)


def instruction(run: Run, silo: str) -> Instruction | None:
    """What `silo` is to do now; None while there is nothing, so its request is held. Raises for an unknown silo."""
    _known(run, silo)
    if (end := _end_for(run, silo)) is not None:
        return end
    if run.paused or run.combining or silo not in run.awaited:
        return None
    if run.exchange is not None and (asked := closing.barrier(run, run.exchange)) is not None:
        return asked
    masked = (closing.sealed_for(run, silo), closing.keys_ahead(run))
    match run.phase:
        case Phase.PREPARE:
            return Prepare(run.attempt, stages.is_maker(run, silo), *masked)
        case Phase.TRAIN:
            assert run.model is not None
            return Train(run.round, run.attempt, run.model, *masked, stages.against(run), voting.burnt(run))
        case Phase.EVALUATE:
            assert run.model is not None
            return Evaluate(run.round, run.attempt, run.model, *masked, stages.against(run), run.edges)
        case _:
            return None


def _end_for(run: Run, silo: str) -> End | None:
    """What a silo is told that has no part in the run, or none for now."""
    if run.outcome is not None:
        return End(run.outcome, run.reason)
    if run.presence[silo] is Presence.REFUSED:
        return End(Outcome.STOPPED, "this silo refused the run")
    if run.phase is Phase.QUEUED:  # it was away when the run was stopped; it is invited again when the run begins
        return End(Outcome.STOPPED, "the run waits in the queue")
    return None


def _known(run: Run, silo: str) -> None:
    if silo not in run.presence:
        raise ProtocolError(f"silo {silo!r} is not part of run {run.id}", hint=f"septum run show {run.id}")


# --- what silos say ------------------------------------------------------------------------------------------------


def _from_silo(run: Run, event: FromSilo) -> Step:
    silo, message = event.silo, event.message
    _known(run, silo)
    if run.outcome is not None or (run.phase is Phase.QUEUED and not isinstance(message, Refuse)):
        return run, ()
    match message:
        case Join(plan_digest, dataset):
            if plan_digest != run.plan.digest:
                raise ProtocolError(
                    f"silo {silo!r} joins run {run.id} with plan {plan_digest[:80]}, but the plan is {run.plan.digest}"
                )
            return _present(run, silo, dataset, event.machine)
        case Refuse(rule, reason):
            return _refuse(run, silo, rule, reason)
        case Leave(reason):
            return _leave(run, silo, reason)
        case Await():
            return _present(run, silo) if run.presence[silo] is Presence.ABSENT else (run, ())
        case Report() | Masked():
            return _report(run, silo, message)
        case Failure():
            return _failure(run, silo, message)
        case _:
            return _answer(run, silo, message)


def _present(run: Run, silo: str, dataset: str = "", machine: str = "") -> Step:
    before = run.presence[silo]
    if before in (Presence.ACTIVE, Presence.REFUSED):
        return run, ()
    run = replace(run, presence={**run.presence, silo: Presence.ACTIVE})
    kind = facts.SiloReturned if before is Presence.ABSENT else facts.SiloJoined
    return stages.then((run, (Note(kind(silo, dataset, machine)),)), stages.gathered)


def _refuse(run: Run, silo: str, rule: str, reason: str) -> Step:
    if run.presence[silo] is Presence.REFUSED:
        return run, ()
    run = _withdrawn(run, silo, Presence.REFUSED, f"refused by its rule {rule!r}: {reason}")
    return stages.then(
        (run, (Note(facts.SiloRefused(silo, rule, reason)),)), stages.gathered, closing.close_if_complete
    )


def _leave(run: Run, silo: str, reason: str) -> Step:
    if run.presence[silo] is not Presence.ACTIVE:
        return run, ()
    run = _withdrawn(run, silo, Presence.ABSENT, reason)
    return stages.then((run, (Note(facts.SiloLeft(silo, reason)),)), stages.gathered, closing.close_if_complete)


def _withdrawn(run: Run, silo: str, presence: Presence, reason: str) -> Run:
    """The cohort of an attempt stays as it was asked: who makes the initial model depends on it."""
    failures = {**run.failures, silo: reason} if silo in run.awaited else run.failures
    problems = {**run.problems, silo: reason}
    if run.ahead is not None and silo in run.ahead.adverts:  # it takes its keys along, also if it comes back in time
        run = replace(run, ahead=None)
    return replace(run, presence={**run.presence, silo: presence}, failures=failures, problems=problems)


def _answer(run: Run, silo: str, message: BarrierAnswer) -> Step:
    """What a silo says in a step of a masked attempt other than the work."""
    late = _is_past(run, message.stage, message.round, message.attempt)
    run, effects = _present(run, silo) if run.presence[silo] is Presence.ABSENT else (run, ())
    exchange = run.exchange
    if late or exchange is None or not closing.is_answer_to(exchange.step, message) or silo not in run.awaited:
        return run, effects
    return stages.then((closing.answered(run, silo, message), effects), closing.close_if_complete)


def _report(run: Run, silo: str, report: Result) -> Step:
    late = _is_past(run, report.stage, report.round, report.attempt)  # by what was asked before this silo was back
    run, effects = _present(run, silo) if run.presence[silo] is Presence.ABSENT else (run, ())
    if late or silo not in run.awaited or run.combining or not run.at_work:
        return run, effects  # late or repeated: delivery is at least once
    if isinstance(report, Masked) == (run.exchange is None):  # a silo's own numbers never pass for a masked result
        said, need = ("masked", "plain") if run.exchange is None else ("plain", "masked")
        raise ProtocolError(
            f"silo {silo!r} sent a {said} result, run {run.id} takes {need} ones", hint=f"septum run show {run.id}"
        )
    expected = run.model.digest if run.model else ""
    if report.base != expected:
        raise ProtocolError(
            f"round {report.round}: silo {silo!r} started from model {report.base or 'none'}, "
            f"not from {expected or 'none'}",
            hint=f"septum run show {run.id}",
        )
    contribution = Contribution(report.payload.without_bytes(), report.weight if isinstance(report, Report) else 0)
    problems = {other: problem for other, problem in run.problems.items() if other != silo}
    run = replace(run, reports={**run.reports, silo: contribution}, problems=problems)
    if isinstance(report, Masked):
        run = closing.advertised_ahead(run, silo, report.ahead)
    fact = facts.SiloReported(silo, report.stage, report.round, report.attempt, report.durations_s)
    return stages.then((run, (*effects, Note(fact))), closing.close_if_complete)


def _failure(run: Run, silo: str, failure: Failure) -> Step:
    late = _is_past(run, failure.stage, failure.round, failure.attempt)
    run, effects = _present(run, silo) if run.presence[silo] is Presence.ABSENT else (run, ())
    if late or silo not in run.awaited:
        return run, effects
    problem = f"{wording.where(failure.stage, failure.round)}: {failure.reason}"
    run = replace(run, failures={**run.failures, silo: failure.reason}, problems={**run.problems, silo: problem})
    fact = facts.SiloFailed(silo, failure.stage, failure.round, failure.attempt, failure.reason, failure.details)
    return stages.then((run, (*effects, Note(fact))), closing.close_if_complete)


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
    if run.retrying:
        assert run.stage is not None
        return replace(run, deadline=None), (stages.combine(run, run.stage),)
    if run.phase is Phase.GATHER:
        if stages.is_gathered(run):
            return stages.open_next(run)
        if stages.is_hopeless(run):  # it was waited for what the others say
            return stages.end(run, Outcome.FAILED, stages.no_quorum(run))
        waited = f"{len(stages.present(run))} of {stages.needed(run)} silos joined within {run.plan.gather_s:g} s"
        return stages.end(run, Outcome.FAILED, f"no quorum: {waited}; missing: {wording.not_active(run)}")
    late = run.awaited
    if closing.enough(run):  # they were waited for a moment only
        failures = {**run.failures, **dict.fromkeys(late, "its part was not needed")}
        return closing.close_if_complete(replace(run, failures=failures))
    presence = {**run.presence, **dict.fromkeys(late, Presence.ABSENT)}
    reason = f"no {'report' if run.at_work else 'answer'} within {run.step_s:g} s"
    failures = {**run.failures, **dict.fromkeys(late, reason)}
    problems = {**run.problems, **dict.fromkeys(late, f"{wording.where(run.stage, run.round)}: {reason}")}
    run = replace(run, presence=presence, failures=failures, problems=problems)
    return stages.then((run, tuple(Note(facts.SiloLeft(silo, reason)) for silo in late)), closing.close_if_complete)


# --- results -------------------------------------------------------------------------------------------------------


def _combined(run: Run, result: Combined) -> Step:
    if run.outcome is not None or _is_past(run, result.stage, result.round, result.attempt):
        return run, ()
    if not run.combining:
        raise ProtocolError(f"run {run.id}: round {result.round} was combined before its reports were in")
    if run.plan.query is not None:
        return _answered(run, result)
    if (result.model is None) != (result.stage is Stage.EVALUATE):
        raise ProtocolError(
            f"run {run.id}: {result.stage.value} {'needs a' if result.model is None else 'makes no'} model"
        )
    run, resumed = _went_on(run)
    notes: list[Effect] = [*resumed]
    before = Base(run.model, run.optimizer, run.measured, run.best, run.attempt, run.begun)
    if result.measured is not None:
        measured = voting.voted(run, result.measured)
        if measured.votes is not None and measured.votes.down:
            return voting.put_back(run, result.stage, measured, tuple(notes))
        best = early_stopping.after(run.plan.early_stopping, run.best, measured)
        kept = 0 if stages.against(run) else run.burnt
        run = replace(run, measured=measured.metrics, best=best, burnt=kept)
        notes.append(Note(measured))
    if result.model is not None:
        model = result.model.without_bytes()
        optimizer = result.optimizer.without_bytes() if result.optimizer else None
        run = replace(run, model=model, finished=result.round, optimizer=optimizer, previous=before)
        notes.append(Note(facts.ModelMade(result.round, model)))
        if result.kept and before.model is not None:
            notes.append(Note(facts.SiloModelsKept(result.round, before.model, result.kept)))
    if result.edges and not run.edges:
        return stages.then((run, tuple(notes)), lambda r: stages.count_again(r, result.edges))
    if result.stage is Stage.EVALUATE:
        reason = "early stopping" if run.finished < run.plan.rounds else ""
        return stages.then((run, tuple(notes)), lambda r: stages.end(r, Outcome.FINISHED, reason))
    notes.append(Discard(result.stage, result.round))
    run = replace(run, attempt=run.numbered, forgiven=run.numbered, exchange=None)
    run = replace(run, burned=run.burned_later, burned_later=())
    return stages.then((run, tuple(notes)), stages.open_next)


def _answered(run: Run, result: Combined) -> Step:
    """The statistics that were asked are there: the run is over."""
    if result.answered is None:
        raise ProtocolError(f"run {run.id} asks for statistics, and {result.stage.value} made none")
    run, resumed = _went_on(run)
    note = Note(result.answered)
    return stages.then((run, (*resumed, note)), lambda r: stages.end(r, Outcome.FINISHED, ""))


def _went_on(run: Run) -> Step:
    """Combining that had failed for lack of space has succeeded: the pause that waited for it is over."""
    if not run.retrying:
        return run, ()
    return replace(run, paused=False, retrying=False, reason="", deadline=None), (Note(facts.RunResumed()),)


# --- what goes wrong in the coordinator ----------------------------------------------------------------------------


def _failed(run: Run, event: CombineFailed | CombineRefused | PayloadsLost | ModelLost) -> Step:
    match event:
        case CombineFailed():
            return _combine_failed(run, event)
        case CombineRefused():
            return _combine_refused(run, event)
        case PayloadsLost():
            return _payloads_lost(run, event)
        case ModelLost():
            return _model_lost(run, event)


def _space(run: Run, event: OutOfSpace | SpaceIsBack) -> Step:
    if isinstance(event, SpaceIsBack):
        return _resume(run, None) if run.retrying and not run.combining else (run, ())
    if run.outcome is not None or run.paused or run.combining:
        return run, ()
    run, effects = stages.pause(run, event.reason)
    return replace(run, retrying=True), effects


def _combine_failed(run: Run, failed: CombineFailed) -> Step:
    if not _is_combining(run, failed):
        return run, ()
    retrying = failed.retry and (run.retrying or not run.paused)  # not when an operator wants it paused
    run, effects = stages.pause(run, failed.reason or "the reports could not be combined")
    return replace(run, retrying=retrying, deadline=run.now + RETRY_S if retrying else None), effects


def _combine_refused(run: Run, refused: CombineRefused) -> Step:
    if not _is_combining(run, refused):
        return run, ()
    stage, reported, missing = refused.stage, tuple(sorted(run.reports)), tuple(sorted(run.failures))
    why = f"the reports make no model ({refused.reason})"
    note = Note(facts.CombineRefused(stage, run.round, run.attempt, refused.reason))
    return stages.then((run, (note,)), lambda r: stages.try_again(r, stage, reported, missing, why))


def _is_combining(run: Run, result: CombineFailed | CombineRefused | PayloadsLost) -> bool:
    """Whether a result is about the reports that are being combined now."""
    past = run.outcome is not None or _is_past(run, result.stage, result.round, result.attempt)
    return run.combining and not past


def _payloads_lost(run: Run, lost: PayloadsLost) -> Step:
    """Ask these silos again: what they reported was not synced, and a power loss may have taken it."""
    if run.outcome is not None or _is_past(run, lost.stage, lost.round, lost.attempt):
        return run, ()
    silos = tuple(silo for silo in lost.silos if silo in run.reports)
    if not silos:
        return run, ()
    note = Note(facts.PayloadsLost(lost.stage, lost.round, lost.attempt, silos))
    if run.exchange is not None:  # keys mask once: it takes a new attempt
        reported, missing = tuple(sorted(run.reports.keys() - set(silos))), silos
        run = replace(_again(run), failures={**run.failures, **dict.fromkeys(silos, "its report was lost")})
        why = f"{len(silos)} of {len(silos) + len(reported)} reports were lost"
        return stages.then((run, (note,)), lambda r: stages.try_again(r, lost.stage, reported, missing, why))
    reports = {silo: report for silo, report in run.reports.items() if silo not in silos}
    gone = {silo: "its report was lost, and it is away" for silo in silos if silo not in run.active}
    run = _again(replace(run, reports=reports, failures={**run.failures, **gone}, combining=False))
    return stages.then((stages.wait(run, run.plan.deadline_s), (note,)), closing.close_if_complete)


def _model_lost(run: Run, lost: ModelLost) -> Step:
    """Go on from the model before it: the same reports make the same model again. Without one, ask an operator."""
    names = {blob.digest for blob in (run.model, run.optimizer) if blob is not None}
    if run.outcome is not None or lost.digest not in names:
        return run, ()
    base = run.previous
    if base is None:
        told = f"the model of round {run.finished} is lost, as was the one after it: {lost.reason}"
        return (run, ()) if run.reason == told else stages.pause(run, told)
    note = Note(facts.ModelLost(run.finished, lost.reason))
    tried = max(base.attempt, run.attempt)  # a late report of what is done again must not pass for a new one
    following = stages.gathered if run.phase is Phase.GATHER else stages.open_next
    run = replace(
        _again(run),
        model=base.model,
        optimizer=base.optimizer,
        measured=base.measured,
        best=base.best,
        finished=max(0, run.finished - 1),
        attempt=tried,
        forgiven=tried,
        numbered=tried,
        burned=base.silos,
        burned_later=run.begun,
        exchange=None,
        edges=(),
        previous=None,
    )
    return stages.then((run, (note,)), following)


def _again(run: Run) -> Run:
    """Without the pause that only waited for combining to succeed."""
    return replace(run, paused=False, retrying=False, reason="") if run.retrying else run


# --- the operator --------------------------------------------------------------------------------------------------


def _operated(run: Run, event: Pause | Resume | Prioritise | Stop) -> Step:
    match event:
        case Pause():
            return stages.pause(run, "")
        case Resume(queued_at):
            return _resume(run, queued_at)
        case Prioritise(priority):
            return _prioritise(run, priority)
        case Stop(reason):
            return _stop(run, reason)


def _resume(run: Run, queued_at: float | None) -> Step:
    if run.outcome is Outcome.FINISHED:
        raise ProtocolError(f"run {run.id} has finished", hint=f"septum model list --run {run.id}")
    if run.outcome is not None:
        return _resume_ended(run, queued_at)
    if not run.paused:
        return run, ()
    deadline = None if run.remaining_s is None else run.now + run.remaining_s
    again: tuple[Effect, ...] = ()
    if run.combining and run.reason:  # the effect failed; without a failure it is still in the outbox
        assert run.stage is not None
        again = (stages.combine(run, run.stage),)
    run = replace(run, paused=False, retrying=False, deadline=deadline, remaining_s=None, reason="")
    return run, (Note(facts.RunResumed()), *again)


def _resume_ended(run: Run, queued_at: float | None) -> Step:
    """Gather the silos again, when they have room, and go on after the last finished round.

    A silo that had joined may never have heard of the end, so it is taken for absent: any word of it brings it back.
    """
    run = _anew(replace(run, phase=Phase.GATHER, outcome=None, reason=""))
    if queued_at is None:
        return stages.wait(run, run.plan.gather_s), (Note(facts.RunResumed()),)
    waiting = replace(run, phase=Phase.QUEUED, queued_at=queued_at)
    return waiting, (Note(facts.RunResumed()), Note(facts.RunQueued()))


def _anew(run: Run) -> Run:
    """With silos that have to come again, and all attempts again."""
    back = {Presence.ACTIVE: Presence.ABSENT, Presence.REFUSED: Presence.INVITED}
    presence = {silo: back.get(was, was) for silo, was in run.presence.items()}
    return replace(run, presence=presence, forgiven=run.attempt)


def _requeue(run: Run, queued_at: float, why: str) -> Step:
    """Break off what is under way, and wait in the queue. A pause that an operator wants holds there, too."""
    if run.outcome is not None or run.phase is Phase.QUEUED:
        return run, ()
    held = run.paused and not run.retrying
    down, discards = stages.broken_off(run)
    reason = run.reason if held else ""
    waiting = _anew(replace(down, phase=Phase.QUEUED, queued_at=queued_at, paused=held, reason=reason))
    return waiting, (*discards, Note(facts.RunQueued(why)))


def _dequeue(run: Run) -> Step:
    """Invite the silos. Nothing, where it has begun, or has ended meanwhile."""
    if run.phase is not Phase.QUEUED or run.paused:
        return run, ()
    run = stages.wait(replace(run, phase=Phase.GATHER), run.plan.gather_s)
    return stages.then((run, (Note(facts.RunDequeued()),)), stages.gathered)


def _prioritise(run: Run, priority: Priority) -> Step:
    if run.phase is not Phase.QUEUED:
        why = "has ended" if run.outcome is not None else "has begun"
        raise ProtocolError(f"run {run.id} {why}: it waits no more", hint="septum run list --status queued")
    if priority is run.priority:
        return run, ()
    return replace(run, priority=priority), (Note(facts.RunPrioritised(priority)),)


def _stop(run: Run, reason: str) -> Step:
    if run.outcome is Outcome.STOPPED:
        return run, ()
    if run.outcome is not None:
        raise ProtocolError(f"run {run.id} has ended ({run.outcome.value})", hint=f"septum run show {run.id}")
    return stages.end(run, Outcome.STOPPED, reason)
