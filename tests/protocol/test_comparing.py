"""Comparing runs: what differs is found, what is equal is not, and a repetition that parts says where and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from tests.protocol.driving import APP, Play, blob
from tests.protocol.values import plans, private_plans

from septum.protocol.comparing import Course, Parting, Why, best_round, course_of, differences, parting
from septum.protocol.facts import (
    Metrics,
    ModelMade,
    ModelMeasured,
    SiloJoined,
    SiloRefused,
    SiloReturned,
    StageClosed,
    Votes,
)
from septum.protocol.messages import Stage
from septum.protocol.plan import Metric, Plan, Private, Start
from septum.protocol.privacy import Privacy
from septum.protocol.run_state import Note

PLAN = Plan("heart", APP, {"lr": 0.1, "rounds": 3}, ("east", "west"), rounds=3)
BOTH = {0: ("east", "west"), 1: ("east", "west"), 2: ("east", "west")}


def measured(roc_auc, log_loss=0.5):
    return Metrics(100, 0.8, log_loss, roc_auc)


ROWS, OTHERS = {"east": "one", "west": "two"}, {"east": "one", "west": "three"}


def course(*models, reported=None, **said):
    reported = {k: BOTH[k] for k in range(len(models))} if reported is None else reported
    return Course(models=dict(enumerate(models)), reported=reported, **said)


def test_the_settings_that_differ_are_named_with_the_value_in_each_plan():
    other = replace(PLAN, hyper={"lr": 0.2, "rounds": 3, "decay": 0.5}, silos=("east", "north", "west"), quorum=3)
    assert differences([PLAN, other]) == {
        "hyper.decay": (None, 0.5),
        "hyper.lr": (0.1, 0.2),
        "quorum": (2, 3),
        "silos": (["east", "west"], ["east", "north", "west"]),
    }


@given(plans | private_plans, plans | private_plans)
def test_plans_differ_in_some_setting_just_when_their_digests_do(one, other):
    assert bool(differences([one, other])) == (one.digest != other.digest)
    assert not differences([one, one, one])
    assert set(differences([one, other])) <= set(differences([one, other], equal=True))


def test_the_course_of_a_run_is_what_its_journal_says():
    play = Play()
    play.open(Stage.TRAIN, 2)
    play.finish_stage()
    facts = [effect.fact for effect in play.effects if isinstance(effect, Note)]
    found = course_of(facts)
    assert sorted(found.models) == sorted(found.reported) == [0, 1, 2]
    assert found.models[2] == play.run.model.digest
    assert found.reported[2] == play.run.plan.silos


def test_what_silos_said_when_they_joined_last_counts_and_a_refusal_that_was_taken_back_does_not():
    facts = [
        SiloJoined("east", "old", "Linux"),
        SiloRefused("west", "apps", "not approved"),
        SiloReturned("east", "new"),
        SiloJoined("west"),
        SiloRefused("north", "hours", "at night alone"),
    ]
    found = course_of(facts)
    assert (found.datasets, found.machines, found.refused) == ({"east": "new"}, {"east": "Linux"}, {"north": "hours"})


def test_a_model_that_was_voted_down_or_made_again_counts_as_it_was_in_the_end():
    facts = [
        StageClosed(Stage.TRAIN, 1, 1, ("east", "west"), ()),
        ModelMade(1, blob("bad")),
        ModelMeasured(1, measured(0.5), {}, Votes(0, 2, "voted down")),
        ModelMade(1, blob("lost")),
        StageClosed(Stage.TRAIN, 1, 2, ("east",), ("west",)),
        ModelMade(1, blob("kept")),
        ModelMeasured(1, measured(0.9), {}),
    ]
    assert course_of(facts) == Course({1: blob("kept").digest}, {1: measured(0.9)}, {1: ("east",)})


def test_a_repetition_with_the_same_last_model_does_not_part_even_where_other_silos_reported():
    assert parting(PLAN, course("a", "b"), course("a", "b", reported={1: ("east",)})) is None


@pytest.mark.parametrize(
    ("plan", "one", "other", "found"),
    [
        (PLAN, course("a", "b"), course("a"), Parting(1, Why.UNENDED)),
        (PLAN, course("a", "b"), course("x", "y"), Parting(0, Why.START)),
        (PLAN, course("a", "b"), course("a", "y"), Parting(1, Why.TRAINING)),
        (
            PLAN,
            course("a", "b", "c"),
            course("a", "y", "z", reported={**BOTH, 1: ("east",)}),
            Parting(1, Why.SILOS, ("west",)),
        ),
        (PLAN, course("a", "b"), course("a", "y", reported={**BOTH, 2: ()}), Parting(1, Why.TRAINING)),
        (replace(PLAN, privacy=Privacy(5.0)), course("a", "b"), course("a", "y"), Parting(1, Why.NOISE)),
        (replace(PLAN, privacy=Privacy(5.0)), course("a", "b"), course("x", "y"), Parting(0, Why.START)),
        (
            replace(PLAN, private=Private(("head.*",), Start.CONTINUE)),
            course("a", "b"),
            course("a", "y"),
            Parting(1, Why.KEPT),
        ),
        (PLAN, course(), course(), Parting(0, Why.UNENDED)),
        (PLAN, course("a", "b"), course(refused={"east": "apps.heart.digest"}), Parting(0, Why.APP, ("east",))),
        (PLAN, course("a", "b"), course(refused={"east": "policy.min_rows"}), Parting(0, Why.MISSING, ("east",))),
        (PLAN, course("a", "b"), course("a", reported={0: ("west",)}), Parting(1, Why.MISSING, ("east",))),
        (PLAN, course("a", "b", datasets=ROWS), course("a", "y", datasets=OTHERS), Parting(1, Why.DATA, ("west",))),
        (PLAN, course("a", "b", datasets=ROWS), course("x", "y", datasets=OTHERS), Parting(0, Why.DATA, ("west",))),
        (PLAN, course("a", "b", datasets=ROWS), course("a", "y"), Parting(1, Why.TRAINING)),
        (PLAN, course("a", "b", machines=ROWS), course("a", "y", machines=OTHERS), Parting(1, Why.MACHINE, ("west",))),
        (
            PLAN,
            course("a", "b", machines=ROWS, datasets=ROWS),
            course("a", "y", machines=OTHERS, datasets=ROWS),
            Parting(1, Why.MACHINE, ("west",)),
        ),
    ],
)
def test_a_repetition_that_parts_says_from_which_round_on_and_why(plan, one, other, found):
    assert parting(plan, one, other) == found


def test_the_best_round_is_of_the_model_that_was_measured_and_the_earliest_of_equals():
    metrics = {1: measured(0.7, 0.6), 2: measured(0.9, 0.4), 3: measured(0.9, 0.3), 4: measured(None, 0.9)}
    assert best_round(metrics, Metric.ROC_AUC) == 2
    assert best_round(metrics, Metric.LOG_LOSS) == 3
    assert best_round({4: metrics[4]}, Metric.ROC_AUC) is None
    assert best_round({}, Metric.LOG_LOSS) is None
