"""Does a silo accept a new model, and do enough of them? Each compares it with the one before, on its own test rows.

Nobody sees how a silo voted: accepts and voters are counted under masks. See docs/decisions/0016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from septum.protocol.facts import Metrics, Votes
from septum.protocol.plan import Metric, Vote

Ballot = tuple[int, int]  # 1 if the silo accepts, and 1 if it votes
ABSTAINS: Ballot = (0, 0)
_REMEMBERED = 8  # models; the newest one and the one before it are compared, maybe after a few that were voted down
_ROUNDING = 1e-9  # of a share times a count


def own_score(metric: Metric, sums: Sequence[float]) -> float | None:
    """A silo's metric, from the rows, correct ones, summed log loss and ROC-AUC of its result; None if it has none.

    >>> own_score(Metric.LOG_LOSS, (4.0, 3.0, 2.0, math.nan)), own_score(Metric.ROC_AUC, (4.0, 3.0, 2.0, math.nan))
    (0.5, None)
    """
    rows, correct, log_loss, roc_auc = sums
    if not rows:
        return None
    value = {Metric.ACCURACY: correct / rows, Metric.LOG_LOSS: log_loss / rows, Metric.ROC_AUC: roc_auc}[metric]
    return None if math.isnan(value) else value


class Voter:
    """One silo's part in the votes of one run. It remembers the scores of the newest models, in memory alone.

    A silo that was started again, or that was not there when the model before was measured, abstains.
    """

    def __init__(self, rule: Vote) -> None:
        self._rule = rule
        self._scores: dict[str, float | None] = {}

    def vote(self, base: str, against: str, sums: Sequence[float]) -> Ballot:
        """The vote on the model `base`, of which these are the silo's sums; the same when it is asked again."""
        self._scores.pop(base, None)  # one that is measured again is the newest
        self._scores[base] = own_score(self._rule.metric, sums)
        while len(self._scores) > _REMEMBERED:
            del self._scores[next(iter(self._scores))]
        return ballot(self._rule, self._scores.get(against), self._scores[base])


def ballot(rule: Vote, before: float | None, after: float | None) -> Ballot:
    """A silo's vote on a model with the score `after`, when the one before it has `before`. Without both it abstains.

    >>> ballot(Vote(metric=Metric.LOG_LOSS, max_drop=0.1), 0.5, 0.59), ballot(Vote(), 0.5, 0.7), ballot(Vote(), None, 9)
    ((1, 1), (0, 1), (0, 0))
    """
    if before is None or after is None:
        return ABSTAINS
    return int(_drop(rule, before, after) <= rule.max_drop), 1


def objection(rule: Vote, votes: Votes | None, before: Metrics | None, after: Metrics) -> str:
    """Why a model with the metrics `after` is not kept, in words; empty if it is. `before`: of the one before it.

    >>> half = Metrics(10, 0.5, 0.7, 0.5)
    >>> objection(Vote(), Votes(2, 4), half, half)
    '2 of 4 silos accept it'
    """
    if votes is not None and votes.accepts < rule.accepts * votes.voters - _ROUNDING:
        return f"{votes.accepts} of {votes.voters} silos accept it"
    was = None if before is None else _of(rule, before)
    is_ = _of(rule, after)
    if was is None or is_ is None or _drop(rule, was, is_) <= rule.max_drop:
        return ""
    return f"{rule.metric.value} over all silos went from {was:.4g} to {is_:.4g}, {rule.max_drop:g} is allowed"


def _drop(rule: Vote, before: float, after: float) -> float:
    return before - after if rule.metric.larger_is_better else after - before


def _of(rule: Vote, metrics: Metrics) -> float | None:
    value: float | None = getattr(metrics, rule.metric.value)
    return value
