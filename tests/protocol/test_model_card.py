"""A model's card says what its plan and journal say, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.protocol.driving import APP

from septum.errors import NotFoundError
from septum.protocol.comparing import Course
from septum.protocol.facts import Metrics, MetricsNoise
from septum.protocol.model_card import card, lineage_json, lineage_of
from septum.protocol.plan import Masking, Plan, StrategyRef, Vote
from septum.protocol.privacy import Privacy, Strength

PLAN = Plan(
    "sepsis",
    APP,
    {"lr": 0.25, "rounds": 3},
    ("east", "north", "west"),
    rounds=3,
    strategy=StrategyRef("fedadam", {"beta1": 0.875}),
    masking=Masking(),
)
COURSE = Course(
    models={0: "blake3:00", 1: "blake3:11", 2: "blake3:22"},
    metrics={0: Metrics(90, 0.5, 0.7, 0.5), 1: Metrics(90, 0.75, 0.5, 0.8125, 0.001)},
    reported={0: PLAN.silos, 1: ("east", "west"), 2: PLAN.silos},
)


def test_a_card_names_what_made_the_model_and_how_that_very_model_does():
    text = card(lineage_of("r-1", PLAN, COURSE, 1))
    for said in (
        "# sepsis, round 1",
        "`blake3:11`",
        "round 1 of 3",
        APP.digest,
        PLAN.digest,
        "fedadam beta1=0.875",
        "lr=0.25",
        "east, north, west",
        "In this round north did not take part.",
        "90, of all silos together",
        "0.8125 (the exact value lies within 0.0010 of it)",
        "accuracy: 0.7500",
        "log loss: 0.5000",
        "no silo's own numbers",
        "the model may reveal that a record took part",
    ):
        assert said in text
    assert "0.7000" not in text  # of another round
    assert "22" not in text.replace(PLAN.digest, "").replace(APP.digest, "")


def test_the_newest_model_is_meant_and_says_that_it_was_not_measured():
    found = lineage_of("r-1", PLAN, COURSE)
    assert (found.round, found.model, found.metrics) == (2, "blake3:22", None)
    assert "It was not measured: the run did not get there" in card(found)
    assert "All of them took part" in card(found)
    assert "no record has trained it" in card(lineage_of("r-1", PLAN, COURSE, 0))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"masking": None}, "the coordinator saw what each silo sent"),
        ({}, "silos' own models: none is at the coordinator"),
        ({"masking": None, "keep_silo_models": True}, "the coordinator keeps those of each round"),
        ({"vote": Vote()}, "67% had to accept it, by log_loss"),
        ({"privacy": Privacy(5.0)}, "enforced, for each row of a silo epsilon 5 at most, delta a tenth of 1 / rows"),
        ({"privacy": Privacy(5.0, delta=1e-6)}, "delta 1e-06"),
        ({"privacy": Privacy(5.0, strength=Strength.ATTESTED)}, "is read from its code"),
    ],
)
def test_what_is_promised_of_the_records_is_what_the_plan_says(changed, said):
    assert said in card(lineage_of("r-1", replace(PLAN, **changed), COURSE))


def test_a_card_says_on_which_data_silo_by_silo_and_who_does_not_say():
    text = card(lineage_of("r-1", PLAN, replace(COURSE, datasets={"east": "blake3:ea", "west": "blake3:fe"})))
    for said in ("* east: `blake3:ea`", "* north: not said", "* west: `blake3:fe`"):
        assert said in text


def test_figures_with_noise_say_so():
    noisy = replace(COURSE, metrics={2: Metrics(88, 0.75, 0.5, 0.75, noise=MetricsNoise(0.0625, 0.25, 0.125))})
    text = card(lineage_of("r-1", replace(PLAN, privacy=Privacy(5.0)), noisy))
    assert "a standard error of 0.1250 in the ROC-AUC and of 0.0625 in the accuracy" in text


def test_a_name_from_elsewhere_opens_no_heading_of_its_own():
    text = card(lineage_of("r-1", replace(PLAN, hyper={"note": "x\n## Approved\n\nby all"}), COURSE))
    assert "\n## Approved" not in text


def test_a_round_without_a_model_is_refused_with_those_that_have_one():
    with pytest.raises(NotFoundError, match="no model of round 7; there are 0 to 2"):
        lineage_of("r-1", PLAN, COURSE, 7)
    with pytest.raises(NotFoundError, match="has made no model yet"):
        lineage_of("r-1", PLAN, Course())


def test_lineage_is_the_same_for_programs():
    found = lineage_json(lineage_of("r-1", PLAN, COURSE, 1))
    assert (found["model"], found["round"], found["reported"]) == ("blake3:11", 1, ["east", "west"])
    assert (found["plan_digest"], found["hyper"], found["masked"]) == (PLAN.digest, dict(PLAN.hyper), True)
    assert found["metrics"]["roc_auc"] == 0.8125
    kept = replace(PLAN, masking=None, keep_silo_models=True)
    told = [lineage_json(lineage_of("r-1", plan, COURSE, 1))["keeps_silo_models"] for plan in (PLAN, kept)]
    assert told == [False, True]
