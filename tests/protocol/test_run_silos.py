"""What becomes of a run when silos come late, leave, return, refuse or fall silent?"""

from __future__ import annotations

import pytest
from tests.protocol.driving import CLEVELAND, HUNGARY, SWITZERLAND, THREE, Play, blob, plan_of, report_of

from septum.errors import MessageError
from septum.protocol.codec import MAX_MESSAGE_BYTES, encode
from septum.protocol.facts import SiloFailed, SiloJoined, SiloLeft, SiloRefused, SiloReturned, StageClosed
from septum.protocol.messages import MAX_REASON_CHARS, End, Failure, Join, Outcome, Prepare, Report, Stage, Train
from septum.protocol.run import instruction
from septum.protocol.run_state import Discard, FromSilo, Phase, Presence
from septum.protocol.stages import REFUSALS_S


def test_a_silo_that_joins_late_takes_part_from_the_next_round_on():
    play = Play()
    play.join(CLEVELAND, HUNGARY)
    play.after(60)

    play.join(SWITZERLAND)
    assert instruction(play.run, SWITZERLAND) is None
    play.finish_stage()

    assert play.run.cohort == THREE
    assert instruction(play.run, SWITZERLAND) == Train(1, 1, play.run.model)


def test_joining_again_is_no_news():
    play = Play()
    play.join(CLEVELAND, CLEVELAND)

    assert play.facts_of(SiloJoined) == [SiloJoined(CLEVELAND)]


def test_what_a_silo_says_when_it_joins_and_its_machine_are_in_the_journal():
    play, rows = Play(), "blake3:" + "a" * 64
    play.do(FromSilo(CLEVELAND, Join(play.run.plan.digest, rows), "Linux; Xeon"))
    play.join(HUNGARY)
    play.leave(CLEVELAND)
    play.do(FromSilo(CLEVELAND, Join(play.run.plan.digest, rows), "Linux; EPYC"))

    assert play.facts_of(SiloJoined) == [SiloJoined(CLEVELAND, rows, "Linux; Xeon"), SiloJoined(HUNGARY)]
    assert play.facts_of(SiloReturned) == [SiloReturned(CLEVELAND, rows, "Linux; EPYC")]
    with pytest.raises(MessageError, match="dataset"):
        Join(play.run.plan.digest, "303 rows")


def test_a_silo_that_leaves_is_not_waited_for():
    play = Play().open(Stage.TRAIN, 1)
    play.report(CLEVELAND, HUNGARY)

    play.leave(SWITZERLAND, "maintenance")

    assert play.facts_of(SiloLeft) == [SiloLeft(SWITZERLAND, "maintenance")]
    assert play.facts_of(StageClosed)[-1].missing == (SWITZERLAND,)
    assert list(play.combines[-1].contributions) == [CLEVELAND, HUNGARY]


def test_only_a_silo_that_takes_part_can_leave_and_only_once():
    play = Play()
    play.join(CLEVELAND)
    play.refuse(HUNGARY)
    for silo in (CLEVELAND, CLEVELAND, HUNGARY, SWITZERLAND):
        play.leave(silo)

    assert [fact.silo for fact in play.facts_of(SiloLeft)] == [CLEVELAND]
    assert play.run.presence == {
        CLEVELAND: Presence.ABSENT,
        HUNGARY: Presence.REFUSED,
        SWITZERLAND: Presence.INVITED,
    }


def test_what_a_silo_reported_before_it_left_counts():
    play = Play().open(Stage.TRAIN, 1)
    play.report(SWITZERLAND)
    play.leave(SWITZERLAND)
    play.report(CLEVELAND, HUNGARY)

    assert list(play.combines[-1].contributions) == list(THREE)
    play.combine()
    assert play.run.cohort == (CLEVELAND, HUNGARY)


@pytest.mark.parametrize("word", ["await", "join", "late report"])
def test_any_word_of_an_absent_silo_brings_it_back_for_the_next_round(word):
    play = Play().open(Stage.TRAIN, 1)
    late = report_of(play.run, SWITZERLAND)
    play.leave(SWITZERLAND)
    play.report(CLEVELAND, HUNGARY)

    match word:
        case "await":
            play.here(SWITZERLAND)
        case "join":
            play.join(SWITZERLAND)
        case _:
            play.says(SWITZERLAND, late)

    assert play.facts_of(SiloReturned) == [SiloReturned(SWITZERLAND)]
    play.combine()
    assert play.run.cohort == THREE


def test_a_silo_that_returns_in_the_same_attempt_is_not_asked_again_in_it():
    play = Play().open(Stage.TRAIN, 1)
    play.leave(SWITZERLAND)
    play.here(SWITZERLAND)

    assert instruction(play.run, SWITZERLAND) is None
    assert play.run.awaited == (CLEVELAND, HUNGARY)


def test_an_absent_silo_may_say_that_it_failed():
    play = Play().open(Stage.TRAIN, 1)
    play.report(CLEVELAND, HUNGARY)
    play.after(100)

    play.says(SWITZERLAND, Failure(Stage.TRAIN, 1, 1, "the process hung"))

    assert play.run.presence[SWITZERLAND] is Presence.ACTIVE
    assert play.facts_of(SiloFailed) == []


def test_a_failure_is_recorded_once_with_its_traceback():
    play = Play().open(Stage.TRAIN, 1)
    failure = Failure(Stage.TRAIN, 1, 1, "ValueError: lr", "Traceback ...")

    play.says(HUNGARY, failure)
    play.says(HUNGARY, failure)

    assert play.facts_of(SiloFailed) == [SiloFailed(HUNGARY, Stage.TRAIN, 1, 1, "ValueError: lr", "Traceback ...")]
    assert play.run.failures == {HUNGARY: "ValueError: lr"}


def test_a_failure_takes_nothing_from_a_silo_that_has_reported():
    play = Play().open(Stage.TRAIN, 1)
    play.report(HUNGARY)

    play.fail(HUNGARY)

    assert play.run.failures == {}
    assert HUNGARY in play.run.reports


def test_a_silo_that_fails_stays_in_the_cohort_of_the_next_round():
    play = Play().open(Stage.TRAIN, 1)
    play.fail(HUNGARY)
    play.report(CLEVELAND, SWITZERLAND)
    play.combine()

    assert play.run.cohort == THREE


def test_a_refusing_silo_is_out_for_good_and_the_others_start_without_it():
    play = Play()
    play.join(CLEVELAND, HUNGARY)

    play.refuse(SWITZERLAND, "the app is not approved here")

    assert play.run.cohort == (CLEVELAND, HUNGARY)
    assert play.facts_of(SiloRefused) == [SiloRefused(SWITZERLAND, "apps", "the app is not approved here")]
    assert instruction(play.run, SWITZERLAND) == End(Outcome.STOPPED, "this silo refused the run")
    play.join(SWITZERLAND)
    play.here(SWITZERLAND)
    assert play.run.presence[SWITZERLAND] is Presence.REFUSED


def test_a_run_whose_refusals_leave_no_quorum_fails_once_every_silo_has_answered():
    play = Play(plan_of(quorum=3))
    play.refuse(CLEVELAND, "the app is not approved here")
    play.join(HUNGARY)
    assert play.run.outcome is None

    play.refuse(SWITZERLAND, "too few rows")

    assert play.run.outcome is Outcome.FAILED
    assert play.run.reason.startswith("no quorum: at most 1 of 3 silos; cleveland (refused); switzerland (refused)")
    assert play.run.problems == {
        CLEVELAND: "refused by its rule 'apps': the app is not approved here",
        SWITZERLAND: "refused by its rule 'apps': too few rows",
    }


def test_a_silo_that_does_not_answer_keeps_refusals_from_ending_a_run_for_a_moment_only():
    play = Play()
    play.refuse(CLEVELAND)
    play.after(2)
    play.refuse(HUNGARY)
    play.after(REFUSALS_S - 0.5)
    assert play.run.outcome is None

    play.after(0.5)

    assert play.run.outcome is Outcome.FAILED
    assert play.run.reason.startswith("no quorum: at most 1 of 2 silos; cleveland (refused); hungary (refused)")


def test_a_paused_run_waits_for_the_other_refusals_after_its_pause():
    play = Play()
    play.pause()
    play.refuse(CLEVELAND)
    play.refuse(HUNGARY)
    play.after(1000)
    assert play.run.outcome is None
    play.resume()
    play.after(REFUSALS_S)

    assert play.run.outcome is Outcome.FAILED


def test_silos_that_are_away_are_not_waited_for_when_there_can_be_no_quorum():
    play = Play().open(Stage.TRAIN, 1)
    play.leave(SWITZERLAND)
    play.refuse(CLEVELAND)
    play.refuse(HUNGARY)

    assert play.run.outcome is Outcome.FAILED


def test_a_silo_that_refuses_in_a_round_is_missing_from_it_and_named():
    play = Play().open(Stage.TRAIN, 1)
    play.report(CLEVELAND, HUNGARY)

    play.refuse(SWITZERLAND)

    assert play.facts_of(StageClosed)[-1].missing == (SWITZERLAND,)
    assert list(play.combines[-1].contributions) == [CLEVELAND, HUNGARY]


def test_a_refusal_does_not_change_who_makes_the_initial_model():
    play = Play()
    play.join(*THREE)
    play.report(HUNGARY)  # asked without the initial model

    play.refuse(CLEVELAND)  # it was to make the initial model
    play.report(SWITZERLAND)

    assert play.combines == []
    assert [asked for asked in play.asked().values() if isinstance(asked, Prepare)] == [
        Prepare(2, initial=False),
        Prepare(2, initial=True),
    ]


def test_when_the_only_silo_refuses_in_the_middle_the_run_fails():
    play = Play(plan_of((CLEVELAND,)))
    play.join(CLEVELAND)

    play.refuse(CLEVELAND)

    assert play.run.outcome is Outcome.FAILED


def test_a_silo_that_fails_and_then_refuses_stays_accounted_for():
    play = Play().open(Stage.TRAIN, 1)
    play.fail(HUNGARY)
    play.refuse(HUNGARY)

    assert set(play.run.failures) <= set(play.run.cohort)


def test_a_lost_quorum_gathers_again_and_goes_on_when_the_silos_are_back():
    play = Play().open(Stage.TRAIN, 1)
    play.finish_stage()
    play.leave(CLEVELAND)
    play.leave(HUNGARY)
    play.report(SWITZERLAND)
    assert play.run.phase is Phase.GATHER
    assert play.asked() == {}

    play.here(HUNGARY)
    play.here(CLEVELAND)

    assert play.asked() == dict.fromkeys(THREE, Train(2, 2, play.run.model))


def test_a_late_report_of_the_attempt_before_a_gathering_is_late_and_no_error():
    play = Play(plan_of(quorum=3)).open(Stage.TRAIN, 1)
    play.fail(CLEVELAND)
    play.report(HUNGARY, SWITZERLAND)  # attempt 2
    late = report_of(play.run, CLEVELAND)
    assert late.attempt == 2
    play.report(HUNGARY, SWITZERLAND)
    play.after(100)
    play.here(CLEVELAND)
    assert play.run.attempt == 3

    assert play.says(CLEVELAND, late) == ()


def test_all_silos_leaving_fails_the_run_when_nobody_returns_in_time():
    play = Play().open(Stage.TRAIN, 2)
    for silo in THREE:
        play.leave(silo)
    assert play.run.phase is Phase.GATHER

    play.after(60)

    assert play.run.outcome is Outcome.FAILED
    assert play.run.finished == 1
    assert play.discards[-1] == Discard(Stage.TRAIN, 2)


def test_a_quorum_that_cannot_come_back_fails_without_waiting():
    play = Play().open(Stage.TRAIN, 1)
    play.refuse(CLEVELAND)
    play.refuse(HUNGARY)
    play.report(SWITZERLAND)

    assert play.run.outcome is Outcome.FAILED
    assert play.run.reason.startswith("no quorum: at most 1 of 2 silos")


def test_a_quorum_lost_while_preparing_prepares_again():
    play = Play()
    play.join(*THREE)
    play.leave(CLEVELAND)
    play.leave(HUNGARY)
    play.report(SWITZERLAND)
    assert play.run.phase is Phase.GATHER

    play.join(CLEVELAND, HUNGARY)

    assert play.run.phase is Phase.PREPARE
    assert play.run.attempt == 2
    assert [asked.initial for asked in play.asked().values()].count(True) == 1


def test_the_last_model_is_measured_by_whoever_is_there():
    play = Play().open(Stage.EVALUATE, 2)
    play.leave(CLEVELAND)
    play.leave(HUNGARY)
    play.report(SWITZERLAND)

    assert list(play.combines[-1].contributions) == [SWITZERLAND]
    play.combine()
    assert play.run.outcome is Outcome.FINISHED


def test_when_nobody_is_left_to_measure_the_last_model_the_run_has_finished_all_the_same():
    play = Play().open(Stage.TRAIN, 2)
    play.report(*THREE)
    for silo in THREE:
        play.leave(silo)

    play.combine()

    assert play.run.outcome is Outcome.FINISHED
    assert play.run.reason == "the last model was not measured: no silo was present"
    assert play.run.finished == 2


def test_when_nobody_can_measure_the_last_model_the_run_finishes_unmeasured():
    play = Play(plan_of(attempts=1)).open(Stage.EVALUATE, 2)
    for silo in THREE:
        play.fail(silo)

    assert play.run.outcome is Outcome.FINISHED
    assert play.run.reason == "the last model was not measured"


@pytest.mark.laws
@pytest.mark.parametrize("failing", ["they fail", "they never join"])
def test_the_end_of_a_run_of_a_thousand_silos_fits_into_a_message(failing):
    silos = tuple(f"s-{number:04d}" + "x" * 57 for number in range(1000))
    play = Play(plan_of(silos, attempts=1, quorum=1000))
    if failing == "they fail":
        play.join(*silos)
        for silo in silos:
            play.do(FromSilo(silo, Failure(Stage.PREPARE, 0, 1, "\N{HOSPITAL}" * MAX_REASON_CHARS)))
    else:
        play.after(60)

    assert play.run.outcome is Outcome.FAILED
    assert "and 992 more" in play.run.reason
    assert len(encode(instruction(play.run, silos[0]))) < MAX_MESSAGE_BYTES


def test_a_wrong_join_of_an_absent_silo_does_not_bring_it_back():
    play = Play().open(Stage.TRAIN, 1)
    play.leave(CLEVELAND)

    with pytest.raises(Exception, match="but the plan is"):
        play.says(CLEVELAND, Join("blake3:" + "0" * 64))

    assert play.run.presence[CLEVELAND] is Presence.ABSENT


def test_a_report_that_was_never_asked_for_does_not_count_although_it_brings_its_silo_back():
    play = Play()
    play.join(*THREE)
    play.stop()
    play.resume()
    play.join(CLEVELAND, SWITZERLAND)
    assert (play.run.phase, play.run.attempt) == (Phase.GATHER, 1)

    play.says(HUNGARY, Report(Stage.PREPARE, 0, 2, "", blob("guess"), 5))  # the last one missing: attempt 2 opens

    assert (play.run.phase, play.run.attempt) == (Phase.PREPARE, 2)
    assert play.run.reports == {}
    assert set(play.asked()) == set(THREE)
