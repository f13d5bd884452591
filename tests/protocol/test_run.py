"""Does a run gather its silos and take them through its rounds?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.protocol.driving import CLEVELAND, HUNGARY, SWITZERLAND, THREE, Play, blob, plan_of, report_of, result_of

from septum.errors import ProtocolError
from septum.protocol.facts import (
    AttemptFailed,
    ModelMade,
    ModelMeasured,
    RunCreated,
    RunEnded,
    SiloJoined,
    SiloModel,
    SiloModelsKept,
    SiloReported,
    StageClosed,
    StageOpened,
)
from septum.protocol.messages import Await, End, Evaluate, Join, Outcome, Prepare, Report, Stage, Train, blob_of
from septum.protocol.run import instruction
from septum.protocol.run_state import Combined, Discard, FromSilo, Phase, Presence


def test_a_new_run_waits_for_its_silos_and_asks_nothing():
    play = Play()

    assert play.run.phase is Phase.GATHER
    assert play.run.deadline == 60.0
    assert play.asked() == {}
    assert play.facts == [RunCreated("heart", play.run.plan.digest)]


def test_the_last_silo_to_join_starts_the_run_at_once():
    play = Play()
    play.join(CLEVELAND, HUNGARY)
    assert play.run.phase is Phase.GATHER

    play.join(SWITZERLAND)

    assert play.run.phase is Phase.PREPARE
    assert play.run.cohort == THREE
    assert play.facts_of(SiloJoined) == [SiloJoined(silo) for silo in THREE]


def test_a_quorum_starts_when_the_gathering_is_over():
    play = Play()
    play.join(CLEVELAND, SWITZERLAND)
    play.after(59.9)
    assert play.run.phase is Phase.GATHER

    play.after(0.1)

    assert play.run.phase is Phase.PREPARE
    assert play.run.cohort == (CLEVELAND, SWITZERLAND)


def test_less_than_a_quorum_fails_when_the_gathering_is_over_and_names_who_is_missing():
    play = Play()
    play.join(HUNGARY)

    play.after(60)

    assert play.run.outcome is Outcome.FAILED
    assert play.run.reason == (
        "no quorum: 1 of 2 silos joined within 60 s; missing: cleveland (invited); switzerland (invited)"
    )
    assert play.asked()[HUNGARY] == End(Outcome.FAILED, play.run.reason)


def test_one_silo_makes_the_initial_model_and_all_prepare():
    play = Play()
    play.join(*THREE)

    assert play.asked() == {
        CLEVELAND: Prepare(1, initial=True),
        HUNGARY: Prepare(1, initial=False),
        SWITZERLAND: Prepare(1, initial=False),
    }


def test_when_the_maker_of_the_initial_model_fails_another_one_makes_it():
    play = Play()
    play.join(*THREE)
    play.report(HUNGARY, SWITZERLAND)

    play.fail(CLEVELAND)

    assert play.combines == []
    assert play.facts_of(AttemptFailed) == [
        AttemptFailed(Stage.PREPARE, 0, 1, reported=(HUNGARY, SWITZERLAND), missing=(CLEVELAND,))
    ]
    assert play.asked()[HUNGARY] == Prepare(2, initial=True)
    assert play.asked()[CLEVELAND] == Prepare(2, initial=False)


def test_the_last_report_closes_a_stage_and_nobody_is_asked_while_it_is_combined():
    play = Play().open(Stage.TRAIN, 1)
    play.report(CLEVELAND, HUNGARY)
    assert play.run.combining is False

    play.report(SWITZERLAND)

    assert play.run.combining is True
    assert play.run.deadline is None
    assert play.asked() == {}
    assert play.facts_of(StageClosed)[-1] == StageClosed(Stage.TRAIN, 1, 1, reported=THREE, missing=())


def test_a_combine_effect_carries_the_base_and_the_contributions_in_canonical_order():
    play = Play().open(Stage.TRAIN, 1)
    base = play.run.model

    play.report(SWITZERLAND, CLEVELAND, HUNGARY)

    combine = play.combines[-1]
    assert (combine.stage, combine.round, combine.attempt, combine.base) == (Stage.TRAIN, 1, 1, base)
    assert list(combine.contributions) == [CLEVELAND, HUNGARY, SWITZERLAND]
    assert [c.weight for c in combine.contributions.values()] == [10, 20, 30]
    assert combine.contributions[HUNGARY].payload == blob("hungary train 1")


def test_a_combined_round_makes_a_model_frees_the_payloads_and_opens_the_next_round():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)

    result = play.combine(accuracy=0.8)

    assert play.run.model == result.model
    assert play.run.finished == 1
    assert play.run.measured == result.measured.metrics
    assert play.facts[-3:] == [
        ModelMeasured(0, result.measured.metrics, result.measured.silos),
        ModelMade(1, result.model),
        StageOpened(Stage.TRAIN, 2, 1, THREE),
    ]
    assert play.discards == [Discard(Stage.PREPARE, 0), Discard(Stage.TRAIN, 1)]
    assert play.asked() == dict.fromkeys(THREE, Train(2, 1, result.model))


def test_a_run_of_two_rounds_prepares_trains_twice_measures_the_last_model_and_ends():
    play = Play().open(Stage.EVALUATE, 2)
    assert play.asked() == dict.fromkeys(THREE, Evaluate(2, 1, play.run.model))

    play.finish_stage(accuracy=0.9)

    opened = [(fact.stage, fact.round, fact.attempt) for fact in play.facts_of(StageOpened)]
    assert opened == [(Stage.PREPARE, 0, 1), (Stage.TRAIN, 1, 1), (Stage.TRAIN, 2, 1), (Stage.EVALUATE, 2, 1)]
    assert [fact.round for fact in play.facts_of(ModelMade)] == [0, 1, 2]
    assert [fact.round for fact in play.facts_of(ModelMeasured)] == [0, 1, 2]
    assert play.facts[-1] == RunEnded(Outcome.FINISHED, "")
    assert play.asked() == dict.fromkeys(THREE, End(Outcome.FINISHED))


def test_the_payloads_of_each_stage_are_freed_once():
    play = Play().open(Stage.EVALUATE, 2)
    play.finish_stage()

    assert play.discards == [
        Discard(Stage.PREPARE, 0),
        Discard(Stage.TRAIN, 1),
        Discard(Stage.TRAIN, 2),
        Discard(Stage.EVALUATE, 2),
    ]


def test_at_the_deadline_a_quorum_is_enough_and_the_straggler_is_absent():
    play = Play().open(Stage.TRAIN, 1)
    play.report(CLEVELAND, SWITZERLAND)
    play.after(99.9)
    assert play.run.combining is False

    play.after(0.1)

    assert list(play.combines[-1].contributions) == [CLEVELAND, SWITZERLAND]
    assert play.facts_of(StageClosed)[-1].missing == (HUNGARY,)
    assert play.run.presence[HUNGARY] is Presence.ABSENT
    play.combine()
    assert play.run.cohort == (CLEVELAND, SWITZERLAND)


def test_below_the_quorum_at_the_deadline_the_round_is_tried_again_from_the_same_model():
    play = Play(plan_of(quorum=1)).open(Stage.TRAIN, 1)
    play.fail(CLEVELAND)
    play.fail(HUNGARY)

    play.after(100)

    assert play.facts_of(AttemptFailed)[-1] == AttemptFailed(Stage.TRAIN, 1, 1, reported=(), missing=THREE)
    assert play.asked() == dict.fromkeys((CLEVELAND, HUNGARY), Train(1, 2, play.run.model))


def test_after_the_last_attempt_the_run_fails_with_every_silos_reason():
    play = Play(plan_of(attempts=2)).open(Stage.TRAIN, 1)
    for _ in range(2):
        play.fail(CLEVELAND, "the loss is not finite")
        play.fail(SWITZERLAND, "out of memory")
        play.report(HUNGARY)

    assert play.run.outcome is Outcome.FAILED
    assert play.run.reason == (
        "round 1: 1 of 2 silos after 2 attempts; cleveland: the loss is not finite; switzerland: out of memory"
    )


def test_a_silo_that_hangs_in_every_attempt_cannot_keep_a_run_going_for_ever():
    play = Play(plan_of(quorum=3, attempts=3)).open(Stage.TRAIN, 1)

    for _ in range(3):  # each time the quorum is lost at the deadline, and the silo is back a moment later
        play.report(CLEVELAND, HUNGARY)
        play.after(100)
        play.here(SWITZERLAND)

    assert play.run.outcome is Outcome.FAILED
    assert "after 3 attempts; switzerland: no report within 100 s" in play.run.reason


def test_a_finished_round_gives_the_next_one_all_its_attempts():
    play = Play(plan_of(attempts=2)).open(Stage.TRAIN, 1)
    play.fail(CLEVELAND)
    play.fail(HUNGARY)
    play.report(SWITZERLAND)
    play.finish_stage()

    play.fail(CLEVELAND)
    play.fail(HUNGARY)
    play.report(SWITZERLAND)

    assert play.run.outcome is None
    assert (play.run.round, play.run.attempt) == (2, 2)


def test_a_repeated_report_counts_once():
    play = Play().open(Stage.TRAIN, 1)
    play.report(CLEVELAND)
    before = play.run

    assert play.says(CLEVELAND, report_of(play.run, CLEVELAND, weight=999)) == ()

    assert play.run == before
    assert play.facts_of(SiloReported)[-1].silo == CLEVELAND


def test_a_late_report_of_an_earlier_round_changes_nothing_and_is_told_what_to_do_now():
    play = Play().open(Stage.TRAIN, 1)
    late = report_of(play.run, HUNGARY)
    play.report(CLEVELAND, SWITZERLAND)
    play.after(100)
    play.combine()
    play.here(HUNGARY)
    play.report(CLEVELAND, SWITZERLAND)
    play.combine()
    before = play.run

    assert play.says(HUNGARY, late) == ()

    assert play.run == before
    assert isinstance(instruction(play.run, HUNGARY), Evaluate)


def test_a_late_report_of_an_earlier_attempt_does_not_count_in_this_one():
    play = Play().open(Stage.TRAIN, 1)
    late = report_of(play.run, CLEVELAND)
    play.fail(HUNGARY)
    play.fail(SWITZERLAND)
    play.leave(CLEVELAND)
    play.here(CLEVELAND)
    assert play.run.attempt == 2

    play.says(CLEVELAND, late)

    assert play.run.reports == {}


@pytest.mark.parametrize(
    "ahead", [{"stage": Stage.EVALUATE, "weight": 0}, {"round": 2}, {"attempt": 2}], ids=["stage", "round", "attempt"]
)
def test_a_report_from_the_future_is_a_protocol_error_that_says_where_the_run_is(ahead):
    play = Play().open(Stage.TRAIN, 1)

    with pytest.raises(ProtocolError, match="is ahead of run run-1, which is at train round 1 attempt 1") as caught:
        play.report(CLEVELAND, **ahead)

    assert caught.value.hint == "septum run show run-1"
    assert play.run.reports == {}


def test_a_report_from_another_model_is_a_protocol_error_that_names_both():
    play = Play().open(Stage.TRAIN, 1)
    other = blob("another model").digest

    with pytest.raises(
        ProtocolError, match=f"'cleveland' started from model {other}, not from {play.run.model.digest}"
    ):
        play.report(CLEVELAND, base=other)

    assert CLEVELAND in play.run.awaited


def test_a_silo_outside_the_plan_is_a_protocol_error_whatever_it_says():
    play = Play()

    with pytest.raises(ProtocolError, match="silo 'zurich' is not part of run run-1"):
        play.says("zurich", Await())
    with pytest.raises(ProtocolError, match="silo 'zurich' is not part of run run-1"):
        instruction(play.run, "zurich")


def test_a_silo_with_another_plan_cannot_join():
    play = Play()
    other = plan_of(rounds=3).digest

    with pytest.raises(ProtocolError, match=f"with plan {other}, but the plan is {play.run.plan.digest}"):
        play.says(CLEVELAND, Join(other))

    assert play.run.presence[CLEVELAND] is Presence.INVITED


def test_a_report_of_a_silo_that_never_joined_does_not_count():
    play = Play()
    play.join(CLEVELAND, HUNGARY)
    play.after(60)

    play.says(SWITZERLAND, report_of(play.run, SWITZERLAND))

    assert play.run.reports == {}
    assert play.run.presence[SWITZERLAND] is Presence.INVITED


def test_a_result_that_was_combined_twice_makes_one_model():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    result = play.combine()
    before = play.run

    assert play.do(result) == ()

    assert play.run == before


def test_a_result_before_its_reports_are_in_is_a_protocol_error():
    play = Play().open(Stage.TRAIN, 1)

    with pytest.raises(ProtocolError, match="round 1 was combined before its reports were in"):
        play.do(Combined(Stage.TRAIN, 1, 1, blob("model")))

    assert play.run.finished == 0


def test_training_without_a_model_and_an_evaluation_with_one_are_protocol_errors():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    with pytest.raises(ProtocolError, match="train needs a model"):
        play.do(Combined(Stage.TRAIN, 1, 1))

    play.combine()
    play.finish_stage()
    play.report(*THREE)
    with pytest.raises(ProtocolError, match="evaluate makes no model"):
        play.do(Combined(Stage.EVALUATE, 2, 1, blob("model")))


def test_the_clock_never_goes_back():
    play = Play().open(Stage.TRAIN, 1)
    play.after(50)
    deadline = play.run.deadline

    play.after(-40)
    play.report(CLEVELAND)

    assert play.run.now == 50.0
    assert play.run.deadline == deadline


def test_the_silos_own_models_of_a_round_are_a_fact_beside_the_model_that_was_made_of_them():
    play = Play(plan_of(keep_silo_models=True)).open(Stage.TRAIN, 1)
    play.report(*THREE)
    base, kept = play.run.model, {silo: SiloModel(blob(silo), blob(f"of {silo}"), 1.0) for silo in THREE}
    made = replace(result_of(play.combines[-1]), kept=kept)
    play.do(made)
    assert play.facts_of(SiloModelsKept) == [SiloModelsKept(1, base, kept)]
    play.do(made)  # once more, and late
    assert len(play.facts_of(SiloModelsKept)) == 1


def test_states_keep_models_by_reference_and_not_their_bytes():
    play = Play().open(Stage.TRAIN, 1)
    play.report(*THREE)
    combined = result_of(play.combines[-1])
    play.do(Combined(Stage.TRAIN, 1, 1, blob_of(b"model"), blob_of(b"momentum"), combined.measured))

    assert play.run.model == blob("model")
    assert play.run.optimizer == blob("momentum")


def test_after_the_end_a_silos_word_changes_nothing_and_is_answered_with_the_end():
    play = Play().open(Stage.EVALUATE, 2)
    late = report_of(play.run, CLEVELAND)
    play.finish_stage()
    before = play.run

    for message in (late, Join("blake3:" + "0" * 64), Await(), Report(Stage.TRAIN, 9, 9, "", blob("x"), 1)):
        assert play.do(FromSilo(CLEVELAND, message)) == ()

    assert play.run == before
    assert instruction(play.run, CLEVELAND) == End(Outcome.FINISHED)
