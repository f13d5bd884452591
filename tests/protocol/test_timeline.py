"""The timeline of a journal: whose time went where, by the coordinator's clock, whatever silos say of theirs."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.histories import effects_of, lives, play

from septum.protocol import facts
from septum.protocol.facts import Metrics
from septum.protocol.messages import Blob, Outcome, Stage
from septum.protocol.run_state import Note
from septum.protocol.timeline import STEPS, Doing, Span, seconds_by_silo, slowest, timeline
from septum.protocol.views import JournalView

MODEL = Blob("blake3:" + "0" * 64, 8)
METRICS = Metrics(10, 0.5, 0.5, None)


def journal(*happened):
    return [JournalView(seq, at, fact) for seq, (at, fact) in enumerate(happened, start=1)]


def opened(at, *cohort, stage=Stage.TRAIN, round_=1, attempt=1):
    return at, facts.StageOpened(stage, round_, attempt, cohort)


def reported(at, silo, round_=1, attempt=1, stage=Stage.TRAIN, **durations):
    return at, facts.SiloReported(silo, stage, round_, attempt, durations)


def closed(at, *reports, missing=(), stage=Stage.TRAIN, round_=1, attempt=1):
    return at, facts.StageClosed(stage, round_, attempt, reports, missing)


def only(happened, *, now=100.0, masked=False):
    (line,) = timeline(journal(*happened), now=now, masked=masked)
    (attempt,) = line.attempts
    return attempt


def silo(attempt, name):
    return next(line for line in attempt.silos if line.silo == name)


def spans(line):
    return [(span.doing.value, span.start, span.duration_s) for span in line]


ROUND = (
    opened(10.0, "a", "b"),
    reported(11.0, "b", receive=0.25, train=0.5, send=0.125),
    reported(12.0, "a", load=0.25, evaluate=0.25, train=0.5, encode=0.125, protect=0.125),
    closed(12.0, "a", "b"),
    (12.5, facts.ModelMade(1, MODEL)),
    opened(13.0, "a", "b", round_=2),
)


def test_a_round_is_asked_done_sent_waited_for_and_aggregated():
    (first, second) = timeline(journal(*ROUND), now=14.0, masked=False)
    (attempt,) = first.attempts
    assert (attempt.start, attempt.duration_s, attempt.under_way, attempt.waits_for) == (10.0, 3.0, False, ())
    assert spans(silo(attempt, "b").spans) == [
        ("other", 10.0, 0.125),
        ("receive", 10.125, 0.25),
        ("train", 10.375, 0.5),
        ("send", 10.875, 0.125),
        ("wait", 11.0, 1.0),
    ]
    assert spans(silo(attempt, "a").spans) == [
        ("other", 10.0, 0.75),
        ("receive", 10.75, 0.25),
        ("evaluate", 11.0, 0.25),
        ("train", 11.25, 0.5),
        ("protect", 11.75, 0.25),
    ]
    assert spans(attempt.coordinator) == [("wait", 10.0, 2.0), ("aggregate", 12.0, 0.5)]
    assert (silo(attempt, "a").own_s, silo(attempt, "b").own_s) == (2.0, 1.0)
    assert (silo(attempt, "a").slow, silo(attempt, "b").slow) == (True, False)
    assert second.attempts[0].waits_for == ("a", "b")


def test_of_a_round_under_way_it_is_said_who_is_waited_for_and_for_how_long():
    attempt = only(ROUND[:2], now=11.25)
    assert (attempt.under_way, attempt.waits_for, attempt.duration_s) == (True, ("a",), 1.25)
    assert silo(attempt, "a").spans == (Span(Doing.TRAIN, 10.0, 1.25, under_way=True),)
    assert spans(silo(attempt, "b").spans)[-1] == ("wait", 11.0, 0.25)
    assert attempt.coordinator == (Span(Doing.WAIT, 10.0, 1.25, under_way=True),)
    combining = only(ROUND[:4], now=13.0)
    assert combining.waits_for == ()
    assert combining.coordinator[-1] == Span(Doing.AGGREGATE, 12.0, 1.0, under_way=True)


def test_of_a_masked_round_the_time_that_it_takes_to_unmask_is_the_coordinators():
    attempt = only(
        (*ROUND[:3], closed(12.25, "a", "b"), ROUND[4], (13.0, facts.RunEnded(Outcome.FINISHED, ""))), masked=True
    )
    assert spans(attempt.coordinator) == [("wait", 10.0, 2.0), ("unmask", 12.0, 0.25), ("aggregate", 12.25, 0.25)]
    assert spans(silo(attempt, "a").spans)[-1] == ("wait", 12.0, 0.25)


def test_silos_that_fail_leave_refuse_or_say_nothing_have_a_problem_and_the_attempt_too():
    happened = (
        opened(10.0, "a", "b", "c", "d"),
        (10.5, facts.SiloFailed("a", Stage.TRAIN, 1, 1, "out of memory", "a traceback")),
        (11.0, facts.SiloLeft("b", "no report within 1 s")),
        (11.0, facts.SiloRefused("c", "policy.hours", "at night")),
        (11.5, facts.AttemptFailed(Stage.TRAIN, 1, 1, (), ("a", "b", "c", "d"))),
        opened(11.5, "a", "b", "d", attempt=2),
    )
    (line,) = timeline(journal(*happened), now=12.0, masked=False)
    first, second = line.attempts
    assert first.problem == "too few reports; missing: a, b, c, d"
    assert silo(first, "a").spans == (Span(Doing.TRAIN, 10.0, 0.5, problem="out of memory"),)
    assert (silo(first, "b").problem, silo(first, "b").own_s) == ("no report within 1 s", None)
    assert silo(first, "c").problem == "refused by its rule 'policy.hours': at night"
    assert silo(first, "d").problem == "made no report"
    assert spans(first.coordinator) == [("wait", 10.0, 1.5)]
    assert (second.attempt, second.waits_for) == (2, ("a", "b", "d"))


def test_a_silo_that_failed_and_then_reported_is_no_problem():
    attempt = only((opened(10.0, "a"), (10.5, facts.SiloLeft("a", "restart")), reported(12.0, "a"), closed(12.0, "a")))
    assert silo(attempt, "a").problem == ""
    assert silo(attempt, "a").spans == (Span(Doing.TRAIN, 10.0, 2.0),)


def test_what_could_not_be_combined_or_was_lost_is_the_attempts_problem():
    refused = only((*ROUND[:4], (12.5, facts.CombineRefused(Stage.TRAIN, 1, 1, "a sum overflows"))))
    assert (refused.problem, refused.coordinator[-1].problem) == ("a sum overflows", "a sum overflows")
    lost = only((*ROUND[:4], (12.5, facts.PayloadsLost(Stage.TRAIN, 1, 1, ("a",)))), now=13.0)
    assert (lost.waits_for, silo(lost, "a").spans[0].under_way) == (("a",), True)


def test_a_pause_is_the_coordinators():
    attempt = only(
        (opened(10.0, "a"), (11.0, facts.RunPaused("")), (13.0, facts.RunResumed()), (14.0, facts.RunPaused("full"))),
        now=15.0,
    )
    assert [(span.doing, span.start, span.duration_s, span.under_way) for span in attempt.coordinator] == [
        (Doing.WAIT, 10.0, 5.0, True),
        (Doing.PAUSE, 11.0, 2.0, False),
        (Doing.PAUSE, 14.0, 1.0, True),
    ]


def test_the_last_model_is_evaluated_and_statistics_are_made():
    happened = (
        opened(1.0, "a", stage=Stage.PREPARE, round_=0),
        reported(2.0, "a", 0, stage=Stage.PREPARE, prepare=0.5),
        closed(2.0, "a", stage=Stage.PREPARE, round_=0),
        (2.5, facts.ModelMade(0, MODEL)),
        opened(3.0, "a", stage=Stage.EVALUATE, round_=0, attempt=1),
        reported(4.0, "a", 0, stage=Stage.EVALUATE, evaluate=0.75),
        closed(4.0, "a", stage=Stage.EVALUATE, round_=0),
        (4.25, facts.ModelMeasured(0, METRICS, {})),
        (4.25, facts.RunEnded(Outcome.FINISHED, "")),
    )
    (line,) = timeline(journal(*happened), now=100.0, masked=False)
    made, measured = line.attempts
    assert spans(made.coordinator) == [("wait", 1.0, 1.0), ("aggregate", 2.0, 0.5)]
    assert spans(measured.coordinator) == [("wait", 3.0, 1.0), ("evaluate", 4.0, 0.25)]
    assert (measured.under_way, measured.problem) == (False, "")
    asked = only((*happened[:3], (2.25, facts.StatisticsMade(None, None)), (2.5, facts.RunEnded(Outcome.FINISHED, ""))))
    assert spans(asked.coordinator)[-1] == ("aggregate", 2.0, 0.25)


def test_a_run_that_ends_in_the_middle_says_why():
    attempt = only((opened(10.0, "a"), (12.0, facts.RunEnded(Outcome.STOPPED, "stopped by an operator"))))
    assert (attempt.duration_s, attempt.under_way, attempt.problem) == (2.0, False, "stopped by an operator")


@pytest.mark.parametrize(
    "said", [{"train": 1e9}, {"train": 2.0, "send": 5.0, "receive": 1.5}, {"train": -4.0}, {"x": 7.0}]
)
def test_what_a_silo_says_never_exceeds_the_time_that_it_had(said):
    attempt = only((opened(10.0, "a"), reported(12.0, "a", **said), closed(12.0, "a")))
    line = silo(attempt, "a").spans
    assert line[0].start == 10.0
    assert math.isclose(sum(span.duration_s for span in line), 2.0)
    assert all(span.duration_s > 0 for span in line)


def test_a_clock_that_was_set_back_makes_no_time_negative():
    attempt = only(
        (opened(10.0, "a"), reported(8.0, "a", train=1.0), closed(8.0, "a"), (7.0, facts.ModelMade(1, MODEL))), now=6.0
    )
    for span in (*attempt.coordinator, *silo(attempt, "a").spans):
        assert span.duration_s >= 0


def test_who_is_slow_is_so_by_the_others_and_not_by_jitter():
    def slow(*took):
        names = "abcd"[: len(took)]
        happened = (
            opened(0.0, *names),
            *(reported(at, name) for name, at in sorted(zip(names, took, strict=True), key=lambda x: x[1])),
        )
        attempt = only((*happened, closed(max(took), *names)))
        return {line.silo for line in attempt.silos if line.slow}

    assert slow(1.0, 1.1, 1.2, 4.0) == {"d"}
    assert slow(0.001, 0.002, 0.001, 0.009) == set()
    assert slow(1.0) == set()
    assert slow(2.0, 1.0) == {"a"}


def test_the_totals_are_by_silo_and_the_slowest_is_whom_the_others_waited_for():
    rounds = timeline(journal(*ROUND), now=13.0, masked=False)
    assert seconds_by_silo(rounds)["b"][Doing.WAIT] == 1.0
    assert seconds_by_silo(rounds)["a"][Doing.PROTECT] == 0.25
    assert slowest(rounds) == "a"
    assert slowest(()) == ""


@pytest.mark.laws
@settings(deadline=None, max_examples=100)
@given(lives(), st.data())
def test_every_history_has_a_timeline_in_which_nobody_does_two_things_at_once(world, data):
    notes = [effect.fact for effect in effects_of(play(world.run.plan, world.history)) if isinstance(effect, Note)]
    at, entries = 0.0, []
    for seq, fact in enumerate(notes, start=1):
        at += data.draw(st.floats(0.0, 10.0))
        entries.append(JournalView(seq, at, fact))
    upto = data.draw(st.integers(0, len(entries)))
    rounds = timeline(entries[:upto], now=at + 1.0, masked=world.run.plan.masking is not None)
    asked = [fact for fact in (entry.fact for entry in entries[:upto]) if isinstance(fact, facts.StageOpened)]
    attempts = [attempt for line in rounds for attempt in line.attempts]
    assert sorted((one.stage.value, one.round, one.attempt) for one in attempts) == sorted(
        (one.stage.value, one.round, one.attempt) for one in asked
    )
    for attempt in attempts:
        assert {line.silo for line in attempt.silos} >= set(attempt.waits_for)
        for line in attempt.silos:
            for span, following in pairwise(line.spans):
                assert following.start >= span.start + span.duration_s - 1e-6
            for span in line.spans:
                assert span.start >= attempt.start - 1e-6
                assert span.start + span.duration_s <= attempt.start + attempt.duration_s + 1e-6


def test_every_duration_that_a_silo_may_report_has_a_place():
    assert set(STEPS) == {"load", "prepare", "evaluate", "train", "encode", "receive", "protect", "send"}
