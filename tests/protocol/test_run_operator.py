"""What do pause, resume, stop, early stopping and a failed combination do to a run?"""

from __future__ import annotations

import pytest
from tests.protocol.driving import CLEVELAND, HUNGARY, SWITZERLAND, THREE, Play, blob, plan_of, report_of

from septum.errors import ProtocolError
from septum.protocol.facts import ModelMade, RunEnded, RunPaused, RunResumed
from septum.protocol.messages import End, Evaluate, Outcome, Stage, Train
from septum.protocol.plan import EarlyStopping, Metric
from septum.protocol.run import instruction
from septum.protocol.run_state import Combined, Discard, Pause, Phase, Presence, Resume, Stop

# --- pause and resume ----------------------------------------------------------------------------------------------


def test_a_paused_run_hands_out_no_work_and_its_deadline_stands_still():
    play = Play().open(Stage.TRAIN, 1)
    play.after(30)

    play.pause()
    assert play.asked() == {}
    play.after(1000)
    assert play.run.awaited == THREE

    play.resume()
    assert play.asked() == dict.fromkeys(THREE, Train(1, 1, play.run.model))
    assert play.run.deadline == play.now + 70


def test_reports_under_way_are_accepted_and_combined_during_a_pause():
    play = Play().open(Stage.TRAIN, 1)
    play.pause()
    play.report(*THREE)
    play.combine()

    assert play.run.round == 2
    assert play.run.deadline is None
    assert play.asked() == {}
    play.after(500)
    play.resume()
    assert play.run.deadline == play.now + 100
    assert play.asked() == dict.fromkeys(THREE, Train(2, 1, play.run.model))


def test_silos_may_gather_during_a_pause_and_the_work_starts_after_it():
    play = Play()
    play.pause()
    play.after(1000)
    play.join(*THREE)
    assert play.asked() == {}

    play.resume()

    assert set(play.asked()) == set(THREE)
    assert play.run.deadline == play.now + 100


def test_pausing_twice_and_resuming_twice_are_no_news():
    play = Play().open(Stage.TRAIN, 1)
    for event in (Pause(), Pause(), Resume(), Resume()):
        play.do(event)

    assert play.facts[-2:] == [RunPaused(""), RunResumed()]


def test_resuming_while_reports_are_combined_does_not_combine_them_a_second_time():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    count = len(play.combines)

    play.pause()
    play.resume()
    assert len(play.combines) == count

    play.combine()
    assert play.run.finished == 1


def test_a_failed_combination_pauses_the_run_with_its_reason_and_resuming_combines_again():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    first = play.combines[-1]

    play.combine_fails("no space left on device")
    assert play.run.paused is True
    assert play.run.reason == "no space left on device"
    assert play.facts[-1] == RunPaused("no space left on device")

    play.resume()
    assert play.combines[-2:] == [first, first]
    assert play.run.reason == ""
    play.combine()
    assert play.run.round == 2


def test_a_combination_that_fails_without_a_word_is_combined_again_too():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    play.combine_fails("")
    assert play.run.reason == "the reports could not be combined"
    count = len(play.combines)

    play.resume()

    assert len(play.combines) == count + 1


def test_a_combination_that_fails_during_a_pause_is_recorded_and_done_again():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    play.pause()
    count = len(play.combines)

    play.combine_fails("no space left on device")
    assert play.run.reason == "no space left on device"
    assert play.facts[-1] == RunPaused("no space left on device")
    play.resume()

    assert len(play.combines) == count + 1


def test_a_failed_combination_of_an_earlier_round_changes_nothing():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    failed = play.combine_fails("no space left on device")
    play.resume()
    play.combine()

    assert play.do(failed) == ()
    assert play.run.paused is False


# --- stop ----------------------------------------------------------------------------------------------------------


def test_stopping_ends_the_run_and_keeps_the_last_finished_model():
    play = Play().open(Stage.TRAIN, 2)
    model = play.run.model
    play.report(CLEVELAND)

    play.do(Stop("the protocol was amended"))

    assert play.run.model == model
    assert play.facts[-1] == RunEnded(Outcome.STOPPED, "the protocol was amended")
    assert play.discards[-1] == Discard(Stage.TRAIN, 2)
    assert play.asked() == dict.fromkeys(THREE, End(Outcome.STOPPED, "the protocol was amended"))


def test_stopping_twice_is_no_news():
    play = Play().open(Stage.TRAIN, 1)
    play.stop()
    before = play.run

    assert play.do(Stop()) == ()
    assert play.run == before


def test_a_paused_run_can_be_stopped():
    play = Play().open(Stage.TRAIN, 1)
    play.pause()
    play.stop()

    assert play.run.outcome is Outcome.STOPPED
    assert play.run.paused is False


@pytest.mark.parametrize("event", [Pause(), Resume(), Stop()], ids=lambda event: type(event).__name__.lower())
def test_a_finished_run_takes_no_commands(event):
    play = Play().open(Stage.EVALUATE, 2)
    play.finish_stage()
    before = play.run

    with pytest.raises(ProtocolError, match=r"run run-1 has (ended|finished)"):
        play.do(event)

    assert play.run == before


def test_stopping_while_gathering_again_frees_the_payloads_of_the_open_round():
    play = Play().open(Stage.TRAIN, 2)
    play.report(CLEVELAND)
    play.leave(HUNGARY)
    play.leave(SWITZERLAND)
    assert play.run.phase is Phase.GATHER

    play.stop()

    assert play.discards[-1] == Discard(Stage.TRAIN, 2)


# --- resuming what has ended ---------------------------------------------------------------------------------------


def test_a_stopped_run_gathers_again_and_goes_on_after_the_last_finished_round():
    play = Play().open(Stage.TRAIN, 2)
    model = play.run.model
    play.stop()

    play.resume()
    assert play.run.phase is Phase.GATHER
    assert play.run.deadline == play.now + 60
    play.join(*THREE)

    assert play.asked() == dict.fromkeys(THREE, Train(2, 2, model))
    play.finish_stage()
    play.finish_stage()
    assert play.run.outcome is Outcome.FINISHED
    assert [fact.round for fact in play.facts_of(ModelMade)] == [0, 1, 2]


def test_a_failed_run_goes_on_with_all_its_attempts():
    play = Play(plan_of(attempts=2)).open(Stage.TRAIN, 2)
    for _ in range(2):
        for silo in THREE:
            play.fail(silo)
    assert play.run.outcome is Outcome.FAILED

    play.resume()
    play.join(*THREE)
    for silo in THREE:
        play.fail(silo)

    assert play.run.outcome is None
    assert (play.run.round, play.run.attempt) == (2, 4)


def test_a_run_that_failed_while_preparing_prepares_again():
    play = Play()
    play.after(60)
    assert play.run.outcome is Outcome.FAILED

    play.resume()
    play.join(*THREE)

    assert play.run.phase is Phase.PREPARE


def test_a_result_of_the_life_before_the_stop_is_not_taken_for_one_of_this_life():
    play = Play(plan_of(quorum=1)).open(Stage.TRAIN, 1)
    play.report(*THREE)
    before_the_stop = Combined(Stage.TRAIN, 1, play.run.attempt, blob("of three silos"))
    play.stop()
    assert play.do(before_the_stop) == ()
    play.resume()
    assert play.do(before_the_stop) == ()
    play.join(*THREE)
    assert play.do(before_the_stop) == ()

    play.fail(CLEVELAND)
    play.report(HUNGARY, SWITZERLAND)
    assert play.run.combining is True
    assert play.do(before_the_stop) == ()

    assert play.run.finished == 0
    assert play.combine().model == play.run.model


def test_a_silo_that_never_heard_of_the_stop_takes_part_again_by_any_word():
    play = Play().open(Stage.TRAIN, 1)
    under_way = report_of(play.run, CLEVELAND)
    play.stop()
    play.resume()

    play.says(CLEVELAND, under_way)
    play.here(HUNGARY)

    assert play.run.presence[CLEVELAND] is Presence.ACTIVE
    assert play.run.presence[HUNGARY] is Presence.ACTIVE


def test_a_silo_that_had_refused_may_join_a_resumed_run():
    play = Play().open(Stage.TRAIN, 1)
    play.refuse(HUNGARY)
    play.stop()
    play.resume()
    assert instruction(play.run, HUNGARY) is None

    play.join(*THREE)

    assert play.run.cohort == THREE


@pytest.mark.parametrize("how", ["nobody returns", "everybody refuses"])
def test_a_run_resumed_to_measure_its_last_model_finishes_whoever_comes(how):
    play = Play().open(Stage.EVALUATE, 2)
    play.stop()
    play.resume()

    if how == "nobody returns":
        play.after(60)
    else:
        for silo in THREE:
            play.refuse(silo)

    assert play.run.outcome is Outcome.FINISHED
    assert play.run.finished == 2


def test_a_run_resumed_to_measure_its_last_model_needs_no_quorum():
    play = Play().open(Stage.EVALUATE, 2)
    play.stop()
    play.resume()
    play.join(CLEVELAND)
    play.after(60)

    assert instruction(play.run, CLEVELAND) == Evaluate(2, 2, play.run.model)


# --- early stopping ------------------------------------------------------------------------------------------------


def _measured(rule: EarlyStopping, *values: float | None) -> Play:
    """A run with many rounds, whose models 0, 1, ... were measured with these values."""
    play = Play(plan_of(rounds=50, early_stopping=rule)).open(Stage.TRAIN, 1)
    for value in values:
        play.finish_stage(**{rule.metric.value: value})
    return play


def test_a_run_stops_early_when_the_metric_has_not_improved_for_as_long_as_its_patience():
    rule = EarlyStopping(Metric.ROC_AUC, patience=2)
    assert _measured(rule, 0.6, 0.7, 0.69).run.phase is Phase.TRAIN

    play = _measured(rule, 0.6, 0.7, 0.69, 0.7)
    assert play.run.phase is Phase.EVALUATE
    assert play.run.finished == 4

    play.finish_stage()
    assert play.facts[-1] == RunEnded(Outcome.FINISHED, "early stopping")


def test_an_improvement_starts_the_patience_again():
    rule = EarlyStopping(Metric.ROC_AUC, patience=2)

    assert _measured(rule, 0.6, 0.5, 0.61, 0.5).run.phase is Phase.TRAIN


def test_a_gain_of_no_more_than_min_delta_is_no_improvement():
    rule = EarlyStopping(Metric.ACCURACY, patience=1, min_delta=0.25)

    assert _measured(rule, 0.5, 0.75).run.phase is Phase.EVALUATE
    assert _measured(rule, 0.5, 0.875).run.phase is Phase.TRAIN


def test_a_smaller_log_loss_is_a_better_one():
    rule = EarlyStopping(Metric.LOG_LOSS, patience=1)

    assert _measured(rule, 0.7, 0.6).run.phase is Phase.TRAIN
    assert _measured(rule, 0.7, 0.8).run.phase is Phase.EVALUATE


def test_a_model_whose_metric_is_undefined_costs_no_patience():
    rule = EarlyStopping(Metric.ROC_AUC, patience=1)

    play = _measured(rule, 0.6, None, None)

    assert play.run.phase is Phase.TRAIN
    assert play.run.best.round == 0


def test_a_run_that_stopped_early_and_was_interrupted_only_measures_when_resumed():
    play = _measured(EarlyStopping(Metric.ROC_AUC, patience=1), 0.6, 0.5)
    play.stop()
    play.resume()
    play.join(*THREE)

    assert play.run.phase is Phase.EVALUATE
    assert play.run.round == 2
