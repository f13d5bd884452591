"""When is a step of an attempt over, and what comes next? The steps of a masked attempt follow each other here.

Without masking an attempt is one step: its silos report, and the reports are combined. A masked attempt has five, in
each of which the coordinator waits for one answer of each silo that is still in it: keys, shares, the masked results,
the agreement on whose results are summed, and the shares that take the masks off (docs/decisions/0011). A silo that
does not answer in one is out of those that follow. Nothing is combined that fewer silos than the quorum are in;
and once silos were asked to sign a sum over some of them, no other sum is begun: it takes all of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from septum.errors import ProtocolError
from septum.protocol import facts, stages, wording
from septum.protocol.messages import (
    Agree,
    Agreed,
    Barrier,
    BarrierAnswer,
    Keys,
    MakeKeys,
    Revealed,
    ShareKeys,
    Shares,
    Stage,
    Unmask,
)
from septum.protocol.run_state import Ahead, Exchange, Note, Run, Step
from septum.protocol.stages import Step as Done
from septum.secagg.context import threshold

ENOUGH_S = 1.0  # how long the last two steps wait for more silos than they need


def barrier(run: Run, exchange: Exchange) -> Barrier | None:
    """What the silos of a masked attempt are asked in this step; None where it is the work itself."""
    assert run.stage is not None
    where = (run.stage, run.round, run.attempt)
    match exchange.step:
        case Step.KEYS:
            return MakeKeys(*where)
        case Step.SHARES:
            return ShareKeys(*where, exchange.adverts)
        case Step.WORK:
            return None
        case Step.AGREE:
            return Agree(*where, tuple(sorted(run.reports)), _shares_ahead(run))
        case Step.UNMASK:
            return Unmask(*where, exchange.signatures)


def keys_ahead(run: Run) -> MakeKeys | None:
    """The attempt that follows the one at work if all goes well, for which silos may make keys already."""
    last = run.round == run.plan.rounds
    match run.stage:
        case Stage.PREPARE if run.plan.query is None:
            following = (Stage.TRAIN, 1)
        case Stage.TRAIN:
            following = (Stage.EVALUATE, run.round) if last else (Stage.TRAIN, run.round + 1)
        case _:
            return None
    return None if run.exchange is None else MakeKeys(*following, run.numbered + 1)


def _shares_ahead(run: Run) -> ShareKeys | None:
    """What the silos that reported need to share keys for the attempt that follows."""
    ahead = run.ahead
    if ahead is None or len(ahead.adverts) < run.plan.quorum or len(set(ahead.rosters.values())) > 1:
        return None
    return ShareKeys(ahead.stage, ahead.round, ahead.attempt, ahead.adverts)


def advertised_ahead(run: Run, silo: str, keys: Keys | None) -> Run:
    """The run with a silo's keys for the attempt that follows; what is not for that one is dropped."""
    wanted = keys_ahead(run)
    if keys is None or wanted is None or (keys.stage, keys.round, keys.attempt) != _place(wanted):
        return run
    ahead = run.ahead or Ahead(*_place(wanted))
    rosters, adverts = {**ahead.rosters, silo: keys.roster}, {**ahead.adverts, silo: keys.advert}
    return replace(run, ahead=replace(ahead, rosters=rosters, adverts=adverts))


def _shared_ahead(run: Run, silo: str, shares: Shares | None) -> Run:
    """The run with a silo's shares for the attempt that follows; what does not fit is dropped: it is made up for."""
    asked, ahead = _shares_ahead(run), run.ahead
    if (
        shares is None
        or asked is None
        or ahead is None
        or (shares.stage, shares.round, shares.attempt) != _place(asked)
    ):
        return run
    if sorted((*shares.sealed, silo)) != sorted(asked.adverts):
        return run
    return replace(run, ahead=replace(ahead, sealed={**ahead.sealed, silo: shares.sealed}))


def _place(asked: MakeKeys | ShareKeys) -> tuple[Stage, int, int]:
    return asked.stage, asked.round, asked.attempt


def sealed_for(run: Run, silo: str) -> dict[str, bytes]:
    """What the others sealed for a silo; nothing in a run without masking."""
    if run.exchange is None:
        return {}
    return {sender: sealed[silo] for sender, sealed in run.exchange.sealed.items() if sender != silo}


def answered(run: Run, silo: str, message: BarrierAnswer) -> Run:
    """The run with a silo's answer to a step. Raises ProtocolError for an answer to another step than the one at work.

    What an answer says is not looked at: it is for the other silos, who believe nothing that they cannot check.
    """
    exchange = run.exchange
    assert exchange is not None
    match exchange.step, message:
        case Step.KEYS, Keys(roster=roster, advert=advert):
            rosters, adverts = {**exchange.rosters, silo: roster}, {**exchange.adverts, silo: advert}
            exchange = replace(exchange, rosters=rosters, adverts=adverts)
        case Step.SHARES, Shares(sealed=sealed):
            if sorted((*sealed, silo)) != sorted(exchange.adverts):
                raise ProtocolError(
                    f"silo {silo!r} sealed shares for {', '.join(sorted(sealed))[:200]}, "
                    f"but keys were advertised by {', '.join(sorted(exchange.adverts))[:200]}"
                )
            exchange = replace(exchange, sealed={**exchange.sealed, silo: sealed})
        case Step.AGREE, Agreed(signature=signature, ahead=shares):
            run = _shared_ahead(run, silo, shares)
            exchange = replace(exchange, signatures={**exchange.signatures, silo: signature})
        case Step.UNMASK, Revealed(reveal=reveal):
            exchange = replace(exchange, reveals={**exchange.reveals, silo: reveal})
        case _:
            raise ProtocolError(
                f"silo {silo!r} said {type(message).__name__} in step {exchange.step.value}",
                hint=f"septum run show {run.id}",
            )
    return replace(run, exchange=exchange)


def is_answer_to(step: Step, message: BarrierAnswer) -> bool:
    """Whether a message answers what a step asks."""
    kinds = {Step.KEYS: Keys, Step.SHARES: Shares, Step.AGREE: Agreed, Step.UNMASK: Revealed}
    return type(message) is kinds.get(step)


def close_if_complete(run: Run) -> Done:
    """Close the step once every silo of its cohort has answered, failed or left."""
    stage = run.stage
    if stage is None or run.combining:
        return run, ()
    if run.awaited:
        return _hurried(run), ()
    if run.at_work:
        return _worked(run, stage)
    assert run.exchange is not None
    return _exchanged(run, stage, run.exchange)


def enough(run: Run) -> bool:
    """Whether a masked attempt can go on without the silos that have not answered yet."""
    exchange = run.exchange
    if exchange is None or exchange.step not in (Step.AGREE, Step.UNMASK):
        return False
    answers = exchange.signatures if exchange.step is Step.AGREE else exchange.reveals
    return len(answers) >= threshold(len(run.plan.silos))


def is_asked_again(stored: Run, run: Run) -> bool:
    """Whether whoever goes on from `stored` comes to ask what `run` asks: shares of the same silos for the same sum.

    So it is between agreement and unmasking. The list of survivors is stored before it is sent to be signed. To be
    asked for it again gives the same signatures, and any that hold give the same shares.
    """
    before, after = stored.exchange, run.exchange
    if before is None or after is None or (before.step, after.step) != (Step.AGREE, Step.UNMASK):
        return False
    cleared = (replace(one, now=0.0, deadline=None, remaining_s=None, cohort=(), ahead=None) for one in (stored, run))
    was, is_ = (replace(one, exchange=None) for one in cleared)
    return was == is_


def _hurried(run: Run) -> Run:
    """Once there are enough signatures or shares, the others are waited for a little only: nothing depends on them."""
    if not enough(run):
        return run
    if run.deadline is not None:
        return replace(run, deadline=min(run.deadline, run.now + ENOUGH_S))
    return run if run.remaining_s is None else replace(run, remaining_s=min(run.remaining_s, ENOUGH_S))


def _worked(run: Run, stage: Stage) -> Done:
    """The reports are in."""
    reported, missing = tuple(sorted(run.reports)), tuple(sorted(run.failures))
    least = 1 if stage is Stage.EVALUATE and run.exchange is None else _least(run)
    made = run.plan.query is not None or stage is not Stage.PREPARE or stages.initial_maker(run) in run.reports
    if len(reported) < least or not made:
        few = f"{len(reported)} of {least} silos"
        return stages.try_again(run, stage, reported, missing, few)
    if run.exchange is not None:
        exchange = replace(run.exchange, step=Step.AGREE, sealed={})
        return _next_step(run, exchange, reported)
    return _combined(run, stage)


def _least(run: Run) -> int:
    """How many silos an attempt takes: a quorum, and all of those over whom a sum was begun to be released."""
    return max(run.plan.quorum, len(run.burned))


def _exchanged(run: Run, stage: Stage, exchange: Exchange) -> Done:
    """A step other than the work is over; go on with the silos that answered if they are enough."""
    need = threshold(len(run.plan.silos))
    match exchange.step:
        case Step.KEYS if len(exchange.adverts) >= _least(run):
            return _advertised(run, stage, exchange)
        case Step.SHARES if len(exchange.sealed) >= _least(run):
            silos = tuple(sorted(exchange.sealed))
            return _next_step(run, replace(exchange, step=Step.WORK, bundled=silos), silos)
        case Step.AGREE if len(exchange.signatures) >= need:
            silos = tuple(sorted(exchange.signatures))
            return _next_step(run, replace(exchange, step=Step.UNMASK), silos)
        case Step.UNMASK if len(exchange.reveals) >= need:
            return _combined(run, stage)
        case _:
            answers = tuple(silo for silo in run.cohort if silo not in run.failures)
            return _too_few(_unsigned(run, exchange), stage, exchange.step, answers)


def _unsigned(run: Run, exchange: Exchange) -> Run:
    """Without the list of survivors, if every silo of it was asked for the first time and said no.

    Then none of them has written it in its journal, where an earlier sum over others may stand, so that no other list
    than that of then will do. One that was silent or left may have signed: what it said may be lost.
    """
    said_no = run.reports.keys() <= run.failures.keys() and run.reports.keys() <= set(run.active)
    return replace(run, exchange=None) if exchange.step is Step.AGREE and said_no else run


def _too_few(run: Run, stage: Stage, step: Step, answers: tuple[str, ...]) -> Done:
    need = _least(run) if step in (Step.KEYS, Step.SHARES) else threshold(len(run.plan.silos))
    why = f"{len(answers)} of {need} silos {_ANSWERED[step]}"
    return stages.try_again(run, stage, answers, tuple(sorted(run.failures)), why)


_ANSWERED = {
    Step.KEYS: "sent keys that the others know them by",
    Step.SHARES: "shared their keys",
    Step.AGREE: "signed the sum",
    Step.UNMASK: "gave their shares to unmask it",
}


def _advertised(run: Run, stage: Stage, exchange: Exchange) -> Done:
    """Go on with the silos that know each other by the same keys: the others could not verify a word of theirs."""
    digests = sorted(exchange.rosters.values())
    common = max(digests, key=digests.count)
    strangers = [silo for silo, roster in sorted(exchange.rosters.items()) if roster != common]
    run, notes = _left_out(run, stage, strangers, "it holds another roster than most: septum silo roster fetch")
    adverts = {silo: advert for silo, advert in sorted(exchange.adverts.items()) if silo not in strangers}
    if len(adverts) < _least(run):
        return stages.then((run, notes), lambda r: _too_few(r, stage, Step.KEYS, tuple(adverts)))
    rosters = dict.fromkeys(adverts, common)
    exchange = replace(exchange, step=Step.SHARES, rosters=rosters, adverts=adverts)
    return stages.then((run, notes), lambda r: _next_step(r, exchange, tuple(adverts)))


def _left_out(run: Run, stage: Stage, silos: Sequence[str], reason: str) -> Done:
    """These silos have failed in this attempt, for this reason."""
    where, failed = wording.where(stage, run.round), dict.fromkeys(silos, reason)
    problems = {**run.problems, **dict.fromkeys(silos, f"{where}: {reason}")}
    notes = tuple(Note(facts.SiloFailed(silo, stage, run.round, run.attempt, reason)) for silo in silos)
    return replace(run, failures={**run.failures, **failed}, problems=problems), notes


def _next_step(run: Run, exchange: Exchange, silos: tuple[str, ...]) -> Done:
    """Ask these silos for the next step. One that has left meanwhile has lost its keys, and is not waited for."""
    gone = {silo: run.problems.get(silo, "it left") for silo in silos if silo not in run.active}
    run = replace(run, exchange=exchange, cohort=silos, failures={**run.failures, **gone})
    return close_if_complete(stages.wait(run, run.step_s))


def _combined(run: Run, stage: Stage) -> Done:
    """The sum can be made. A silo whose part in the last steps was not needed is in it all the same.

    One that gave no share to unmask it may have been killed, and its keys with it: also those that it exchanged ahead.
    Then the next attempt begins with new ones, lest the silo be out of it.
    """
    exchange, ahead = run.exchange, run.ahead
    if exchange is not None and ahead is not None and not ahead.sealed.keys() <= exchange.reveals.keys():
        run = replace(run, ahead=None)
    reported, missing = tuple(sorted(run.reports)), tuple(sorted(run.failures.keys() - run.reports.keys()))
    run = replace(run, combining=True, deadline=None, remaining_s=None)
    closed = Note(facts.StageClosed(stage, run.round, run.attempt, reported, missing))
    return run, (closed, stages.combine(run, stage))
