"""How can training processes be started? As septum does it, or as a plugin does that the silo's operator installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.plugins.found import Group, chosen
from septum.ports.launcher import Launcher

DEFAULT = "process"
LAUNCHERS: Mapping[str, Callable[[], Launcher]] = {DEFAULT: SubprocessLauncher}


def launcher(name: str = DEFAULT) -> Launcher:
    """The launcher of this name. Raises ConfigError with the nearest one, PluginError for a broken plugin."""
    return chosen(Group.LAUNCHERS, name, LAUNCHERS)()
