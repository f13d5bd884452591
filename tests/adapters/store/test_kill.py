"""What survives when a coordinator's process is killed? Every acknowledged commit; and the next one may start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from septum.adapters.store.open import open_store
from septum.errors import ConflictError
from septum.protocol.facts import SiloJoined

pytestmark = pytest.mark.processes

COMMITTER = Path(__file__).with_name("committer.py")


@contextmanager
def committing(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(COMMITTER), str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_after(process: subprocess.Popen[str], commits: int) -> int:
    """Let it commit, kill it in the middle of the next ones; the last version that it said is in."""
    said = [process.stdout.readline() for _ in range(commits)]
    process.kill()
    said += process.stdout.readlines()
    process.wait()
    return int([line for line in said if line.endswith("\n")][-1])


def test_every_acknowledged_commit_survives_kill_9_again_and_again(tmp_path):
    acknowledged = 0
    for commits in (40, 1, 75):
        with committing(tmp_path / "data") as process:
            before, acknowledged = acknowledged, kill_after(process, commits)
        assert acknowledged >= before + commits
        with open_store(tmp_path / "data") as stores:
            version = stores.runs.get("run-a").version
            assert version in (acknowledged, acknowledged + 1)  # it may die between the commit and saying so
            journal = stores.runs.journal("run-a", limit=100_000)
            assert [(entry.seq, entry.fact) for entry in journal] == [
                (seq, SiloJoined(f"silo-{seq}")) for seq in range(1, version + 1)
            ]
            ((_, outbox),) = stores.runs.unfinished()
            assert len(outbox) == 1
            acknowledged = version


def test_a_second_coordinator_is_told_the_first_ones_pid_until_that_is_killed(tmp_path):
    with committing(tmp_path / "data") as process:
        process.stdout.readline()
        with pytest.raises(ConflictError, match=rf"process id {process.pid}$") as refused:
            open_store(tmp_path / "data")
        assert str(tmp_path / "data") in refused.value.message
        assert f"kill {process.pid}" in refused.value.hint
        version = int(process.stdout.readline())  # the refused one has not disturbed it
        process.kill()
        process.wait()
        with open_store(tmp_path / "data") as stores:
            assert stores.runs.get("run-a").version >= version
