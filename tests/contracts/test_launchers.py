"""The shipped launchers keep the contract of their port."""

from __future__ import annotations

import pytest

from septum.adapters.launch.inline import InlineLauncher
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.testing.contracts.launcher import LauncherContract


class TestInlineLauncher(LauncherContract):
    def make(self):
        return InlineLauncher()


@pytest.mark.processes
class TestSubprocessLauncher(LauncherContract):
    def make(self):
        return SubprocessLauncher()
