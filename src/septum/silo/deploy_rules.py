"""Which models may predict here? `[deploy]` of silo.toml, and the gate that a model has to pass on the silo's own rows.

What a silo says of its gate to others is one of two sentences, without a number: how far from the bound a model was
would tell something about a few patients. That it passed or not is told, once for each deployment.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from septum.errors import ConfigError, did_you_mean
from septum.protocol.facts import Metrics
from septum.protocol.plan import Metric
from septum.silo.section import Section

_E = TypeVar("_E", bound=Enum)


class Accept(Enum):
    """Which deployments are taken up.

    STEWARD  those whose name the steward accepted: `septum silo deploy accept`
    AUTO     every one, unless the steward refused its name; its app has to be approved as for a run
    NONE     none
    """

    STEWARD = "steward"
    AUTO = "auto"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class DeployRules:
    """The rules. None where a bound is not asked for; without any, a model only has to be measurable.

    accept         which deployments are taken up: steward, auto or none
    metric         by which the gate judges, on the silo's own test rows
    at_least       a model with less is not used; for metrics of which more is better
    at_most        a model with more is not used; for log_loss
    not_worse_by   a model that is worse by more than this than the one in use is not used
    tell_metrics   whether the coordinator is told the metrics that the gate measured
    per_day        so many models, of all names together, are measured within a day at most: each answer says something
                   about the test rows, and a coordinator could ask again and again
    """

    accept: Accept = Accept.STEWARD
    metric: Metric = Metric.ROC_AUC
    at_least: float | None = None
    at_most: float | None = None
    not_worse_by: float | None = None
    tell_metrics: bool = False
    per_day: int = 20

    def __post_init__(self) -> None:
        if self.at_least is not None and not self.metric.larger_is_better:
            raise ConfigError(f"[deploy]: at_least for {self.metric.value}, of which less is better", hint="at_most")
        if self.at_most is not None and self.metric.larger_is_better:
            raise ConfigError(f"[deploy]: at_most for {self.metric.value}, of which more is better", hint="at_least")
        if self.not_worse_by is not None and self.not_worse_by < 0:
            raise ConfigError(f"[deploy]: not_worse_by is {self.not_worse_by}, a number of 0 or more is needed")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says. `said`: to others, without a number; `why`: for the silo's own eyes."""

    passed: bool
    said: str = ""
    why: str = ""


def judge(rules: DeployRules, new: Metrics, active: Metrics | None) -> Verdict:
    """Whether a model may be used. `active`: of the one in use, measured on the same day's rows; None for none.

    What cannot be compared does not pass.

    >>> judge(DeployRules(at_least=0.75), Metrics(30, 0.7, 0.5, 0.7), None).passed
    False
    """
    value = _value(rules.metric, new)
    name = rules.metric.value
    bound = rules.at_least if rules.metric.larger_is_better else rules.at_most
    if bound is not None and (value is None or not _no_worse(rules.metric, value, bound)):
        return Verdict(False, f"it did not reach this silo's bound for {name}", f"{name} is {value}, the bound {bound}")
    if rules.not_worse_by is None or active is None:
        return Verdict(True, why=f"{name} is {value}")
    now = _value(rules.metric, active)
    sign = 1.0 if rules.metric.larger_is_better else -1.0
    if value is None or now is None or not _no_worse(rules.metric, value, now - sign * rules.not_worse_by):
        why = f"{name} is {value}, of the model in use {now}; {rules.not_worse_by} worse would do"
        return Verdict(False, f"by {name} it is worse here than the model in use", why)
    return Verdict(True, why=f"{name} is {value}, of the model in use {now}")


def told_metrics(rules: DeployRules, metrics: Metrics) -> dict[str, float]:
    """What of the metrics leaves: all or nothing."""
    if not rules.tell_metrics:
        return {}
    found = {metric.value: _value(metric, metrics) for metric in Metric}
    return {name: value for name, value in found.items() if value is not None}


def read_deploy(section: Section) -> DeployRules:
    """`[deploy]`. Raises ConfigError naming the key."""
    off = DeployRules()
    rules = DeployRules(
        accept=_one_of(section, "accept", off.accept),
        metric=_one_of(section, "metric", off.metric),
        at_least=section.finite("at_least"),
        at_most=section.finite("at_most"),
        not_worse_by=section.finite("not_worse_by"),
        tell_metrics=section.flag("tell_metrics", off.tell_metrics),
        per_day=section.whole("per_day", off.per_day) or off.per_day,
    )
    section.end()
    return rules


def deploy_json(rules: DeployRules) -> dict[str, bool | float | str | None]:
    """Each rule by its key in silo.toml."""
    return {
        "accept": rules.accept.value,
        "metric": rules.metric.value,
        "at_least": rules.at_least,
        "at_most": rules.at_most,
        "not_worse_by": rules.not_worse_by,
        "tell_metrics": rules.tell_metrics,
        "per_day": rules.per_day,
    }


def explained(rules: DeployRules) -> dict[str, str]:
    """Each rule in words, as a steward reads them back."""
    bound = rules.at_least if rules.metric.larger_is_better else rules.at_most
    return {
        "accept": {
            Accept.STEWARD: "models are used under names that the steward accepted",
            Accept.AUTO: "models of approved apps are used without a word of the steward",
            Accept.NONE: "no deployed model is used",
        }[rules.accept],
        "metric": f"a model is judged by {rules.metric.value} on this silo's own test rows",
        "at_least": "any value will do"
        if bound is None or not rules.metric.larger_is_better
        else f"it has to be {bound:g} or more",
        "at_most": "any value will do"
        if bound is None or rules.metric.larger_is_better
        else f"it has to be {bound:g} or less",
        "not_worse_by": "it may be worse than the model in use"
        if rules.not_worse_by is None
        else f"it may be worse than the model in use by {rules.not_worse_by:g}",
        "tell_metrics": "what the gate measured is told to the coordinator"
        if rules.tell_metrics
        else "what the gate measured stays here; whether a model passed is told",
        "per_day": f"at most {rules.per_day} models are measured within a day",
    }


def _one_of(section: Section, key: str, default: _E) -> _E:
    text = section.text(key, str(default.value))
    known = {str(one.value): one for one in type(default)}
    if text not in known:
        raise ConfigError(f"{section.where}: {key} is {text!r}; {did_you_mean(text, known)}")
    return known[text]


def _value(metric: Metric, metrics: Metrics) -> float | None:
    found = {Metric.ROC_AUC: metrics.roc_auc, Metric.ACCURACY: metrics.accuracy, Metric.LOG_LOSS: metrics.log_loss}
    return found[metric]


def _no_worse(metric: Metric, value: float, than: float) -> bool:
    return value >= than if metric.larger_is_better else value <= than
