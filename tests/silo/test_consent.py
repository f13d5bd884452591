"""Which runs a silo takes part in."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from septum.protocol.plan import AppRef, Plan, StrategyRef
from septum.protocol.silo import Denied
from septum.silo.config import AppSettings, Policy
from septum.silo.consent import ApprovedApp, Granted, consider

APP = ApprovedApp(AppSettings(Path("app"), Path("data.csv")), "sha256:aa")
APPS = {"heart": APP}
PLAN = Plan("p", AppRef("heart", "1.0", "sha256:aa"), {}, ("north", "south"), rounds=10)


def test_a_plan_that_the_policy_allows_is_granted_with_its_app() -> None:
    assert consider(Policy(), APPS, PLAN, "north") == Granted(APP)
    policy = Policy(min_cohort=2, max_rounds=10, strategies=("fedavg",))
    assert consider(policy, APPS, PLAN, "north") == Granted(APP)


@pytest.mark.parametrize(
    ("policy", "plan", "silo", "rule", "says"),
    [
        (Policy(), PLAN, "west", "silo.name", "north, south"),
        (Policy(), replace(PLAN, app=AppRef("hart", "1", "sha256:aa")), "north", "apps", "did you mean 'heart'"),
        (Policy(min_cohort=3), PLAN, "north", "policy.min_cohort", "2 of 2 silos.*at least 3"),
        (Policy(), replace(PLAN, quorum=1), "north", "policy.min_cohort", "1 of 2 silos.*at least 2"),
        (Policy(max_rounds=9), PLAN, "north", "policy.max_rounds", "10 rounds, at most 9"),
        (Policy(strategies=("fedprox",)), PLAN, "north", "policy.strategies", "'fedavg', allowed here: fedprox"),
        (
            Policy(strategies=()),
            replace(PLAN, strategy=StrategyRef("fedadam")),
            "north",
            "policy.strategies",
            "allowed here: none",
        ),
    ],
)
def test_a_plan_that_a_rule_forbids_is_denied_by_its_name(
    policy: Policy, plan: Plan, silo: str, rule: str, says: str
) -> None:
    decision = consider(policy, APPS, plan, silo)
    assert isinstance(decision, Denied)
    assert decision.rule == rule
    assert re.search(says, decision.reason)


def test_another_digest_is_denied_naming_both() -> None:
    decision = consider(Policy(), APPS, replace(PLAN, app=AppRef("heart", "1.0", "sha256:bb")), "north")
    assert isinstance(decision, Denied)
    assert decision.rule == "apps.heart.digest"
    assert "sha256:aa" in decision.reason
    assert "sha256:bb" in decision.reason


def test_a_silo_without_apps_says_so() -> None:
    decision = consider(Policy(), {}, PLAN, "north")
    assert isinstance(decision, Denied)
    assert "it has none" in decision.reason
