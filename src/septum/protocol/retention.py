"""Which models of an ended run are worth their room? The newest, and the best by each metric.

Silos' own models of a round stay with the model that the round made, and so does the model that they began with.
"""

from __future__ import annotations

from collections.abc import Sequence

from septum.errors import ConfigError
from septum.protocol.comparing import best_round
from septum.protocol.plan import Metric
from septum.protocol.views import ModelView, SiloModelView

LEAST_NEWEST = 2  # a run that is resumed goes on from its newest model, or from the one before if that is lost


def superfluous(
    models: Sequence[ModelView], newest: int, of_silos: Sequence[SiloModelView] = ()
) -> tuple[ModelView, ...]:
    """The models of one run that are neither among its `newest` nor the best by any metric, oldest first.

    `of_silos`: those of single silos that the run keeps. Raises ConfigError for fewer than LEAST_NEWEST.
    """
    kept = _kept(models, newest)
    names = {model.digest for model in models if model.round in kept}  # two rounds may have made one model
    names |= {one.base for one in of_silos if one.round in kept}
    return tuple(model for model in sorted(models, key=lambda one: one.round) if model.digest not in names)


def superfluous_of_silos(
    models: Sequence[ModelView], newest: int, of_silos: Sequence[SiloModelView]
) -> tuple[SiloModelView, ...]:
    """The silos' own models of the rounds whose model is neither among the `newest` nor the best by any metric."""
    kept = _kept(models, newest)
    return tuple(one for one in of_silos if one.round not in kept)


def _kept(models: Sequence[ModelView], newest: int) -> set[int]:
    """The rounds whose models stay."""
    if newest < LEAST_NEWEST:
        raise ConfigError(f"of each run {LEAST_NEWEST} models at least are kept, not {newest}")
    ordered = sorted(models, key=lambda model: model.round)
    measured = {model.round: model.metrics for model in ordered if model.metrics}
    best = {best_round(measured, metric) for metric in Metric}
    return {model.round for model in ordered[-newest:]} | {round_ for round_ in best if round_ is not None}
