"""When does a run stop before its last round? When its models have been no better than an earlier one for long."""

from __future__ import annotations

from septum.protocol.facts import ModelMeasured
from septum.protocol.plan import EarlyStopping
from septum.protocol.run_state import Best


def is_over(rule: EarlyStopping | None, best: Best | None) -> bool:
    """Whether the rule says: no more rounds.

    >>> from septum.protocol.plan import Metric
    >>> is_over(EarlyStopping(Metric.ROC_AUC, patience=3), Best(0.9, round=4, stale=3))
    True
    """
    return rule is not None and best is not None and best.stale >= rule.patience


def after(rule: EarlyStopping | None, best: Best | None, measured: ModelMeasured) -> Best | None:
    """The best model, once one more was measured. A model without the rule's metric changes nothing."""
    if rule is None:
        return None
    value: float | None = getattr(measured.metrics, rule.metric.value)
    if value is None:
        return best
    gain = 0.0 if best is None else (value - best.value) * (1 if rule.metric.larger_is_better else -1)
    if best is None or gain > rule.min_delta:
        return Best(value, measured.round)
    return Best(best.value, best.round, best.stale + 1)
