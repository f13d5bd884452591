"""Which parts of septum can come from another package? Those of the entry point groups below, each loaded by its name.

A plugin is imported only when somebody names it. A name belongs to one: a plugin that has the name of one of septum's
own, or two plugins of one name, are an error that names the distributions. What a plugin raises while it is imported
is told with its distribution and version. See docs/decisions/0010-plugins.md and docs/how-to/write-a-plugin.md.

Light: the agent reads this; what a strategy is needs numpy, and is in strategies.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias, TypeVar, cast

from septum.errors import ConfigError, PluginError, SeptumError, did_you_mean
from septum.ports.reader import ReaderKind

T = TypeVar("T")


class Group(Enum):
    """A kind of plugin, by the name of its entry point group."""

    STRATEGIES = "septum.strategies"
    LAUNCHERS = "septum.launchers"
    READERS = "septum.readers"
    TRACKERS = "septum.trackers"

    @property
    def noun(self) -> str:
        """What one of them is called.

        >>> Group.STRATEGIES.noun
        'strategy'
        """
        return {"strategies": "strategy"}.get(self.value[7:], self.value[7:-1])


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of an installed distribution."""

    group: Group
    name: str
    distribution: str
    version: str
    entry: EntryPoint

    @property
    def where(self) -> str:
        """How errors name it."""
        return f"{self.group.noun} {self.name!r} of {self.distribution} {self.version}"


def installed(group: Group) -> tuple[Plugin, ...]:
    """Every plugin of a group, by name; nothing is imported."""
    found = [
        Plugin(
            group, entry.name, entry.dist.name if entry.dist else "?", entry.dist.version if entry.dist else "?", entry
        )
        for entry in entry_points(group=group.value)
    ]
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))


Check: TypeAlias = Callable[[Plugin, object], object]
"""What a plugin's entry point names -> the part that it is. Raises PluginError for what cannot be one."""


def chosen(group: Group, name: str, own: Mapping[str, T]) -> T:
    """The part of this name: one of septum's `own`, or a plugin, which is imported now.

    Raises ConfigError for a name that nobody has, PluginError for one that two have, or that cannot be loaded.
    """
    plugin = find(group, name, own.keys())
    return own[name] if plugin is None else cast("T", loaded(plugin, CHECKS[group]))


def find(group: Group, name: str, own: Collection[str]) -> Plugin | None:
    """The plugin of this name; None where it is one of septum's `own`. Raises as `chosen` does; imports nothing."""
    return _found(group, name, frozenset(own))


def problem(plugin: Plugin, own: Collection[str], check: Check) -> str:
    """Why a plugin cannot be used; empty if it can. Imports it."""
    try:
        found = find(plugin.group, plugin.name, own)
        assert found is not None
        loaded(found, check)
    except SeptumError as error:
        return error.message
    return ""


@cache
def loaded(plugin: Plugin, check: Check) -> object:
    """The part that a plugin is. Raises PluginError."""
    try:
        found = plugin.entry.load()
    except (Exception, SystemExit) as error:  # its import may raise anything, and must not end this process
        raise PluginError(
            f"{plugin.where} cannot be loaded: {type(error).__name__}: {error}",
            hint=f"pip install --upgrade {plugin.distribution}; it says {plugin.entry.value}",
        ) from error
    return check(plugin, found)


@cache
def _found(group: Group, name: str, own: frozenset[str]) -> Plugin | None:
    known = installed(group)
    of_name = [plugin for plugin in known if plugin.name == name]
    if name in own and of_name:
        raise PluginError(
            f"{of_name[0].where} has the name of one of septum's own",
            hint=f"pip uninstall {of_name[0].distribution}; or ask its author for another name",
        )
    if len(of_name) > 1:
        both = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in of_name)
        raise PluginError(f"{group.noun} {name!r} is in {both}", hint=f"pip uninstall one of them: {both}")
    if not of_name and name not in own:
        names = {*own, *(plugin.name for plugin in known)}
        raise ConfigError(
            f"unknown {group.noun} {name!r}", hint=f"{did_you_mean(name, names)}; septum plugin list shows plugins"
        )
    return of_name[0] if of_name else None


def _kind(plugin: Plugin, found: object) -> ReaderKind:
    if not isinstance(found, ReaderKind):
        raise PluginError(f"{plugin.where} is {type(found).__name__}, a septum.ports.reader.ReaderKind is needed")
    return found


def _maker(plugin: Plugin, found: object) -> object:
    if not callable(found):
        raise PluginError(f"{plugin.where} is {type(found).__name__}, a function that makes one is needed")
    return found


CHECKS: Mapping[Group, Check] = {Group.LAUNCHERS: _maker, Group.READERS: _kind, Group.TRACKERS: _maker}
