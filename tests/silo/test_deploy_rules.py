"""The gate: by which numbers a model passes, and that what is told has none."""

from __future__ import annotations

import pytest

from septum.errors import ConfigError
from septum.protocol.facts import Metrics
from septum.protocol.plan import Metric
from septum.silo.deploy_rules import (
    Accept,
    DeployRules,
    deploy_json,
    explained,
    judge,
    read_deploy,
    told_metrics,
)
from septum.silo.section import Section

NEW = Metrics(30, 0.7, 0.5, 0.75)
ONE_CLASS = Metrics(30, 0.7, 0.5, None)


def test_without_a_bound_what_can_be_measured_passes():
    assert judge(DeployRules(), NEW, None).passed
    assert judge(DeployRules(), ONE_CLASS, NEW).passed


@pytest.mark.parametrize(("bound", "passes"), [(0.75, True), (0.7500001, False), (0.0, True)])
def test_a_bound_is_reached_at_the_bound(bound, passes):
    assert judge(DeployRules(at_least=bound), NEW, None).passed is passes


@pytest.mark.parametrize(("bound", "passes"), [(0.5, True), (0.4999, False)])
def test_of_log_loss_less_is_better(bound, passes):
    assert judge(DeployRules(metric=Metric.LOG_LOSS, at_most=bound), NEW, None).passed is passes
    worse = Metrics(30, 0.7, 0.5 - 0.2, 0.75)
    assert judge(DeployRules(metric=Metric.LOG_LOSS, not_worse_by=0.1), NEW, worse).passed is False
    assert judge(DeployRules(metric=Metric.LOG_LOSS, not_worse_by=0.3), NEW, worse).passed is True


@pytest.mark.parametrize(("by", "passes"), [(0.05, True), (0.04, False), (0.0, False)])
def test_how_much_worse_than_the_one_in_use_a_model_may_be(by, passes):
    in_use = Metrics(30, 0.7, 0.5, 0.8)
    assert judge(DeployRules(not_worse_by=by + 1e-12), NEW, in_use).passed is passes
    assert judge(DeployRules(not_worse_by=by), NEW, None).passed


def test_what_cannot_be_compared_does_not_pass():
    assert not judge(DeployRules(at_least=0.1), ONE_CLASS, None).passed
    assert not judge(DeployRules(not_worse_by=0.1), ONE_CLASS, NEW).passed
    assert not judge(DeployRules(not_worse_by=0.1), NEW, ONE_CLASS).passed


@pytest.mark.parametrize("rules", [DeployRules(at_least=0.9), DeployRules(not_worse_by=0.0)])
def test_what_is_said_to_others_has_no_number(rules):
    for metrics in (NEW, ONE_CLASS):
        verdict = judge(rules, metrics, Metrics(30, 0.7, 0.5, 0.8))
        assert not verdict.passed
        assert not any(sign.isdigit() for sign in verdict.said)
        assert any(sign.isdigit() for sign in verdict.why)
    assert judge(rules, NEW, Metrics(1, 1, 1, 0.99)).said == judge(rules, ONE_CLASS, Metrics(1, 1, 1, 0.99)).said


def test_metrics_are_told_all_or_none():
    assert told_metrics(DeployRules(), NEW) == {}
    assert told_metrics(DeployRules(tell_metrics=True), NEW) == {"roc_auc": 0.75, "accuracy": 0.7, "log_loss": 0.5}
    assert told_metrics(DeployRules(tell_metrics=True), ONE_CLASS) == {"accuracy": 0.7, "log_loss": 0.5}


def test_every_rule_is_read_written_and_explained():
    content = {
        "accept": "auto",
        "metric": "accuracy",
        "at_least": 0.5,
        "not_worse_by": 0.1,
        "tell_metrics": True,
        "per_day": 3,
    }
    rules = read_deploy(Section("silo.toml, [deploy]", content))
    assert rules == DeployRules(Accept.AUTO, Metric.ACCURACY, 0.5, None, 0.1, True, 3)
    kept = {name: value for name, value in deploy_json(rules).items() if value is not None}
    assert kept == content
    assert set(explained(rules)) == set(deploy_json(rules)) == set(DeployRules.__dataclass_fields__)


@pytest.mark.parametrize(
    "content",
    [
        {"accept": "always"},
        {"metric": "beauty"},
        {"at_leats": 0.5},
        {"metric": "log_loss", "at_least": 0.5},
        {"at_most": 0.5},
        {"not_worse_by": -0.1},
        {"at_least": "0.5"},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(content):
    with pytest.raises(ConfigError):
        read_deploy(Section("silo.toml, [deploy]", content))
