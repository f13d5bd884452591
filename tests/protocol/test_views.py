"""Views: what people see follows from the state, and travels through the codec unchanged."""

from __future__ import annotations

import pytest
from tests.protocol.driving import CLEVELAND, HUNGARY, SWITZERLAND, Play, blob, plan_of

from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.facts import Metrics, ModelMade, ModelMeasured, RunEnded, SiloJoined
from septum.protocol.messages import Outcome, Stage
from septum.protocol.run_state import Pause, Presence
from septum.protocol.views import (
    JournalView,
    RunStatus,
    RunView,
    SiloStatus,
    models_of,
    newest_model,
    run_status,
    run_view,
    silo_status,
)

METRICS = Metrics(10, 0.8, 0.5, None)


def test_a_training_run_shows_who_is_awaited_and_where_it_stands():
    play = Play()
    play.open(Stage.TRAIN, 1)
    play.report(HUNGARY)
    view = run_view(play.run, created_at=5.0)
    assert (view.status, view.round, view.finished_rounds, view.rounds, view.attempt) == (
        RunStatus.TRAINING,
        1,
        0,
        2,
        1,
    )
    assert {silo.name: silo.awaited for silo in view.silos} == {CLEVELAND: True, HUNGARY: False, SWITZERLAND: True}
    assert {silo.presence for silo in view.silos} == {Presence.ACTIVE}
    assert (view.model, view.plan_digest) == (play.run.model.digest, play.run.plan.digest)
    assert from_json(RunView, loads(dumps(to_json(view)))) == view


def test_why_a_silo_is_missing_is_shown_until_it_reports_again():
    play = Play(plan_of(quorum=1))
    play.open(Stage.TRAIN, 1)
    play.fail(HUNGARY, "no column 'chol'")
    play.leave(SWITZERLAND, "maintenance")
    play.report(CLEVELAND)
    play.combine()
    assert problems_of(play) == {HUNGARY: "round 1: no column 'chol'", SWITZERLAND: "maintenance"}
    play.here(SWITZERLAND)
    play.report(HUNGARY)
    play.after(1000.0)
    assert problems_of(play) == {SWITZERLAND: "maintenance", CLEVELAND: "round 2: no report within 100 s"}
    play.combine()
    assert CLEVELAND in problems_of(play)


def problems_of(play):
    return {silo.name: silo.problem for silo in run_view(play.run, created_at=5.0).silos if silo.problem}


def test_the_status_follows_the_run_through_its_life():
    play = Play()
    seen = [run_status(play.run)]
    for stage, round_ in ((Stage.PREPARE, 0), (Stage.TRAIN, 1), (Stage.EVALUATE, 2)):
        play = Play()
        play.open(stage, round_)
        seen.append(run_status(play.run))
    play.finish_stage()
    seen.append(run_status(play.run))
    assert [status.value for status in seen] == ["gathering", "preparing", "training", "evaluating", "finished"]
    paused = Play()
    paused.do(Pause())
    assert run_status(paused.run) is RunStatus.PAUSED
    assert [status for status in RunStatus if status.ended] == [RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.FAILED]


def test_the_newest_model_has_metrics_only_once_it_is_the_one_that_was_measured():
    play = Play()
    assert newest_model(play.run) is None
    play.open(Stage.TRAIN, 2)
    model = newest_model(play.run)
    assert (model.round, model.metrics, play.run.measured is not None) == (1, None, True)
    play.finish_stage()
    play.finish_stage(accuracy=0.9)
    assert newest_model(play.run).metrics.accuracy == 0.9


def test_models_carry_the_metrics_that_were_measured_a_stage_later():
    facts = [ModelMade(0, blob("a")), ModelMade(1, blob("b")), ModelMeasured(0, METRICS, {}), SiloJoined("x")]
    assert [(m.round, m.digest, m.metrics) for m in models_of("r", facts)] == [
        (0, blob("a").digest, METRICS),
        (1, blob("b").digest, None),
    ]


def test_a_journal_entry_names_the_kind_of_its_fact_and_comes_back_as_it_was():
    entry = JournalView(7, 1.5, RunEnded(Outcome.FAILED, "no quorum"))
    body = to_json(entry)
    assert body["fact"]["kind"] == "run_ended"
    assert from_json(JournalView, body) == entry


@pytest.mark.parametrize(
    ("enrolled_at", "seen_at", "revoked", "status"),
    [
        (0.0, 0.0, False, SiloStatus.INVITED),
        (5.0, 0.0, False, SiloStatus.OFFLINE),
        (5.0, 940.0, False, SiloStatus.ONLINE),
        (5.0, 939.0, False, SiloStatus.OFFLINE),
        (5.0, 1000.0, True, SiloStatus.REVOKED),
    ],
)
def test_a_silo_is_online_for_a_minute_after_its_last_request(enrolled_at, seen_at, revoked, status):
    assert silo_status(enrolled_at=enrolled_at, seen_at=seen_at, revoked=revoked, now=1000.0) is status
