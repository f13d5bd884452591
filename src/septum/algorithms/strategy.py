"""Which aggregation strategies are there, and what does one do with the silos' deltas?

To add a rule: write its file (it ends with a `Rule`), and add that rule to `_RULES` below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from septum.algorithms.fedavg import FEDAVG
from septum.algorithms.fedopt import FEDADAGRAD, FEDADAM, FEDAVGM, FEDYOGI
from septum.algorithms.fedprox import FEDPROX
from septum.algorithms.geometric_median import GEOMETRIC_MEDIAN
from septum.algorithms.krum import KRUM, MULTI_KRUM
from septum.algorithms.norm_clipping import NORM_CLIPPING
from septum.algorithms.rule import (
    MEAN,
    Block,
    CoordinateWise,
    Factors,
    Gram,
    Need,
    Rule,
    Setting,
    Settings,
    State,
    Vector,
    WeightGiving,
)
from septum.algorithms.trimmed_mean import MEDIAN, TRIMMED_MEAN
from septum.algorithms.weighted_mean import Summands, mean_summands, sum_summands, weighted_sum
from septum.errors import ConfigError, TensorError, did_you_mean

_OF_THE_MEAN = (FEDAVG, FEDPROX, FEDAVGM, FEDADAGRAD, FEDADAM, FEDYOGI)
_ROBUST = (MEDIAN, TRIMMED_MEAN, KRUM, MULTI_KRUM, GEOMETRIC_MEDIAN, NORM_CLIPPING)
_RULES: Mapping[str, Rule] = {rule.name: rule for rule in (*_OF_THE_MEAN, *_ROBUST)}
PROXIMAL_MU = "proximal_mu"
_NOTHING: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Strategy:
    """One aggregation strategy: combine the silos' deltas, then step the model.

    The same object serves simulation and deployment. All functions are pure, and all but `weigh` coordinate-wise: a
    model may pass through them in blocks of any width, in any order of blocks, and gets the same bits. Two strategies
    are equal when their names and settings are.

    Attributes:
        name: one of `strategy_names()`.
        settings: every setting with its value, defaults resolved.
        state_names: the server optimiser's state, one float32 vector of the model's size each.
        weigh: gram (silos, silos), weights (silos,) rows -> factors (silos,), which `combine` is then given as weights;
            None where it is given the rows themselves, and nobody needs a Gram matrix.
        combine: block (silos, width), weights (silos,) rows, or factors -> combined delta (width,).
        summands: weights as `combine` takes them -> which silos' deltas it adds up, each times what: then it can be
            done with one silo's at a time (`weighted_mean.add_up`). None where it needs a coordinate of all silos.
        start: width -> the state before the first round.
        step: base (width,), mean delta (width,), state -> the new model's block, the new state. Leaves its arguments
            as they are; raises TensorError when they do not fit together, or when a result is not finite.
        proximal_mu: above 0, silos add the proximal term of FedProx to their loss.
        sees_updates: whether it needs each silo's update; False where the mean, weighted by rows, is enough, which is
            all that a masked sum can give.
        needs: how many silos' updates it needs; ask `too_few`.
    """

    name: str
    settings: Mapping[str, float]
    state_names: tuple[str, ...] = field(compare=False)
    weigh: Callable[[Gram, ArrayLike], Factors] | None = field(compare=False, repr=False)
    combine: Callable[[Block, ArrayLike], Vector] = field(compare=False, repr=False)
    start: Callable[[int], dict[str, Vector]] = field(compare=False, repr=False)
    step: Callable[[Vector, Vector, State], tuple[Vector, dict[str, Vector]]] = field(compare=False, repr=False)
    summands: Callable[[ArrayLike], Summands] | None = field(default=None, compare=False, repr=False)
    proximal_mu: float = field(default=0.0, compare=False)
    sees_updates: bool = field(default=True, compare=False)
    needs: Need = field(default=Need(1), compare=False, repr=False)


def strategy(name: str, settings: Mapping[str, float] = _NOTHING) -> Strategy:
    """The strategy of this name with these settings; what is left out takes its default.

    Raises:
        ConfigError: an unknown strategy or setting, or a value outside its range.

    >>> strategy("fedavgm", {"momentum": 0.5}).settings
    {'lr': 1.0, 'momentum': 0.5}
    """
    rule = _RULES.get(name)
    if rule is None:
        raise ConfigError(f"unknown strategy {name!r}", hint=did_you_mean(name, _RULES))
    return strategy_of_rule(rule, settings)


def strategy_of_rule(rule: Rule, settings: Mapping[str, float] = _NOTHING) -> Strategy:
    """The strategy of a rule, which need not be one of septum's own. Raises ConfigError as `strategy` does."""
    values = _resolve(rule, settings)
    weigh: Callable[[Gram, ArrayLike], Factors] | None = None
    combined: Callable[[Block, ArrayLike], Vector] = weighted_sum
    summands: Callable[[ArrayLike], Summands] | None = sum_summands
    match rule.combine:
        case CoordinateWise(combine):
            combined = partial(combine, values)
            summands = mean_summands if rule.combine == MEAN else None
        case WeightGiving(factors):
            weigh = partial(_checked_factors, rule.name, factors, values)
    return Strategy(
        name=rule.name,
        settings=values,
        state_names=rule.state_names,
        weigh=weigh,
        combine=combined,
        start=partial(rule.start, values),
        step=partial(_checked_step, rule, values),
        summands=summands,
        proximal_mu=rule.proximal_mu(values),
        sees_updates=rule.sees_updates,
        needs=rule.needs(values),
    )


def too_few(chosen: Strategy, silos: int) -> str:
    """Why the updates of this many silos are too few for a strategy; empty if they are enough.

    >>> too_few(strategy("krum"), 5), too_few(strategy("fedavg"), 1)
    ('', '')
    >>> too_few(strategy("krum"), 4)
    'krum with f = 1 needs the updates of n >= 2f + 3 = 5 silos (Blanchard et al. 2017); there are 4'
    """
    if silos >= chosen.needs.silos:
        return ""
    why = chosen.needs.why or f"strategy {chosen.name!r} needs the updates of {chosen.needs.silos} silos"
    return f"{why}; there are {silos}"


def proximal_mu(name: str, settings: Mapping[str, float]) -> float:
    """What a silo has to know of a strategy: how strongly its loss pulls towards the global model; 0 for not at all.

    A strategy that is not one of septum's own need not be installed in the silo: its setting PROXIMAL_MU says it.

    >>> proximal_mu("fedprox", {"mu": 0.1}), proximal_mu("somebodys", {"proximal_mu": 0.5}), proximal_mu("fedavg", {})
    (0.1, 0.5, 0.0)
    """
    if name in _RULES:
        return strategy(name, settings).proximal_mu
    return Setting(PROXIMAL_MU, 0.0, at_least=0.0).check(settings.get(PROXIMAL_MU, 0.0), rule=name)


def strategy_names() -> tuple[str, ...]:
    """All strategies, in the order of the reference page.

    >>> strategy_names()[0]
    'fedavg'
    """
    return tuple(_RULES)


def strategy_settings(name: str) -> tuple[Setting, ...]:
    """The settings that a strategy takes, with defaults and ranges, for forms and the reference page.

    Raises:
        ConfigError: an unknown strategy.

    >>> [(setting.name, setting.default, setting.range) for setting in strategy_settings("fedprox")]
    [('mu', 0.01, 'finite, >= 0')]
    """
    if name not in _RULES:
        raise ConfigError(f"unknown strategy {name!r}", hint=did_you_mean(name, _RULES))
    return _RULES[name].settings


def _resolve(rule: Rule, settings: Mapping[str, float]) -> dict[str, float]:
    """Every setting of the rule, in the rule's order: the digest of a plan must not depend on the order given."""
    known = [setting.name for setting in rule.settings]
    for name in settings:
        if name not in known:
            hint = did_you_mean(name, known) if known else f"strategy {rule.name!r} has no settings"
            raise ConfigError(f"strategy {rule.name!r} has no setting {name!r}", hint=hint)
    return {
        setting.name: setting.check(settings.get(setting.name, setting.default), rule=rule.name)
        for setting in rule.settings
    }


def _checked_factors(
    name: str,
    factors: Callable[[Settings, Gram, ArrayLike], Factors],
    settings: Settings,
    gram: Gram,
    weights: ArrayLike,
) -> Factors:
    """The rule's factors: float64, finite, one a silo."""
    silos = np.shape(weights)
    if gram.dtype != np.float64 or gram.shape != silos * 2:
        raise TensorError(
            f"{name}: a Gram matrix {gram.dtype} of shape {gram.shape} came with weights of shape {silos}"
        )
    found = factors(settings, gram, weights)
    if found.shape != silos or found.dtype != np.float64 or not np.isfinite(found).all():
        raise TensorError(f"{name}: its factors are {found}; they are float64, finite, and one for each of {silos[0]}")
    return found


def _checked_step(
    rule: Rule, settings: Mapping[str, float], base: Vector, delta: Vector, state: State
) -> tuple[Vector, dict[str, Vector]]:
    """The rule's step between two checks: arguments that fit together, results that are finite.

    The second is for the state above all: a variance that overflowed to infinity would give finite models for ever,
    with that coordinate frozen.
    """
    if sorted(state) != sorted(rule.state_names):
        raise TensorError(f"strategy {rule.name!r} keeps {list(rule.state_names)}, got {sorted(state)}")
    for name, vector in (("model", base), ("delta", delta), *state.items()):
        if vector.shape != base.shape or vector.ndim != 1 or vector.dtype != np.float32:
            found = f"{vector.dtype} of shape {vector.shape}"
            raise TensorError(f"{rule.name}: {name} is {found}, the model's block is float32 of shape {base.shape}")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        model, next_state = rule.step(settings, base, delta, state)
    if sorted(next_state) != sorted(rule.state_names):
        raise TensorError(f"strategy {rule.name!r} keeps {list(rule.state_names)}, its step gave {sorted(next_state)}")
    for name, vector in (("model", model), *next_state.items()):
        if vector.shape != base.shape or vector.dtype != np.float32:
            found = f"{vector.dtype} of shape {vector.shape}"
            raise TensorError(f"{rule.name}: the new {name} is {found}, the model's block is float32 of {base.shape}")
        finite = int(np.count_nonzero(np.isfinite(vector)))
        if finite < vector.size:
            raise TensorError(
                f"{rule.name}: the new {name} is not finite at {vector.size - finite} of {vector.size} coordinates",
                hint="the updates are too large: submit the run again with a smaller learning rate",
            )
    return model, next_state
