"""`septum silo prune` is killed before each change that it makes to the disk: what is needed stays, and the rest goes.

Real processes, kill -9. After each kill the same command is given again, and makes an end of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.test_silo_model import about
from tests.faults.counting import UNCLOSED
from tests.sdk.packaging import app_folder, built
from tests.silo.test_kept import keep

from septum.protocol.plan import AppRef, Plan
from septum.protocol.silo import SiloPhase, SiloRun
from septum.silo.kept import KeptModels
from septum.silo.packages import Packages
from septum.silo.pruning import DAY_S
from septum.silo.run_files import RunFiles

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

GONE = "sha256:" + "9" * 64
LONG_AGO_S = 100 * DAY_S
MOST_CHANGES = 60  # far more than there are


@pytest.fixture
def silo(tmp_path):
    """What is needed: an approved package's environment, a run at work and its package's, the newest model."""
    folder = tmp_path / "template"
    folder.mkdir()
    (folder / "silo.toml").touch()
    package = built(app_folder(tmp_path / "app"), tmp_path / "dist")
    packages = Packages(folder)
    packages.add(package.path)
    packages.approve(package.digest, "ann")
    for digest in (package.digest, GONE, "sha256:" + "8" * 64):
        site = folder / "envs" / digest.removeprefix("sha256:") / "site"
        site.mkdir(parents=True)
        (site / "tiny.py").write_bytes(b"x" * 500)
    for run, phase, digest in (("r-old", SiloPhase.ENDED, GONE), ("r-at-work", SiloPhase.ACTIVE, "sha256:" + "8" * 64)):
        files = RunFiles(folder / "runs" / run)
        files.make()
        files.save(
            SiloRun(run, "north", Plan("small", AppRef("small", "1.0.0", digest), {}, ("north",), 2), phase=phase)
        )
        files.held("train-1").write_bytes(b"x" * 1000)
    then = time.time() - LONG_AGO_S
    keep(KeptModels(folder), *(about(f"r-{number}", then + number) for number in range(3)))
    for path in (folder / "runs").iterdir():
        os.utime(path, (then, then))
    return folder


def prune(silo: Path, number: int) -> subprocess.CompletedProcess[str]:
    words = ["silo", "prune", "--dir", str(silo), "--models", "1", "--yes", "--json"]
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.pruner_to_kill", str(number), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def tree(silo: Path) -> dict[str, bytes]:
    """The content of each file by its name, but for locks, which are empty and stay."""
    files = [path for path in sorted(silo.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(silo)): path.read_bytes() for path in files}


def test_a_prune_that_is_killed_anywhere_loses_nothing_that_is_needed_and_the_next_one_makes_an_end(silo, tmp_path):
    before, whole = tree(silo), tmp_path / "whole"
    shutil.copytree(silo, whole)
    done = prune(whole, MOST_CHANGES)
    assert done.returncode == 0, done.stderr
    assert {one["name"] for one in json.loads(done.stdout)["data"]["items"]} == {GONE, "r-old", "r-0", "r-1"}
    needed = tree(whole)
    assert needed.items() <= before.items()
    assert len(needed) < len(before)

    killed = 0
    for number in range(1, MOST_CHANGES):
        place = tmp_path / f"killed-{number}"
        shutil.copytree(silo, place)
        ended = prune(place, number)
        if ended.returncode == 0:
            break
        killed += 1
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        left = tree(place)
        assert needed.items() <= left.items()
        going = {name for name in left if ".going-" not in name}
        assert {name: left[name] for name in going}.items() <= before.items()  # whole under its name, or not there
        assert prune(place, MOST_CHANGES).returncode == 0
        assert tree(place) == needed
        shutil.rmtree(place)
    assert killed >= 8  # four things, each given another name and taken away
