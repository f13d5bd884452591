"""How does a stage of a run open, and how does a run wait, pause and end? For the transitions in run.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from septum.errors import ProtocolError
from septum.protocol import early_stopping, facts, wording
from septum.protocol.messages import Outcome, Stage
from septum.protocol.run_state import Combine, Discard, Effect, Exchange, Note, Phase, Presence, Run
from septum.protocol.run_state import Step as MaskStep

Step = tuple[Run, tuple[Effect, ...]]
REFUSALS_S = 10.0  # how long a run that can have no quorum any more waits for what its other silos say


def gathered(run: Run) -> Step:
    """Leave GATHER as soon as every silo that is wanted and may still come has come.

    Where refusals leave no quorum, those that were invited and have not answered are waited for a little: whoever mends
    what one silo refused is to know what the others refuse.
    """
    if run.phase is not Phase.GATHER:
        return run, ()
    if is_hopeless(run):
        if any(run.presence[silo] is Presence.INVITED for silo in run.plan.silos):
            return _at_most(run, REFUSALS_S), ()
        return end(run, Outcome.FAILED, no_quorum(run))
    return (run, ()) if _still_out(run) or not is_gathered(run) else open_next(run)


def is_hopeless(run: Run) -> bool:
    """Whether there can be no quorum any more, whoever still comes."""
    return _could_come(run) < needed(run)


def no_quorum(run: Run) -> str:
    """Why such a run fails."""
    return f"no quorum: at most {_could_come(run)} of {needed(run)} silos; {wording.not_active(run)}"


def _could_come(run: Run) -> int:
    return len(present(run)) + len(_still_out(run))


def _still_out(run: Run) -> list[str]:
    return [silo for silo in wanted(run) if run.presence[silo] in (Presence.INVITED, Presence.ABSENT)]


def _at_most(run: Run, seconds: float) -> Run:
    """The deadline is no farther away than that."""
    if run.deadline is not None:
        return replace(run, deadline=min(run.deadline, run.now + seconds))
    return run if run.remaining_s is None else replace(run, remaining_s=min(run.remaining_s, seconds))


def is_gathered(run: Run) -> bool:
    """Whether the next stage can be opened with the silos that are present."""
    return len(present(run)) >= needed(run)


def wanted(run: Run) -> tuple[str, ...]:
    """The silos that the next attempt may ask: all, or those over whom a sum was begun to be released."""
    return run.burned or run.plan.silos


def present(run: Run) -> tuple[str, ...]:
    """Those of them that take part now."""
    return tuple(silo for silo in run.active if silo in wanted(run))


def open_next(run: Run) -> Step:
    """Ask the silos that are present for the next piece of work, in a new attempt; gather first if they are too few."""
    stage, round_ = _next(run)
    run = replace(run, cohort=(), reports={}, failures={}, combining=False, exchange=None, burned=run.begun)
    masking, cohort = run.plan.masking, present(run)
    if not is_gathered(run):
        return gathered(wait(replace(run, phase=Phase.GATHER), run.plan.gather_s))
    if len(cohort) < (least := 1 if masking is None else max(run.plan.quorum, len(run.burned))):
        too_few = "no silo was" if masking is None else f"{len(cohort)} of {least} silos were"
        return end(run, Outcome.FINISHED, f"{_not_measured(run)}: {too_few} present")
    # Attempts are numbered through gatherings, stops and resumes, so that what an earlier one left behind is known by
    # its number: a late report or a late `Combined` never passes for one of this attempt.
    run = replace(run, phase=Phase(stage.value), round=round_, attempt=run.attempt + 1, cohort=cohort)
    opened = Note(facts.StageOpened(stage, round_, run.attempt, cohort))
    run = replace(run, exchange=None if masking is None else _begun_ahead(run) or Exchange(), ahead=None)
    return wait(run, run.step_s), (opened,)


def _begun_ahead(run: Run) -> Exchange | None:
    """What was exchanged ahead for this attempt, if it was with exactly the silos of its cohort."""
    ahead = run.ahead
    if ahead is None or (ahead.stage, ahead.round, ahead.attempt) != (run.stage, run.round, run.attempt):
        return None
    if not sorted(ahead.sealed) == sorted(ahead.adverts) == list(run.cohort):
        return None
    return Exchange(MaskStep.WORK, ahead.rosters, ahead.adverts, ahead.sealed, run.cohort)


def count_again(run: Run, edges: tuple[int, ...]) -> Step:
    """Measure the last model once more, by the same silos, with scores counted in these slots. It is measured already.

    It takes keys of its own, and attempts of its own.
    """
    return open_next(replace(run, edges=edges, forgiven=run.attempt))


def needed(run: Run) -> int:
    """How many silos the next stage takes. None for the last: the finished model is there, measured or not."""
    return 0 if _next(run)[0] is Stage.EVALUATE else max(run.plan.quorum, len(run.burned))


def _next(run: Run) -> tuple[Stage, int]:
    """The stage, and its round, that the run's results so far call for; the open one while its result is not in."""
    if run.model is None:
        return Stage.PREPARE, 0
    if run.finished < run.plan.rounds and not early_stopping.is_over(run.plan.early_stopping, run.best):
        return Stage.TRAIN, run.finished + 1
    return Stage.EVALUATE, run.finished


def _not_measured(run: Run) -> str:
    return f"the last model was not measured{' more finely' if run.edges else ''}"


def wait(run: Run, seconds: float) -> Run:
    """The deadline is so far away; a paused run has that much left."""
    if run.paused:
        return replace(run, deadline=None, remaining_s=seconds)
    return replace(run, deadline=run.now + seconds, remaining_s=None)


def combine(run: Run, stage: Stage) -> Combine:
    """That what was reported is to be combined."""
    contributions = {silo: run.reports[silo] for silo in sorted(run.reports)}
    where = (stage, run.round, run.attempt)
    edges = run.edges if stage is Stage.EVALUATE else ()
    return Combine(*where, run.model, run.optimizer, contributions, run.exchange, against(run), edges)


def against(run: Run) -> str:
    """The digest of the model with which silos compare the newest one; empty where there is no vote on it."""
    if run.plan.vote is None or run.previous is None or run.previous.model is None:
        return ""
    return run.previous.model.digest


def initial_maker(run: Run) -> str:
    """The silo that makes the initial model: another one in each attempt, for the first may be unable to."""
    return run.cohort[(run.attempt - 1) % len(run.cohort)]


def is_maker(run: Run, silo: str) -> bool:
    """Whether this silo is asked for the initial model; where statistics are asked, nobody is."""
    return run.plan.query is None and silo == initial_maker(run)


def try_again(run: Run, stage: Stage, reported: tuple[str, ...], missing: tuple[str, ...], why: str) -> Step:
    """Open the stage again, or end the run. `why`: what was not enough, or could not be made of enough reports."""
    note = Note(facts.AttemptFailed(stage, run.round, run.attempt, reported, missing))
    tried = run.attempt - run.forgiven
    if tried < run.plan.attempts:
        return then((run, (note,)), open_next)
    if stage is Stage.EVALUATE:
        return then((run, (note,)), lambda r: end(r, Outcome.FINISHED, _not_measured(r)))
    reasons = wording.some([f"{silo}: {run.failures[silo]}" for silo in missing])
    reason = f"{wording.where(stage, run.round)}: {why} after {tried} attempts; {reasons}".removesuffix("; ")
    return then((run, (note,)), lambda r: end(r, Outcome.FAILED, reason))


def pause(run: Run, reason: str) -> Step:
    """Hand out no new work. Without a reason an operator wants it so."""
    if run.outcome is not None:
        raise ProtocolError(f"run {run.id} has ended ({run.outcome.value})", hint=f"septum run show {run.id}")
    if run.paused:
        if run.retrying:  # an operator's pause: it is no longer tried again by itself
            run = replace(run, retrying=False, deadline=None)
        if reason in ("", run.reason):
            return run, ()
        return replace(run, reason=reason), (Note(facts.RunPaused(reason)),)
    left = None if run.deadline is None else max(0.0, run.deadline - run.now)
    run = replace(run, paused=True, deadline=None, remaining_s=left, reason=reason)
    return run, (Note(facts.RunPaused(reason)),)


def end(run: Run, outcome: Outcome, reason: str) -> Step:
    """The run is over."""
    run, discards = broken_off(run)
    ended = replace(run, phase=Phase.ENDED, outcome=outcome, reason=reason)
    return ended, (*discards, Note(facts.RunEnded(outcome, reason)))


def broken_off(run: Run) -> Step:
    """The run without the attempt that is under way: what silos reported in it is no longer needed."""
    discards: tuple[Effect, ...] = () if run.attempt == 0 else (Discard(*_last(run)),)
    broken = replace(
        run,
        cohort=(),
        reports={},
        failures={},
        exchange=None,
        ahead=None,
        burned=run.begun,
        combining=False,
        retrying=False,
        paused=False,
        deadline=None,
        remaining_s=None,
    )
    return broken, discards


def _last(run: Run) -> tuple[Stage, int]:
    """The stage, and its round, that was opened last and has no result: also while gathering for its next attempt."""
    return (run.stage, run.round) if run.stage else _next(run)


def then(done: Step, *following: Callable[[Run], Step]) -> Step:
    """Apply further transitions to a step's run, collecting the effects."""
    run, effects = done
    for transition in following:
        run, more = transition(run)
        effects = (*effects, *more)
    return run, effects
