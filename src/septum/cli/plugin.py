"""Which commands are there about plugins?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Table
from septum.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Collection

    from septum.plugins.found import Group

app = noun("plugin", "See what other packages add to septum.")


@command(app, "list")
def list_(call: Invocation) -> Answer:
    """List installed plugins, each with its distribution, and whether it loads. It fails where one does not."""
    del call
    from septum.plugins.found import CHECKS, Group, installed, problem  # these and numpy: `--help` does not load them
    from septum.plugins.strategies import rule_of

    own, checks = own_names(), {**CHECKS, Group.STRATEGIES: rule_of}
    found = [
        (plugin, problem(plugin, own[plugin.group], checks[plugin.group]))
        for group in Group
        for plugin in installed(group)
    ]
    data = [
        {
            "name": plugin.name,
            "group": plugin.group.value,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "loads": not wrong,
            "problem": wrong,
        }
        for plugin, wrong in found
    ]
    rows = tuple(
        (plugin.name, plugin.group.value, plugin.distribution, plugin.version, wrong or "loads")
        for plugin, wrong in found
    )
    table = Table(("NAME", "GROUP", "DISTRIBUTION", "VERSION", "STATE"), rows, "no plugins: pip install one")
    broken = [plugin.where for plugin, wrong in found if wrong]
    error = PluginError(f"cannot be used: {', '.join(broken)}", hint="pip install --upgrade it, or uninstall it")
    return Answer({"plugins": data}, (table,), error if broken else None)


def own_names() -> dict[Group, Collection[str]]:
    """The names in each group that septum's own parts have."""
    from septum.adapters.readers.registry import READERS  # these and numpy, which `--help` does not load
    from septum.adapters.tracking.registry import TRACKERS
    from septum.algorithms.strategy import strategy_names
    from septum.plugins.found import Group
    from septum.silo.config import OWN_LAUNCHER

    return {
        Group.STRATEGIES: strategy_names(),
        Group.LAUNCHERS: {OWN_LAUNCHER},
        Group.READERS: READERS.keys(),
        Group.TRACKERS: TRACKERS.keys(),
    }
