"""How can training processes be started? As septum does it, or as a plugin does that the silo's operator installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from septum.adapters.launch.sandbox import level_for
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.plugins.found import Group, chosen
from septum.ports.launcher import Launcher, Level
from septum.silo.config import OWN_LAUNCHER


def launcher(
    name: str,
    wanted: Level | None,
    silo_dir: Path,
    heard: Callable[[str, bytes], None] = lambda run, chunk: None,  # noqa: ARG005
) -> tuple[Launcher, Level]:
    """The launcher of this name, and the level of its workers: of a plugin's, no more than a process is known.

    wanted    the level of septum's own launcher; None for the best
    silo_dir  which no app may read
    heard     gets what the app of a run prints, where septum's own launcher starts it

    Raises ConfigError with the nearest name, or for a level that this machine has not; PluginError for a broken plugin.
    """
    level = level_for(wanted) if name == OWN_LAUNCHER else Level.PROCESS
    own = partial(SubprocessLauncher, level, hidden=(silo_dir.absolute(),), heard=heard)
    return chosen(Group.LAUNCHERS, name, {OWN_LAUNCHER: own})(), level
