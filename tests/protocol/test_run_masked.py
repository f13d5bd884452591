"""A masked run: how its five steps follow each other, what each deadline does, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.protocol.driving import (
    CLEVELAND,
    FOUR,
    HUNGARY,
    OTHER_ROSTER,
    SWITZERLAND,
    Play,
    answer_of,
    keys_of,
    masked_plan_of,
    plan_of,
    report_of,
    result_of,
)
from tests.protocol.histories import other_kind_of

from septum.errors import ProtocolError
from septum.protocol import facts
from septum.protocol.closing import ENOUGH_S
from septum.protocol.messages import (
    Agree,
    Evaluate,
    MakeKeys,
    Outcome,
    Prepare,
    Revealed,
    ShareKeys,
    Stage,
    Train,
    Unmask,
)
from septum.protocol.run_state import (
    CombineRefused,
    Exchange,
    ModelLost,
    PayloadsLost,
    Phase,
    Presence,
    Step,
)

LONG_BEACH = "long-beach"
HOME = (CLEVELAND, HUNGARY, SWITZERLAND)  # of the four those who stay when long-beach is away
_STEPS = list(Step)

# --- five steps ----------------------------------------------------------------------------------------------------


def at(step: Step, stage: Stage = Stage.TRAIN, round_: int = 1, **changes: Any) -> Play:
    return Play(masked_plan_of(**changes)).open(stage, round_).on_to(step)


def told(play_: Play) -> dict[str, type]:
    return {silo: type(asked) for silo, asked in play_.asked().items()}


def test_an_attempt_goes_through_keys_shares_work_agreement_and_unmasking():
    run = Play(masked_plan_of()).open(Stage.TRAIN, 1)
    seen = []
    while not run.run.combining:
        seen.append(set(told(run).values()))
        run.answer(*run.run.awaited)
    assert seen == [{MakeKeys}, {ShareKeys}, {Train}, {Agree}, {Unmask}]
    assert tuple(run.combines[-1].contributions) == FOUR
    run.combine()
    assert (run.run.round, run.run.burned, run.run.exchange) == (2, (), Exchange())


def test_every_stage_is_masked_and_every_silo_gets_what_the_others_sealed_for_it():
    run = Play(masked_plan_of(rounds=1))
    run.join(*FOUR)
    for kind in (Prepare, Train, Evaluate):
        asked = run.on_to(Step.WORK).asked()
        assert {type(work) for work in asked.values()} == {kind}
        for silo, work in asked.items():
            others = [other for other in FOUR if other != silo]
            assert work.sealed == {other: f"{other} for {silo}".encode() for other in others}
        run.finish_stage()
    assert run.run.outcome is Outcome.FINISHED


def test_shares_are_dropped_once_everybody_has_them():
    run = at(Step.AGREE).run
    assert run.exchange is not None
    assert run.exchange.sealed == {}
    assert run.exchange.bundled == FOUR


def test_a_silo_that_is_late_in_a_step_is_out_of_those_that_follow():
    run = at(Step.KEYS)
    run.answer(*HOME)
    run.after(19.0)
    assert run.run.exchange.step is Step.KEYS
    run.after(1.0)
    assert run.run.presence[LONG_BEACH] is Presence.ABSENT
    assert told(run) == dict.fromkeys(HOME, ShareKeys)
    assert sorted(run.asked()[CLEVELAND].adverts) == sorted(HOME)
    assert run.run.problems[LONG_BEACH] == "round 1: no answer within 20 s"
    run.here(LONG_BEACH)
    run.answer(*HOME)
    assert told(run) == dict.fromkeys(HOME, Train)
    run.finish_stage()
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)


def test_a_silo_that_works_too_long_is_not_in_the_sum_but_its_keys_are():
    run = at(Step.WORK)
    run.answer(*HOME)
    run.after(99.0)
    assert run.run.exchange.step is Step.WORK
    run.after(1.0)
    assert {silo: asked.survivors for silo, asked in run.asked().items()} == dict.fromkeys(HOME, HOME)
    assert run.run.problems[LONG_BEACH] == "round 1: no report within 100 s"
    run.answer(*HOME)
    run.answer(*HOME)
    assert run.combines[-1].exchange.bundled == FOUR
    assert tuple(run.combines[-1].contributions) == HOME
    (closed,) = [fact for fact in run.facts_of(facts.StageClosed) if fact.stage is Stage.TRAIN]
    assert (closed.reported, closed.missing) == (HOME, (LONG_BEACH,))


@pytest.mark.parametrize("step", [Step.AGREE, Step.UNMASK])
def test_a_slow_silo_costs_a_moment_once_enough_have_signed_or_revealed(step):
    run = at(step)
    run.answer(CLEVELAND, HUNGARY)
    run.after(5.0)
    assert run.run.deadline == run.now + 15.0
    run.answer(LONG_BEACH)
    assert run.run.deadline == run.now + ENOUGH_S
    run.after(ENOUGH_S)
    assert run.run.presence[SWITZERLAND] is Presence.ACTIVE
    assert SWITZERLAND not in run.run.problems
    if step is Step.AGREE:
        assert told(run) == dict.fromkeys((CLEVELAND, HUNGARY, LONG_BEACH), Unmask)
        run.answer(CLEVELAND, HUNGARY, LONG_BEACH)
    assert tuple(run.combines[-1].contributions) == FOUR
    (closed,) = [fact for fact in run.facts_of(facts.StageClosed) if fact.stage is Stage.TRAIN]
    assert (closed.reported, closed.missing) == (FOUR, ())  # its numbers are in the sum


def test_a_pause_makes_a_slow_silo_cost_no_more_than_that_moment():
    run = at(Step.AGREE)
    run.pause()
    run.answer(*HOME)
    run.after(500.0)
    run.resume()
    assert run.run.deadline == run.now + ENOUGH_S


@pytest.mark.parametrize("step", [Step.KEYS, Step.SHARES])
def test_before_the_work_nobody_is_hurried(step):
    run = at(step)
    opened = run.run.deadline
    run.answer(*HOME)
    assert run.run.deadline == opened


@pytest.mark.parametrize("step", Step)
def test_a_step_closes_at_once_when_the_last_silo_fails_leaves_or_answers(step):
    for last in ("fail", "leave", "answer"):
        run = at(step)
        run.answer(*HOME)
        assert run.run.exchange.step is step
        getattr(run, last)(LONG_BEACH)
        assert run.run.combining if step is Step.UNMASK else run.run.exchange.step is not step


@pytest.mark.parametrize("step", [Step.KEYS, Step.SHARES, Step.WORK, Step.AGREE])
def test_a_silo_that_leaves_after_it_has_answered_is_not_waited_for_in_the_next_step(step):
    """It takes its keys along; nobody can wait for them to come back."""
    run = at(step)
    run.answer(SWITZERLAND)
    run.leave(SWITZERLAND, "maintenance")
    run.answer(CLEVELAND, HUNGARY, LONG_BEACH)
    assert run.run.exchange.step is _STEPS[_STEPS.index(step) + 1]
    assert run.run.awaited == (CLEVELAND, HUNGARY, LONG_BEACH)
    assert run.run.failures[SWITZERLAND] == "maintenance"
    run.finish_stage()
    assert (SWITZERLAND in run.combines[-1].contributions) == (step in (Step.WORK, Step.AGREE))
    assert run.run.round == 2


def test_when_everybody_leaves_between_two_steps_the_run_gathers_again():
    run = at(Step.KEYS)
    run.answer(CLEVELAND, HUNGARY, LONG_BEACH)
    for silo in (CLEVELAND, HUNGARY, LONG_BEACH):
        run.leave(silo)
    run.leave(SWITZERLAND)
    assert run.run.phase is Phase.GATHER


# --- keys and shares ahead -----------------------------------------------------------------------------------------


def ahead(run: Play, step: Step) -> Play:
    """Everybody answers, with what it is asked besides, until this step is open."""
    while run.run.exchange.step is not step:
        run.answer(*run.run.awaited, ahead=True)
    return run


def combined_ahead(run: Play) -> Play:
    ahead(run, Step.UNMASK).answer(*run.run.awaited, ahead=True)
    run.combine()
    return run


def test_when_one_silo_is_away_what_was_exchanged_with_it_is_not_used():
    run = ahead(Play(masked_plan_of()).open(Stage.TRAIN, 1), Step.UNMASK)
    run.leave(LONG_BEACH)
    combined_ahead(run)
    assert told(run) == dict.fromkeys(HOME, MakeKeys)


def test_a_silo_that_left_has_lost_what_was_exchanged_also_when_it_is_back():
    run = ahead(Play(masked_plan_of()).open(Stage.TRAIN, 1), Step.UNMASK)
    run.leave(LONG_BEACH)
    run.here(LONG_BEACH)
    combined_ahead(run)
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)


def test_what_was_exchanged_for_the_next_attempt_is_not_used_when_this_one_is_repeated():
    run = ahead(Play(masked_plan_of()).open(Stage.TRAIN, 1), Step.UNMASK)
    lose(run, CLEVELAND)
    assert set(told(run).values()) == {MakeKeys}
    assert run.run.ahead is None
    combined_ahead(run)
    assert set(told(run).values()) == {Train}  # exchanged anew


def eager_round(run: Play) -> None:
    """The work, the agreement and the unmasking, in which silos do ahead what they are asked to."""
    for step in (Step.WORK, Step.AGREE, Step.UNMASK):
        assert run.run.exchange.step is step
        run.answer(*run.run.awaited, ahead=True)
    run.combine()


def test_an_attempt_whose_keys_were_exchanged_ahead_begins_with_its_work():
    run = at(Step.WORK, Stage.PREPARE, 0)
    assert run.asked()[HUNGARY].ahead == MakeKeys(Stage.TRAIN, 1, 1)
    eager_round(run)
    asked = run.asked()[HUNGARY]
    assert (type(asked), asked.round, asked.ahead) == (Train, 1, MakeKeys(Stage.TRAIN, 2, 1))
    assert asked.sealed == {other: f"{other} for {HUNGARY}".encode() for other in FOUR if other != HUNGARY}
    eager_round(run)
    assert run.asked()[HUNGARY].ahead == MakeKeys(Stage.EVALUATE, 2, 1)
    eager_round(run)
    assert (type(run.asked()[HUNGARY]), run.asked()[HUNGARY].ahead) == (Evaluate, None)
    eager_round(run)
    assert run.run.outcome is Outcome.FINISHED


def test_a_silo_that_comes_back_is_waited_for_with_new_keys_for_all():
    run = at(Step.WORK, Stage.PREPARE, 0)
    run.leave(LONG_BEACH)
    run.answer(*HOME, ahead=True)
    run.here(LONG_BEACH)
    run.answer(*run.run.awaited, ahead=True)
    run.answer(*run.run.awaited, ahead=True)
    run.combine()
    assert run.asked() == dict.fromkeys(FOUR, MakeKeys(Stage.TRAIN, 1, 1))


@pytest.mark.parametrize("missing", ["keys", "shares"])
def test_a_silo_that_does_nothing_ahead_costs_the_others_two_requests_and_no_more(missing):
    run = at(Step.WORK, Stage.PREPARE, 0)
    run.answer(*HOME, ahead=True)
    run.answer(LONG_BEACH, ahead=missing != "keys")
    run.answer(*HOME, ahead=True)
    run.answer(LONG_BEACH)
    run.answer(*FOUR)
    run.combine()
    assert run.asked() == dict.fromkeys(FOUR, MakeKeys(Stage.TRAIN, 1, 1))
    run.on_to(Step.WORK)
    assert all(isinstance(asked, Train) for asked in run.asked().values())


def test_keys_of_an_attempt_that_failed_are_not_used_in_the_next_one():
    run = at(Step.WORK)
    run.answer(CLEVELAND, HUNGARY, ahead=True)
    for silo in (LONG_BEACH, SWITZERLAND):
        run.fail(silo)
    assert run.run.ahead is None
    assert run.asked() == dict.fromkeys(FOUR, MakeKeys(Stage.TRAIN, 1, 2))


def test_keys_that_were_made_ahead_for_another_attempt_than_the_next_are_dropped():
    run = at(Step.WORK)
    run.says(CLEVELAND, replace(answer_of(run.run, CLEVELAND), ahead=keys_of(CLEVELAND, Stage.TRAIN, 9, 1)))
    assert run.run.ahead is None


def test_with_two_rosters_nothing_is_exchanged_ahead():
    """Who holds another one is found out where it can be told so: when keys are asked for."""
    run = at(Step.WORK)
    run.answer(*HOME, ahead=True)
    keys = replace(keys_of(LONG_BEACH, Stage.TRAIN, 2, 1), roster=OTHER_ROSTER)
    run.says(LONG_BEACH, replace(answer_of(run.run, LONG_BEACH), ahead=keys))
    assert {asked.ahead for asked in run.asked().values()} == {None}
    run.finish_stage()
    assert set(told(run).values()) == {MakeKeys}


# --- too few -------------------------------------------------------------------------------------------------------

TOO_FEW = {
    Step.KEYS: "2 of 3 silos sent keys that the others know them by",
    Step.SHARES: "2 of 3 silos shared their keys",
    Step.WORK: "2 of 3 silos",
    Step.AGREE: "2 of 3 silos signed the sum",
    Step.UNMASK: "2 of 3 silos gave their shares to unmask it",
}


@pytest.mark.parametrize("step", Step)
def test_too_few_answers_in_any_step_take_another_attempt_and_end_in_words_that_say_which(step):
    run = at(step, attempts=2)
    for _ in range(2):
        run.on_to(step).answer(CLEVELAND, HUNGARY)
        run.fail(LONG_BEACH, "the app raised")
        run.fail(SWITZERLAND, "no space")
    failed = run.facts_of(facts.AttemptFailed)
    assert [(one.reported, one.missing) for one in failed] == 2 * [((CLEVELAND, HUNGARY), (LONG_BEACH, SWITZERLAND))]
    assert run.run.outcome is Outcome.FAILED
    assert run.run.reason == (
        f"round 1: {TOO_FEW[step]} after 2 attempts; long-beach: the app raised; switzerland: no space"
    )


def test_a_new_attempt_begins_with_new_keys():
    run = at(Step.SHARES)
    old = answer_of(run.run, CLEVELAND, Step.KEYS)
    for silo in (LONG_BEACH, SWITZERLAND):
        run.fail(silo)
    run.answer(CLEVELAND, HUNGARY)
    assert (run.run.attempt, run.run.exchange) == (2, Exchange())
    assert run.asked()[CLEVELAND] == MakeKeys(Stage.TRAIN, 1, 2)
    run.says(CLEVELAND, old)
    assert run.run.exchange == Exchange()


def test_an_answer_to_a_step_that_is_over_or_not_open_yet_changes_nothing():
    run = at(Step.WORK)
    for step in (Step.KEYS, Step.SHARES, Step.AGREE, Step.UNMASK):
        before = run.run
        run.says(CLEVELAND, answer_of(run.run, CLEVELAND, step))
        assert run.run == before


def test_a_result_that_comes_while_others_agree_changes_nothing():
    run = at(Step.WORK)
    late = report_of(run.run, LONG_BEACH)
    run.answer(*HOME)
    run.after(100.0)
    before = run.run
    run.says(LONG_BEACH, late)
    assert replace(run.run, presence=before.presence) == before
    assert run.run.presence[LONG_BEACH] is Presence.ACTIVE


def test_shares_for_other_silos_than_those_that_sent_keys_are_refused():
    run = at(Step.SHARES)
    before = run.run
    for sealed in ({}, {HUNGARY: b"", LONG_BEACH: b""}, dict.fromkeys((*FOUR, "zurich"), b"")):
        with pytest.raises(ProtocolError, match="sealed shares for"):
            run.answer(CLEVELAND, sealed=sealed)
    assert run.run == before


def test_a_result_of_the_other_kind_is_refused():
    for plan in (masked_plan_of(), plan_of()):
        run = Play(plan).open(Stage.TRAIN, 1)
        if plan.masking:
            run.on_to(Step.WORK)
        said, takes = ("plain", "masked") if plan.masking else ("masked", "plain")
        with pytest.raises(ProtocolError, match=f"sent a {said} result, run run-1 takes {takes} ones"):
            run.says(CLEVELAND, other_kind_of(report_of(run.run, CLEVELAND)))


def test_a_masked_answer_means_nothing_to_a_plain_run():
    run = Play().open(Stage.TRAIN, 1)
    before = run.run
    for step in (Step.KEYS, Step.AGREE, Step.UNMASK):
        run.says(CLEVELAND, answer_of(run.run, CLEVELAND, step))
    assert run.run == before


def test_silos_with_another_roster_than_most_are_left_out_and_told_why():
    run = at(Step.KEYS)
    run.answer(LONG_BEACH, roster=OTHER_ROSTER)
    run.answer(*HOME)
    reason = "it holds another roster than most: septum silo roster fetch"
    assert told(run) == dict.fromkeys(HOME, ShareKeys)
    assert sorted(run.asked()[HUNGARY].adverts) == sorted(HOME)
    assert run.run.problems == {LONG_BEACH: f"round 1: {reason}"}
    (failed,) = run.facts_of(facts.SiloFailed)
    assert (failed.silo, failed.stage, failed.round, failed.attempt) == (LONG_BEACH, Stage.TRAIN, 1, 1)
    assert failed.reason == reason
    run.finish_stage()
    assert tuple(run.combines[-1].contributions) == HOME


def test_two_rosters_of_two_silos_each_are_no_quorum():
    run = at(Step.KEYS, attempts=1)
    run.answer(CLEVELAND, HUNGARY, roster=OTHER_ROSTER)
    run.answer(LONG_BEACH, SWITZERLAND)
    assert run.run.outcome is Outcome.FAILED
    assert run.run.reason.startswith("round 1: 2 of 3 silos sent keys that the others know them by after 1 attempts; ")
    assert run.run.reason.count("it holds another roster than most") == 2


# --- a sum that was begun ------------------------------------------------------------------------------------------


def lose(run: Play, *silos: str) -> None:
    run.do(PayloadsLost(run.run.stage, run.run.round, run.run.attempt, silos))


def lose_model(run: Play) -> None:
    run.do(ModelLost(run.run.model.digest, "rotten"))


def without_long_beach(step: Step) -> Play:
    """Round 1 over the other three, and then long-beach is back."""
    run = at(Step.WORK)
    run.answer(*HOME)
    run.after(100.0)
    run.here(LONG_BEACH)
    return run.on_to(step)


def test_a_sum_whose_payload_was_lost_is_asked_again_of_exactly_its_silos():
    run = without_long_beach(Step.UNMASK)
    lose(run, HUNGARY)
    assert run.run.attempt == 2
    assert told(run) == dict.fromkeys(HOME, MakeKeys)
    run.finish_stage()
    assert tuple(run.combines[-1].contributions) == HOME
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)


@pytest.mark.parametrize("step", [Step.KEYS, Step.SHARES, Step.WORK])
def test_with_a_silo_less_it_is_not_asked_at_all(step):
    """A quorum would be left; but that sum, beside the one that was begun, would tell what the missing silo sent."""
    run = at(Step.UNMASK, attempts=2)
    lose(run, HUNGARY)
    run.on_to(step).answer(*HOME)
    run.fail(LONG_BEACH, "no keys")
    assert run.run.outcome is Outcome.FAILED
    assert run.run.reason == (
        f"round 1: {TOO_FEW[step].replace('2 of 3', '3 of 4')} after 2 attempts; long-beach: no keys"
    )


def test_a_run_waits_for_the_silos_of_the_sum_and_for_no_others():
    run = without_long_beach(Step.AGREE)
    run.leave(HUNGARY)
    run.leave(LONG_BEACH)
    lose(run, CLEVELAND)
    assert run.run.phase is Phase.GATHER
    run.here(HUNGARY)
    assert told(run) == dict.fromkeys(HOME, MakeKeys)


def test_a_run_ends_at_once_when_a_silo_of_the_sum_refuses():
    run = without_long_beach(Step.AGREE)
    lose(run, CLEVELAND)
    run.leave(HUNGARY)
    run.answer(*run.run.awaited)
    assert run.run.phase is Phase.GATHER
    run.refuse(HUNGARY)
    assert run.run.outcome is Outcome.FAILED
    assert run.run.reason == "no quorum: at most 2 of 3 silos; hungary (refused)"


def test_when_a_silo_of_the_sum_stays_away_the_reason_counts_those_that_matter():
    run = without_long_beach(Step.AGREE)
    run.leave(HUNGARY)
    lose(run, CLEVELAND)
    run.after(60.0)
    assert run.run.outcome is Outcome.FAILED
    assert run.run.reason == "no quorum: 2 of 3 silos joined within 60 s; missing: hungary (absent)"


def test_a_sum_that_makes_no_model_is_asked_again_of_exactly_its_silos():
    run = without_long_beach(Step.UNMASK)
    run.answer(*HOME)
    run.do(CombineRefused(Stage.TRAIN, 1, 1, "shares do not fit together"))
    assert told(run) == dict.fromkeys(HOME, MakeKeys)
    run.on_to(Step.UNMASK).answer(*HOME)
    run.do(CombineRefused(Stage.TRAIN, 1, 2, "shares do not fit together"))
    run.on_to(Step.UNMASK).answer(*HOME)
    run.do(CombineRefused(Stage.TRAIN, 1, 3, "shares do not fit together"))
    assert run.run.reason == "round 1: the reports make no model (shares do not fit together) after 3 attempts"


def test_a_stop_does_not_forget_which_silos_a_sum_was_begun_over():
    run = without_long_beach(Step.UNMASK)
    run.stop()
    run.resume()
    run.here(LONG_BEACH, CLEVELAND, HUNGARY)
    assert run.run.phase is Phase.GATHER
    run.here(SWITZERLAND)
    assert told(run) == dict.fromkeys(HOME, MakeKeys)


def test_a_list_that_every_silo_of_it_refused_to_sign_binds_nobody():
    """The journals know a sum over others; of this list none can have been released, so who is back is asked too."""
    run = without_long_beach(Step.AGREE)
    for silo in HOME:
        run.fail(silo, "its journal")
    assert run.run.attempt == 2
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)


def test_neither_does_it_after_a_resume():
    run = at(Step.WORK, attempts=1)
    run.answer(*HOME)
    run.after(100.0)
    for silo in HOME:
        run.fail(silo, "its journal")
    assert run.run.outcome is Outcome.FAILED
    run.resume()
    run.here(*FOUR)
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)


@pytest.mark.parametrize("last", ["signed", "silent", "gone"])
def test_a_list_that_one_silo_signed_or_may_have_signed_binds_all_of_it(last):
    run = without_long_beach(Step.AGREE)
    for silo in HOME[1:]:
        run.fail(silo, "its journal")
    match last:
        case "signed":
            run.answer(CLEVELAND)
        case "silent":
            run.after(100.0)
        case "gone":
            run.leave(CLEVELAND)
    run.here(CLEVELAND)
    assert told(run) == dict.fromkeys(HOME, MakeKeys)


def test_a_list_of_an_earlier_attempt_binds_although_all_refuse_it_now():
    """Somebody may have signed it then; that they cannot now, started again say, changes nothing."""
    run = without_long_beach(Step.UNMASK)
    lose(run, CLEVELAND)
    run.on_to(Step.AGREE)
    for silo in HOME:
        run.fail(silo, "no keys")
    assert run.run.attempt == 3
    assert told(run) == dict.fromkeys(HOME, MakeKeys)


@pytest.mark.parametrize("step", [Step.AGREE, Step.UNMASK])
def test_a_run_that_is_stopped_while_silos_sign_or_reveal_is_bound_to_them_when_it_goes_on(step):
    run = without_long_beach(step)
    run.stop()
    assert (run.run.burned, run.run.exchange) == (HOME, None)


def test_a_lost_model_is_made_again_of_exactly_the_silos_that_it_was_made_of():
    run = without_long_beach(Step.UNMASK)
    run.answer(*HOME)
    made = run.combine().model
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)
    lose_model(run)
    assert told(run) == dict.fromkeys(HOME, MakeKeys)
    run.finish_stage()
    assert run.run.model == made
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)


def test_a_sum_that_was_begun_of_a_model_that_was_lost_is_asked_again_of_its_silos_once_the_model_is_back():
    run = at(Step.WORK, round_=2)
    run.answer(*HOME)
    run.after(100.0)
    run.here(LONG_BEACH)
    lose_model(run)
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)
    run.finish_stage()
    assert run.run.round == 2
    assert told(run) == dict.fromkeys(HOME, MakeKeys)
    run.finish_stage()
    assert told(run) == dict.fromkeys(FOUR, MakeKeys)


def test_the_last_model_is_not_measured_by_other_silos_than_those_that_were_asked_first():
    run = at(Step.WORK, Stage.EVALUATE, 2)
    run.answer(*HOME)
    run.after(100.0)
    run.here(LONG_BEACH)
    run.leave(HUNGARY)
    lose(run, CLEVELAND)
    assert run.run.outcome is Outcome.FINISHED
    assert run.run.reason == "the last model was not measured: 2 of 3 silos were present"


def test_the_last_model_is_not_measured_by_fewer_silos_than_a_quorum():
    run = Play(masked_plan_of()).open(Stage.TRAIN, 2).on_to(Step.UNMASK)
    run.answer(*FOUR)
    run.leave(CLEVELAND)
    run.leave(HUNGARY)
    run.combine()
    assert run.run.outcome is Outcome.FINISHED
    assert run.run.reason == "the last model was not measured: 2 of 3 silos were present"


def test_a_run_that_was_stopped_while_its_last_model_was_measured_finishes_without_when_those_silos_are_away():
    run = at(Step.UNMASK, Stage.EVALUATE, 2)
    run.stop()
    run.resume()
    run.here(*HOME)
    run.after(60.0)
    assert run.run.outcome is Outcome.FINISHED
    assert run.run.reason == "the last model was not measured: 3 of 4 silos were present"


def test_a_lost_payload_takes_a_new_attempt_because_keys_mask_once():
    run = at(Step.WORK, attempts=1)
    run.answer(CLEVELAND)
    lose(run, CLEVELAND)
    assert run.run.outcome is Outcome.FAILED
    assert run.run.reason == "round 1: 1 of 1 reports were lost after 1 attempts; cleveland: its report was lost"


def test_a_reveal_counts_once_and_only_of_a_silo_that_signed():
    run = at(Step.AGREE)
    run.answer(*HOME)
    run.after(ENOUGH_S)
    for silo in (CLEVELAND, CLEVELAND, LONG_BEACH):
        run.answer(silo)
    assert isinstance(answer_of(run.run, CLEVELAND), Revealed)
    assert set(run.run.exchange.reveals) == {CLEVELAND}
    assert not run.run.combining


# --- scores counted once more ----------------------------------------------------------------------------------------

EDGES = (-57344, 5, 9)


def evaluated(run: Play, bound: float, edges: tuple[int, ...] = ()) -> None:
    """Everybody answers; the last model's ROC-AUC is known to `bound`, and could be known better."""
    while not run.run.combining:
        run.answer(*run.run.awaited)
    result = result_of(run.combines[-1])
    measured = replace(result.measured, metrics=replace(result.measured.metrics, roc_auc_bound=bound))
    run.do(replace(result, measured=measured, edges=edges))


def test_the_last_models_scores_are_counted_once_more_by_the_same_silos_and_no_third_time():
    run = Play(masked_plan_of(rounds=1, attempts=1)).open(Stage.EVALUATE, 1)
    run.on_to(Step.WORK).leave(LONG_BEACH)
    evaluated(run, 0.3, EDGES)
    assert (run.run.outcome, run.run.measured.roc_auc_bound) == (None, 0.3)
    run.here(LONG_BEACH)
    run.on_to(Step.WORK)
    assert run.run.cohort == HOME
    assert {asked.edges for asked in run.asked().values()} == {EDGES}
    evaluated(run, 0.1, EDGES)
    assert run.combines[-1].edges == EDGES
    assert (run.run.outcome, run.run.measured.roc_auc_bound, run.run.reason) == (Outcome.FINISHED, 0.1, "")
    assert [fact.metrics.roc_auc_bound for fact in run.facts_of(facts.ModelMeasured)[-2:]] == [0.3, 0.1]


def test_when_that_fails_the_run_has_what_was_measured_first():
    run = Play(masked_plan_of(rounds=1)).open(Stage.EVALUATE, 1)
    evaluated(run, 0.3, EDGES)
    run.leave(LONG_BEACH)
    while run.run.outcome is None:
        run.after(100.0)
    assert (run.run.outcome, run.run.measured.roc_auc_bound) == (Outcome.FINISHED, 0.3)
    assert run.run.reason.startswith("the last model was not measured more finely")


def test_a_model_that_is_lost_before_that_is_measured_anew_from_the_beginning():
    run = Play(masked_plan_of(rounds=1)).open(Stage.EVALUATE, 1)
    evaluated(run, 0.3, EDGES)
    run.do(ModelLost(run.run.model.digest, "rotten"))
    assert (run.run.stage, run.run.edges) == (Stage.TRAIN, ())
    run.finish_stage()
    assert run.on_to(Step.WORK).asked()[CLEVELAND].edges == ()
