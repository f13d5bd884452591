"""Can a plan that makes no sense exist, and is its digest the same for everyone?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.protocol.driving import APP, THREE, plan_of

from septum.errors import ConfigError
from septum.protocol.codec import from_json, to_json
from septum.protocol.plan import (
    MAX_PLAN_BYTES,
    MAX_SILOS,
    AppRef,
    EarlyStopping,
    Masking,
    Metric,
    Plan,
    Private,
    Start,
    StrategyRef,
    Vote,
    check_silo_name,
)


def test_without_a_quorum_every_silo_is_needed():
    assert Plan("heart", APP, {}, THREE, rounds=1).quorum == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"silos": ()}, "a run needs 1 to 1000 silos, not 0"),
        ({"silos": tuple(f"s-{n:04d}" for n in range(MAX_SILOS + 1))}, "a run needs 1 to 1000 silos, not 1001"),
        ({"silos": ("hungary", "cleveland")}, "the silos of a plan are sorted and each named once"),
        ({"silos": ("hungary", "hungary")}, "the silos of a plan are sorted and each named once"),
        ({"silos": ("../hungary",)}, "'../hungary' is no name for a silo"),
        ({"quorum": 4}, "plan: quorum must be between 1 and 3, not 4"),
        ({"quorum": -1}, "plan: quorum must be between 1 and 3, not -1"),
        ({"rounds": 0}, "plan: rounds must be between 1 and 100000, not 0"),
        ({"rounds": 100_001}, "plan: rounds must be between"),
        ({"seed": -1}, "plan: seed must be between"),
        ({"seed": 2**63}, "plan: seed must be between"),
        ({"attempts": 0}, "plan: attempts must be between 1 and 100, not 0"),
        ({"gather_s": 0.0}, "plan: gather_s must be between"),
        ({"deadline_s": math.nan}, "plan: deadline_s must be between"),
        ({"deadline_s": math.inf}, "plan: deadline_s must be between"),
        ({"clip_norm": 0.0}, "plan: clip_norm must be between"),
        ({"hyper": {"lr": math.nan}}, "plan: a number in this message is not finite"),
        ({"strategy": StrategyRef("fedavgm", {"momentum": math.inf})}, "plan: a number in this message is not finite"),
        ({"hyper": {"text": "x" * MAX_PLAN_BYTES}}, "bytes as JSON, at most 196608"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_plan_that_makes_no_sense_cannot_exist(changes, problem):
    with pytest.raises(ConfigError) as caught:
        replace(plan_of(), **changes)

    assert problem in caught.value.message


@pytest.mark.parametrize("rule", [{"patience": 0}, {"min_delta": -0.1}, {"min_delta": math.nan}], ids=str)
def test_early_stopping_that_makes_no_sense_cannot_exist(rule):
    with pytest.raises(ConfigError, match="early stopping"):
        EarlyStopping(**rule)


@pytest.mark.parametrize("name", ["a", "st-marys", "0", "x" * 63])
def test_a_dns_label_is_a_silos_name(name):
    assert check_silo_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "St-Marys", "a.b", "a/b", "a b", "a\n", "x" * 64, "zürich", ".."])
def test_anything_else_is_no_name_for_a_silo(name):
    with pytest.raises(ConfigError, match="is no name for a silo"):
        check_silo_name(name)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"app": AppRef("heart-disease", "1.0.0", "sha256:" + "b" * 64)},
        {"hyper": {"lr": 0.2}},
        {"silos": ("cleveland", "hungary")},
        {"rounds": 3},
        {"seed": 1},
        {"quorum": 1},
        {"strategy": StrategyRef("fedprox", {"mu": 0.1})},
        {"gather_s": 61.0},
        {"deadline_s": 101.0},
        {"attempts": 2},
        {"early_stopping": EarlyStopping(Metric.LOG_LOSS)},
        {"clip_norm": 1.0},
        {"keep_silo_models": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_setting_is_in_the_digest(changes):
    assert replace(plan_of(), **changes).digest != plan_of().digest


def test_the_order_in_which_settings_were_given_is_not_in_the_digest():
    one = replace(plan_of(), hyper={"lr": 0.1, "epochs": 2})
    other = replace(plan_of(), hyper={"epochs": 2, "lr": 0.1})

    assert one.digest == other.digest


def test_only_a_smaller_log_loss_is_better():
    assert [metric for metric in Metric if not metric.larger_is_better] == [Metric.LOG_LOSS]


@pytest.mark.parametrize(
    ("private", "problem"),
    [
        ({}, "there are no private parameters, and nothing is personalised"),
        ({"parameters": ("b", "a")}, "plan: private: b, a are not sorted"),
        ({"parameters": ("a", "a")}, "a pattern is there twice"),
        ({"parameters": ("a b",)}, "'a b' is no pattern of tensor names"),
        ({"parameters": ("a",), "personalise": -1}, "personalise must be between 0 and 10000, not -1"),
        ({"personalise": 10_001}, "personalise must be between 0 and 10000, not 10001"),
        ({"start": Start.CONTINUE, "personalise": 1}, "no parameter is private, so there is none to continue from"),
    ],
    ids=str,
)
def test_what_is_private_makes_sense(private, problem):
    with pytest.raises(ConfigError) as caught:
        Private(**private)

    assert problem in caught.value.message


def test_a_plan_that_keeps_no_silos_own_models_has_the_digest_that_it_had_before_there_was_such_a_thing():
    assert "keep_silo_models" not in to_json(plan_of())
    assert from_json(Plan, to_json(replace(plan_of(), keep_silo_models=True))).keep_silo_models


def test_in_a_masked_run_there_are_no_silos_own_models_to_be_kept():
    with pytest.raises(ConfigError, match="no silo's own model leaves it") as caught:
        replace(plan_of(), masking=Masking(), keep_silo_models=True)
    assert "leave out --keep-silo-models" in caught.value.hint


def test_a_plan_without_anything_private_has_the_digest_that_it_had_before_there_was_such_a_thing():
    plan = plan_of()
    assert "private" not in to_json(plan)
    assert replace(plan, private=Private(("head.*",))).digest != plan.digest


def test_a_plan_for_any_coordinator_has_the_digest_that_it_had_before_there_were_labels():
    plan = plan_of()
    assert "aggregator" not in to_json(plan)
    assert replace(plan, aggregator="eu").digest != plan.digest
    with pytest.raises(ConfigError, match="'EU 1' is no label"):
        replace(plan, aggregator="EU 1")


def test_a_vote_on_the_last_model_is_not_taken_by_what_silos_made_of_it():
    own = {"masking": Masking(), "quorum": 3, "vote": Vote()}
    replace(plan_of(), private=Private(("head.*",)), **own)
    with pytest.raises(ConfigError, match="no longer the model's own"):
        replace(plan_of(), private=Private(("head.*",), personalise=1), **own)
