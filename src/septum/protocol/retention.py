"""Which models of an ended run are worth their room? The newest, and the best by each metric."""

from __future__ import annotations

from collections.abc import Sequence

from septum.errors import ConfigError
from septum.protocol.comparing import best_round
from septum.protocol.plan import Metric
from septum.protocol.views import ModelView

LEAST_NEWEST = 2  # a run that is resumed goes on from its newest model, or from the one before if that is lost


def superfluous(models: Sequence[ModelView], newest: int) -> tuple[ModelView, ...]:
    """The models of one run that are neither among its `newest` nor the best by any metric, oldest first.

    Raises ConfigError for fewer than LEAST_NEWEST.
    """
    if newest < LEAST_NEWEST:
        raise ConfigError(f"of each run {LEAST_NEWEST} models at least are kept, not {newest}")
    ordered = sorted(models, key=lambda model: model.round)
    measured = {model.round: model.metrics for model in ordered if model.metrics}
    kept = {model.round for model in ordered[-newest:]} | {best_round(measured, metric) for metric in Metric}
    names = {model.digest for model in ordered if model.round in kept}  # two rounds may have made one model
    return tuple(model for model in ordered if model.digest not in names)
