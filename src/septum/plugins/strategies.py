"""Which aggregation strategies are there, septum's own and those of plugins?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar, cast

from septum.algorithms.rule import CoordinateWise, Rule, WeightGiving, no_proximal_term
from septum.algorithms.strategy import PROXIMAL_MU, Strategy, strategy, strategy_names, strategy_of_rule, too_few
from septum.errors import ConfigError, PluginError, SeptumError
from septum.plugins.found import Group, Plugin, find, loaded
from septum.protocol.plan import Plan, StrategyRef

T = TypeVar("T")
P = ParamSpec("P")


def strategy_of(ref: StrategyRef) -> Strategy:
    """The strategy that a plan names.

    Raises ConfigError for a name or setting that does not exist, PluginError for a plugin that cannot be loaded.
    """
    plugin = find(Group.STRATEGIES, ref.name, strategy_names())
    if plugin is None:
        return strategy(ref.name, ref.settings)
    return strategy_of_rule(cast("Rule", loaded(plugin, rule_of)), ref.settings)


def strategy_for(plan: Plan) -> Strategy:
    """The strategy of a plan that has enough silos for it. Raises as `strategy_of` does.

    Raises:
        ConfigError: the silos are too few, or the quorum: a round that ends with it could not be combined; or the run
            is masked, and the strategy has to see what is under the masks.
    """
    chosen = strategy_of(plan.strategy)
    if plan.masking is not None and chosen.sees_updates:
        raise ConfigError(
            f"strategy {chosen.name!r} has to see each silo's update, and this run masks them",
            hint="use one of the mean, such as fedavg; or run without masking, if every silo's policy allows it",
        )
    why = too_few(chosen, len(plan.silos))
    if why:
        raise ConfigError(why, hint=chosen.needs.hint or f"name {chosen.needs.silos} silos, or use another strategy")
    why = too_few(chosen, plan.quorum)
    if why:
        raise ConfigError(f"{why} in a round that ends with its quorum", hint=f"--quorum {chosen.needs.silos} or more")
    return chosen


def rule_of(plugin: Plugin, found: object) -> Rule:
    """A plugin's rule, whose exceptions name it.

    Silos do not install it, so it can change their training by its setting PROXIMAL_MU alone.
    """
    if not isinstance(found, Rule):
        raise PluginError(f"{plugin.where} is {type(found).__name__}, a septum.algorithms.rule.Rule is needed")
    if found.name != plugin.name:
        raise PluginError(f"{plugin.where} calls itself {found.name!r}: the rule and its entry point have one name")
    if found.proximal_mu is not no_proximal_term:
        raise PluginError(
            f"{plugin.where} has a proximal_mu of its own, which silos without the plugin would not know",
            hint=f"give it a setting {PROXIMAL_MU!r} instead",
        )
    return replace(
        found,
        step=_named(found.step, plugin),
        start=_named(found.start, plugin),
        combine=_named_combine(found, plugin),
        proximal_mu=lambda settings: settings.get(PROXIMAL_MU, 0.0),
        needs=_named(found.needs, plugin),
    )


def _named_combine(found: Rule, plugin: Plugin) -> CoordinateWise | WeightGiving:
    """A mean stays what it is, so that the rule can be told from one that has to see each update."""
    if not found.sees_updates:
        return found.combine
    match found.combine:
        case CoordinateWise(combine):
            return CoordinateWise(_named(combine, plugin))
        case WeightGiving(factors):
            return WeightGiving(_named(factors, plugin))


def _named(call: Callable[P, T], plugin: Plugin) -> Callable[P, T]:
    def named(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except SeptumError:
            raise
        except Exception as error:
            raise PluginError(
                f"{plugin.where} raised {type(error).__name__}: {error}",
                hint=f"pip install --upgrade {plugin.distribution}, start the coordinator again, then resume the run",
            ) from error

    return named
