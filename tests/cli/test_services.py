"""The files in deploy/systemd start what there is."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest

from septum.cli.reference import commands

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_service_runs_a_command_with_options_that_it_has(path):
    unit = RawConfigParser(strict=False)
    unit.read(path)
    program, noun, verb, *rest = unit["Service"]["ExecStart"].split()
    (command,) = [command for name, command in commands() if name == f"septum {noun} {verb}"]
    known = {option for item in command.params for option in item.opts}
    assert Path(program).name == "septum"
    assert rest
    assert {word for word in rest if word.startswith("-")} <= known


def test_there_is_one_for_each_side():
    assert [path.name for path in UNITS] == ["septum-coordinator.service", "septum-silo.service"]
