"""What the feed has of a run's facts, and who may see it."""

import pytest

from septum.errors import ConfigError
from septum.protocol import facts
from septum.protocol.codec import from_json, to_json
from septum.protocol.feed import RIGHT_TO_SEE, SAYS, SEES_ALL, Change, Kind, Noun, Sight, change_of, kinds_of, submitted
from septum.protocol.messages import Outcome, Stage
from septum.protocol.plan import AppRef, Plan
from septum.protocol.run import create

PLAN = Plan("heart", AppRef("heart", "1.2.0", "sha256:" + "0" * 64), {}, ("a", "b"), rounds=2)
RUN, _ = create("r-1", PLAN, 0.0)


def test_a_run_is_submitted_started_paused_resumed_and_ended_with_who_wanted_it():
    app, project = "heart==1.2.0", "sepsis"
    assert submitted(RUN, project, "ada") == Change(Kind.RUN_SUBMITTED, "ada", "r-1", app=app, project=project)
    opened = facts.StageOpened(Stage.PREPARE, 0, 1, ("a", "b"))
    assert change_of(RUN, project, opened) == Change(Kind.RUN_STARTED, run="r-1", app=app, project=project)
    paused = change_of(RUN, project, facts.RunPaused(""), "ada")
    assert (paused.kind, paused.by, paused.reason) == (Kind.RUN_PAUSED, "ada", "")
    assert change_of(RUN, project, facts.RunResumed(), "ada").by == "ada"
    ended = change_of(RUN, project, facts.RunEnded(Outcome.FAILED, "no quorum"))
    assert (ended.kind, ended.by, ended.outcome, ended.reason) == (Kind.RUN_ENDED, "", Outcome.FAILED, "no quorum")
    refused = change_of(RUN, project, facts.SiloRefused("b", "policy.hours", "at night"))
    assert (refused.kind, refused.silo, refused.place) == (Kind.RUN_REFUSED, "b", "sepsis")
    assert "policy.hours" in refused.reason


def test_a_round_is_not_in_the_feed_whatever_happens_in_it():
    for opened in (
        facts.StageOpened(Stage.TRAIN, 1, 1, ("a",)),
        facts.StageOpened(Stage.PREPARE, 0, 2, ("a",)),
        facts.StageOpened(Stage.EVALUATE, 3, 1, ("a",)),
    ):
        assert change_of(RUN, "", opened) is None


def test_a_change_survives_the_store():
    for kind in Kind:
        change = Change(kind, "ada", silo="a", roles=("viewer",), outcome=Outcome.STOPPED, reason="by hand")
        assert from_json(Change, to_json(change)) == change


def test_every_kind_is_explained_and_every_noun_has_a_right_by_which_it_is_seen():
    assert set(SAYS) == set(Kind)
    assert set(RIGHT_TO_SEE) == set(Noun) == {kind.noun for kind in Kind}
    for sentence in SAYS.values():
        assert sentence[0].isupper()
        assert sentence.endswith(".")


def test_who_may_not_see_a_thing_does_not_see_its_changes():
    offline = Change(Kind.SILO_OFFLINE, silo="basel", organisation="st-marys")
    assert SEES_ALL.sees(offline)
    assert not Sight({}).sees(offline)
    assert not Sight({Noun.SILO: frozenset({"bern"}), Noun.ORGANISATION: None}).sees(offline)
    assert not Sight({Noun.RUN: frozenset({"sepsis"})}).sees(Change(Kind.RUN_ENDED, run="r-1"))  # of no project


def test_a_kind_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean 'run.ended'"):
        kinds_of(("run.endd",))
