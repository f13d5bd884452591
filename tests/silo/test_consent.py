"""Which runs a silo takes part in."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.silo.small_app import allowing

from septum.protocol.plan import AppRef, Masking, Plan, StrategyRef
from septum.protocol.resources import Capacity, Resources
from septum.protocol.silo import Denied
from septum.sdk.contract import Column
from septum.silo.admission import Admission
from septum.silo.consent import ApprovedApp, Granted, consider, enough_rows
from septum.silo.datasets import plain_file
from septum.silo.library import Folders
from septum.silo.log import Log
from septum.silo.policy import Policy
from septum.silo.receipts import Receipts
from septum.silo.tables import Table

COLUMNS = {"age": Column(), "chol": Column()}
DATA = plain_file(Path("data.csv"))
APP = ApprovedApp(Path("app"), "sha256:aa", "sha256:aa", COLUMNS, ("parameters", "rows"), DATA)
APPS = Folders({"heart": APP})
PLAN = Plan("p", AppRef("heart", "1.0", "sha256:aa"), {}, ("north", "south"), rounds=10)


def decided(
    policy: Policy, plan: Plan, silo: str = "north", sandbox: int = 1, capacity: Capacity | None = None
) -> Denied | None:
    """What a silo with these rules says of a plan; None when it takes part."""
    with TemporaryDirectory() as folder:
        rows = Table(Path(folder) / "rows", 100, "blake3:" + "d" * 64)
        rows.path.write_bytes(b"rows")
        receipts, log = Receipts(Path(folder)), Log(silo=silo)
        admission = Admission(silo, policy, APPS, lambda _: None, lambda *_: rows, receipts, sandbox, log)
        admission = replace(admission, capacity=capacity)
        decision = admission.admit("r1", plan, Path(folder) / "r1" / "table")
        written = list(receipts.all())
    assert len(written) == (1 if isinstance(decision, Granted) else 0)
    return None if isinstance(decision, Granted) else decision


def test_a_plan_that_the_policy_allows_is_granted() -> None:
    assert decided(allowing(), PLAN) is None
    assert decided(allowing(require_masking=True), replace(PLAN, masking=Masking())) is None
    assert decided(allowing(allow_silo_models=True), replace(PLAN, keep_silo_models=True)) is None
    assert decided(allowing(min_cohort=2, max_rounds=10, strategies=("fedavg",)), PLAN) is None


@pytest.mark.parametrize(
    ("policy", "plan", "silo", "rule", "says"),
    [
        (allowing(), PLAN, "west", "silo.name", "north, south"),
        (allowing(), replace(PLAN, app=AppRef("hart", "1", "sha256:aa")), "north", "apps", "did you mean 'heart'"),
        (allowing(min_cohort=3), PLAN, "north", "policy.min_cohort", "2 of 2 silos.*at least 3"),
        (allowing(), replace(PLAN, quorum=1), "north", "policy.min_cohort", "1 of 2 silos.*at least 2"),
        (allowing(max_rounds=9), PLAN, "north", "policy.max_rounds", "10 rounds, at most 9"),
        (allowing(strategies=("fedprox",)), PLAN, "north", "policy.strategies", "'fedavg', allowed here: fedprox"),
        (allowing(require_masking=True), PLAN, "north", "policy.require_masking", "what this silo alone sends"),
        (
            allowing(),
            replace(PLAN, keep_silo_models=True),
            "north",
            "policy.allow_silo_models",
            "keep this silo's own model of each round.*without --keep-silo-models.*septum silo policy show",
        ),
        (allowing(folders=False), PLAN, "north", "policy.folders", "'heart' is a folder here"),
        (allowing(columns=("age",)), PLAN, "north", "policy.columns", "the app reads chol, which no app may read"),
        (allowing(releases=("rows",)), PLAN, "north", "policy.releases", "with this app parameters would leave"),
        (allowing(min_sandbox=2), PLAN, "north", "policy.min_sandbox", "sandbox level 1 here, this silo asks for 2"),
        (
            allowing(strategies=()),
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
    decision = decided(policy, plan, silo)
    assert isinstance(decision, Denied)
    assert decision.rule == rule
    assert re.search(says, decision.reason)


def test_another_digest_is_denied_naming_both() -> None:
    decision = decided(allowing(), replace(PLAN, app=AppRef("heart", "1.0", "sha256:bb")))
    assert isinstance(decision, Denied)
    assert decision.rule == "apps.heart.digest"
    assert "sha256:aa" in decision.reason
    assert "sha256:bb" in decision.reason


def test_a_silo_without_apps_says_so() -> None:
    decision = Folders({}).find(PLAN.app)
    assert isinstance(decision, Denied)
    assert "it has none" in decision.reason


def test_a_package_that_nobody_signed_is_denied_where_signatures_are_asked_for() -> None:
    package, policy = replace(APP, packaged=True), allowing(folders=False, require_signature=True)
    denied = consider(policy, package, PLAN, 1)
    assert denied is not None
    assert denied.rule == "policy.require_signature"
    assert consider(policy, replace(package, signers=("ed25519:" + "a" * 64,)), PLAN, 1) is None


def test_an_app_whose_leaves_are_masked_runs_under_masks_alone_whatever_the_policy_lets_in() -> None:
    sums_only = replace(APP, masked=("parameters",))
    denied = consider(allowing(), sums_only, PLAN, 1)
    assert denied is not None
    assert denied.rule == "leaves.masked"
    assert "this silo's own parameters, which leave with this app in masked sums alone" in denied.reason
    assert consider(allowing(), sums_only, replace(PLAN, masking=Masking()), 1) is None
    assert consider(allowing(), APP, PLAN, 1) is None


def test_rules_that_are_met_exactly_let_a_run_pass() -> None:
    policy = allowing(
        min_cohort=2, max_rounds=10, columns=("chol", "age", "sex"), releases=("rows", "parameters"), min_sandbox=2
    )
    assert decided(policy, PLAN, sandbox=2) is None


def test_a_small_dataset_is_denied_without_saying_how_small_it_is() -> None:
    assert enough_rows(allowing(min_rows=50), 50) is None
    denied = enough_rows(allowing(min_rows=50), 17)
    assert denied is not None
    assert denied.rule == "policy.min_rows"
    assert "17" not in denied.reason


def test_a_run_that_takes_more_than_the_silo_gives_is_denied_whatever_the_coordinator_says() -> None:
    gives = Capacity(4, cpus=2, memory_mb=None, gpus=0)

    denied = decided(allowing(), replace(PLAN, resources=Resources(4, 10**6, 1)), capacity=gives)

    assert denied == Denied("capacity", "this silo offers cpus 2, the run needs 4, gpus 0, the run needs 1")
    assert decided(allowing(), replace(PLAN, resources=Resources(2)), capacity=gives) is None
