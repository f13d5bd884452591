"""What a plan may ask of differential privacy, and what it may not ask beside it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from septum.errors import ConfigError
from septum.protocol.codec import from_json, to_json
from septum.protocol.plan import AppRef, EarlyStopping, Plan, StrategyRef
from septum.protocol.privacy import Privacy

PLAN = Plan("p", AppRef("a", "1", "sha256:" + "0" * 64), {}, ("east", "north", "south"), rounds=3)
PRIVATE = replace(PLAN, privacy=Privacy(5.0))


def test_a_plan_without_keeps_the_bytes_that_it_had():
    assert "privacy" not in to_json(PLAN)
    assert PRIVATE.digest != PLAN.digest
    assert from_json(Plan, to_json(PRIVATE)) == PRIVATE


def test_early_stopping_looks_at_rows_and_is_refused():
    with pytest.raises(ConfigError, match="early stopping looks at the test rows"):
        replace(PRIVATE, early_stopping=EarlyStopping())


@pytest.mark.parametrize("strategy", [StrategyRef("fedprox", {"mu": 0.1}), StrategyRef("own", {"proximal_mu": 0.1})])
def test_a_strategy_that_changes_the_training_is_refused(strategy):
    with pytest.raises(ConfigError, match="changes the training in the silos"):
        replace(PRIVATE, strategy=strategy)


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_epsilon": 0.0},
        {"target_epsilon": math.nan},
        {"target_epsilon": math.inf},
        {"delta": 0.0},
        {"delta": 0.5},
        {"clip": 0.0},
        {"batch": 0},
        {"steps": 0},
        {"learning_rate": math.nan},
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Privacy(**{"target_epsilon": 5.0, **wrong})
