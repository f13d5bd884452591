"""What a run does when the coordinator's disk is full, or has lost what it was given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.protocol.driving import CLEVELAND, HUNGARY, SWITZERLAND, THREE, Play, blob, plan_of, result_of

from septum.protocol import facts
from septum.protocol.messages import Outcome, Stage, Train
from septum.protocol.plan import EarlyStopping, Metric
from septum.protocol.run import RETRY_S
from septum.protocol.run_state import CombineFailed, CombineRefused, ModelLost, OutOfSpace, PayloadsLost, SpaceIsBack


def lose_payloads(play: Play, *silos: str) -> None:
    assert play.run.stage is not None
    play.do(PayloadsLost(play.run.stage, play.run.round, play.run.attempt, silos))


def lose_model(play: Play) -> None:
    assert play.run.model is not None
    play.do(ModelLost(play.run.model.digest, "rotten"))


def no_space(play: Play) -> None:
    last = play.combines[-1]
    play.do(CombineFailed(last.stage, last.round, last.attempt, "no space", retry=True))


# --- a full disk ---------------------------------------------------------------------------------------------------


def test_combining_that_had_no_space_is_tried_again_until_it_succeeds():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    no_space(play)
    assert (play.run.paused, play.run.reason, play.asked()) == (True, "no space", {})
    assert play.after(RETRY_S - 1) == ()
    (again,) = play.after(1)
    assert again == play.combines[-2]  # the same reports
    no_space(play)
    play.after(RETRY_S)
    play.combine()
    assert (play.run.paused, play.run.reason, play.run.round) == (False, "", 2)
    assert [fact.reason for fact in play.facts_of(facts.RunPaused)] == ["no space"]
    assert len(play.facts_of(facts.RunResumed)) == 1
    assert isinstance(play.asked()[CLEVELAND], Train)


def test_an_operator_who_pauses_meanwhile_is_obeyed():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    no_space(play)
    play.pause()
    assert play.after(10 * RETRY_S) == ()
    play.resume()
    play.combine()
    assert play.run.round == 2


def test_a_pause_of_the_operator_outlives_a_full_disk():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    play.pause()
    no_space(play)
    assert play.after(10 * RETRY_S) == ()
    assert play.run.paused


def test_a_run_whose_uploads_have_no_room_waits_for_it_and_its_silos_lose_no_time():
    play = Play().open(Stage.TRAIN, 1)
    play.report(CLEVELAND)
    play.after(70)
    play.do(OutOfSpace("no space"))
    assert (play.run.paused, play.run.reason, play.asked()) == (True, "no space", {})
    play.do(OutOfSpace("no space"))
    play.after(1000)
    assert len(play.facts_of(facts.RunPaused)) == 1
    play.do(SpaceIsBack())
    assert (play.run.paused, play.run.deadline) == (False, play.now + 30)
    assert set(play.asked()) == {HUNGARY, SWITZERLAND}
    play.finish_stage()
    assert play.run.round == 2


def test_room_that_was_never_missed_changes_nothing():
    play = Play().open(Stage.TRAIN, 1)
    play.pause()
    play.do(SpaceIsBack())
    assert play.run.paused


# --- reports that make no model ------------------------------------------------------------------------------------


def test_reports_that_make_no_model_cost_an_attempt_and_the_run_ends_with_the_reason():
    play = Play(plan_of(attempts=2)).open(Stage.TRAIN, 1)
    for _ in range(2):
        play.report(*THREE)
        play.do(CombineRefused(Stage.TRAIN, 1, play.run.attempt, "w is not finite"))
    assert play.run.outcome is Outcome.FAILED
    assert play.run.reason == "round 1: the reports make no model (w is not finite) after 2 attempts"
    assert [fact.attempt for fact in play.facts_of(facts.CombineRefused)] == [1, 2]


# --- payloads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("combining", [False, True])
def test_silos_whose_payloads_are_lost_are_asked_again_in_the_same_attempt(combining):
    play = Play().open(Stage.TRAIN, 1)
    play.report(*(THREE if combining else (CLEVELAND, HUNGARY)))
    lose_payloads(play, HUNGARY)
    assert set(play.asked()) == ({HUNGARY} if combining else {HUNGARY, SWITZERLAND})
    assert play.asked()[HUNGARY] == Train(1, 1, play.run.model)
    assert play.run.deadline == play.now + 100.0
    play.report(*play.run.awaited)
    assert list(play.combines[-1].contributions) == list(THREE)


def test_a_silo_that_has_left_since_it_reported_cannot_give_a_lost_payload_again():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    play.leave(HUNGARY)
    lose_payloads(play, HUNGARY)
    assert list(play.combines[-1].contributions) == [CLEVELAND, SWITZERLAND]
    assert play.facts_of(facts.StageClosed)[-1].missing == (HUNGARY,)


def test_a_payload_of_an_earlier_attempt_is_not_missed():
    play = Play().open(Stage.TRAIN, 1)
    play.finish_stage()
    before = play.run
    play.do(PayloadsLost(Stage.TRAIN, 1, 1, THREE))
    assert play.run == before


# --- models --------------------------------------------------------------------------------------------------------


def test_a_lost_model_is_made_again_from_the_one_before_and_the_run_ends_at_the_same_one():
    undisturbed = Play(plan_of(rounds=3)).open(Stage.EVALUATE, 3)
    play = Play(plan_of(rounds=3)).open(Stage.TRAIN, 3)
    before = play.run.previous
    lose_model(play)
    assert before is not None
    assert play.asked()[CLEVELAND] == Train(2, 2, before.model)
    assert play.facts_of(facts.ModelLost) == [facts.ModelLost(2, "rotten")]
    while play.run.stage is not Stage.EVALUATE:
        play.finish_stage()
    assert play.run.model == undisturbed.run.model
    assert play.run.finished == 3


def test_a_lost_initial_model_is_made_again():
    play = Play().open(Stage.TRAIN, 1)
    first = play.run.model
    lose_model(play)
    assert (play.run.stage, play.run.attempt, play.run.model) == (Stage.PREPARE, 2, None)
    play.finish_stage()
    assert play.run.model == first


def test_a_lost_optimizer_state_takes_the_model_with_it():
    play = Play().open(Stage.TRAIN, 1)
    for round_ in (1, 2):
        play.report(*THREE)
        result = replace(result_of(play.combines[-1]), optimizer=blob(f"state {round_}"))
        play.do(result)
    assert play.run.optimizer == blob("state 2")
    play.do(ModelLost(blob("state 2").digest, "rotten"))
    assert (play.run.stage, play.run.round, play.run.optimizer) == (Stage.TRAIN, 2, blob("state 1"))


def test_early_stopping_counts_a_model_once_however_often_it_is_made():
    rule = EarlyStopping(Metric.ACCURACY, patience=2)
    play = Play(plan_of(rounds=9, early_stopping=rule)).open(Stage.TRAIN, 1)
    play.finish_stage(accuracy=0.9)
    play.finish_stage(accuracy=0.8)
    assert play.run.best is not None
    assert play.run.best.stale == 1
    lose_model(play)
    play.finish_stage(accuracy=0.8)
    assert play.run.best.stale == 1


def test_without_the_model_before_it_an_operator_is_asked_and_nothing_is_thrown_away():
    play = Play(plan_of(rounds=3)).open(Stage.TRAIN, 3)
    lose_model(play)
    lose_model(play)
    assert (play.run.paused, play.run.finished) == (True, 1)
    assert "the model of round 1 is lost" in play.run.reason
    play.resume()  # it was brought back from a backup
    assert isinstance(play.asked()[CLEVELAND], Train)


def test_what_was_combined_from_a_lost_model_does_not_count():
    play = Play().open(Stage.TRAIN, 2)
    play.report(*THREE)
    stale = result_of(play.combines[-1])
    lose_model(play)
    assert (play.run.round, play.run.attempt) == (1, 2)
    with pytest.raises(Exception, match="ahead of run"):
        play.do(stale)
    assert play.run.finished == 0


def test_the_loss_of_another_model_is_nothing():
    play = Play().open(Stage.TRAIN, 1)
    before = play.run
    play.do(ModelLost(blob("of another run").digest, "rotten"))
    assert play.run == before
