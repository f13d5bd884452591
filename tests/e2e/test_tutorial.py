"""The tutorial's commands do what its text says, typed as they stand, in one shell, from an empty folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
WAITS = {  # what the text tells the reader to wait for
    "septum coordinator start": "until grep -q 'takes requests' coordinator.log; do sleep 0.1; done",
    "septum silo deploy accept": "until septum silo deploy list --dir cleveland | grep -q active; do sleep 0.2; done",
}
END = "kill $(jobs -p) 2>/dev/null; wait"


def commands() -> list[str]:
    """Every command of the page, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        assert all(line.startswith("$ ") for line in block.splitlines()), block
        found += [line[2:] for line in block.splitlines()]
    return found


def script() -> str:
    """One shell that stops at the first command that fails, and says which; it ends what it started."""
    lines = ["set -eu", f"trap '{END}' EXIT", 'say() { printf "\\n=== %s\\n" "$1"; }']
    for command in commands():
        quoted = command.replace("'", "'\\''")
        lines += [f"say '{quoted}'", command]
        lines += [wait for beginning, wait in WAITS.items() if command.startswith(beginning)]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, str]:
    """What each command printed."""
    home = tmp_path_factory.mktemp("tutorial")
    (home / "examples").symlink_to(ROOT / "examples")
    bin_dir = Path(sys.executable).parent
    environment = {"PATH": f"{bin_dir}:{os.environ['PATH']}", "HOME": str(home), "LANG": "C.UTF-8"}
    shell = subprocess.Popen(
        ["bash", "-c", script()],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = shell.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        raise
    logs = "".join(f"\n--- {path.name}\n{path.read_text()[-500:]}" for path in (home / "tutorial").glob("*.log"))
    assert shell.returncode == 0, logs + out[-4000:]
    parts = re.split(r"^=== (.*)$", out, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def said(told: dict[str, str], beginning: str) -> str:
    (found,) = [text for command, text in told.items() if beginning in command]
    return found


def test_every_command_of_the_tutorial_works_as_it_stands(told):
    assert list(told) == commands()
    assert "rosa is signed in" in said(told, "login --invitation")
    assert "WHAT LEAVES THIS SILO" in said(told, "app review")
    assert said(told, "as rosa septum silo list").count("online") == 4


def test_the_first_run_is_masked_and_finishes_and_the_clone_differs_in_one_setting(told):
    first = said(told, "--name first")
    assert "round 15/15" in first
    assert "masked: the coordinator learns sums over 4 silos" in first
    compared = said(told, "run compare")
    settings = compared.partition("ROC-AUC OF ROUND")[0]
    assert "hyper.lr" in settings
    assert "0.001" in settings
    assert "0.005" in settings
    assert "best" in compared
    best = float(re.findall(r"roc_auc (0\.\d+)", said(told, "--name faster"))[-1])
    assert best > 0.85


def test_the_run_can_be_looked_into_afterwards(told):
    timed = said(told, "run timeline")
    assert "coordinator" in timed
    assert "cleveland" in timed
    assert "cleveland" in said(told, "log show")
    events = said(told, "log events")
    assert "run.submitted" in events
    assert "rosa" in events


def test_the_best_model_predicts_in_a_hospital_that_accepted_it(told):
    assert re.search(r"heart .*active", said(told, "deploy list"))
    header, *rows = said(told, "cat predictions.csv").strip().splitlines()
    assert header.startswith("patient,")
    scores = {row.split(",")[0]: float(row.split(",")[1]) for row in rows}
    assert scores["p-1"] < 0.5 < scores["p-2"]


def test_a_revoked_hospital_is_shown_as_such(told):
    after = [text for command, text in told.items() if command == "as olga septum silo list"]
    assert re.search(r"switzerland +revoked", after[-1])
