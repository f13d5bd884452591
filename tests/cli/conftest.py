"""A command line that is called in this process or as a process of its own, and a small coordinator to call."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.small_coordinator import SmallCoordinator

from septum.cli.main import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "heart_disease"


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def envelope(self):
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home and working directory, and no SEPTUM_ variable."""
    for name in [name for name in os.environ if name.startswith("SEPTUM_")]:
        monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def septum(home, capsys):
    """Call the command line in this process."""

    def call(*arguments):
        code = main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return call


@pytest.fixture
def process(home):
    """Call the command line as a process."""

    def call(*arguments, **environment):
        command = [sys.executable, "-m", "septum.cli.main", *(str(item) for item in arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def coordinator(home, monkeypatch):
    """A coordinator that SEPTUM_URL, SEPTUM_TOKEN and SEPTUM_CA name."""
    with SmallCoordinator(home / "certificates") as running:
        monkeypatch.setenv("SEPTUM_URL", running.url)
        monkeypatch.setenv("SEPTUM_TOKEN", running.token)
        monkeypatch.setenv("SEPTUM_CA", str(running.ca_file))
        yield running


@pytest.fixture
def example():
    return EXAMPLE
