"""What if the coordinator's disk is gone? A backup from the middle of a run is restored, and the run ends as ever.

Its silos are ahead of it then: they hold reports of later rounds, and have forgotten those it asks for.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.runs import Journal, port_of
from tests.faults.counting import Counting, counting_in

from septum.adapters.store.open import DATABASE_NAME
from septum.cli.federation import Federation
from septum.client import Client, operator_access
from septum.protocol import facts
from septum.protocol.plan import Plan, StrategyRef
from septum.protocol.views import RunStatus
from septum.silo.witness import accept

pytestmark = pytest.mark.faults

ROUNDS = 80
LARGE = 40_000  # parameters: 160 KB, so that payloads, models and the optimizer's state are files of their own


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    (tmp_path / "federation").mkdir()
    return counting_in(tmp_path, {"north": 16, "south": 20})


@pytest.fixture
def federation(tmp_path: Path, counting: Counting) -> Iterator[Federation]:
    with counting.federation(tmp_path / "federation") as federation:
        federation.start()
        yield federation


def septum(*arguments: str) -> tuple[int, dict[str, object]]:
    command = [sys.executable, "-m", "septum", "coordinator", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def finished_rounds(data_dir: Path) -> dict[str, int]:
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as connection:
        return {run: json.loads(state)["finished"] for run, state in connection.execute("SELECT id, state FROM runs")}


def a_plan(counting: Counting, name: str, **hyper: object) -> Plan:
    """A run that its silos can do again from any round on: the app keeps no state, the server's optimizer does."""
    return counting.plan(name, ROUNDS, {"width": LARGE, "carries": False, **hyper}, strategy=StrategyRef("fedadam"))


def test_a_run_that_is_restored_from_a_backup_ends_at_the_same_model_though_its_silos_are_ahead(
    federation, counting, tmp_path
):
    plan, with_state = a_plan(counting, "plain"), counting.plan("with-state", 100 * ROUNDS, {"carries": True})
    data_dir, backup = federation.operator_dir, tmp_path / "backup"
    with closing(Client(operator_access(data_dir))) as client:
        stateful = client.submit(with_state, key="with-state")
        Journal(client, stateful).until(facts.ModelMade, round=5)
        run = client.submit(plan, key="plain")
        journal = Journal(client, run)
        journal.until(facts.ModelMade, round=5)
        code, made = septum("backup", str(backup), "--data-dir", str(data_dir))
        assert (code, made["data"]["missing"]) == (0, [])
        then = finished_rounds(backup)
        assert 5 <= then[run.id] < ROUNDS - 15
        journal.until(facts.ModelMade, round=then[run.id] + 10)
    port = port_of(federation)
    federation.kill("coordinator")
    assert finished_rounds(data_dir)[run.id] >= then[run.id] + 10
    said_before = len(federation.log("north").read_text())

    data_dir.rename(tmp_path / "lost")
    code, said = septum("restore", str(backup), "--data-dir", str(data_dir))
    assert code == 0, said
    shutil.rmtree(backup)
    assert finished_rounds(data_dir) == then
    federation.start_coordinator(port)

    with closing(Client(operator_access(data_dir))) as client:
        journal = Journal(client, run)
        journal.until(facts.RunEnded)
        assert client.run(run.id).status is RunStatus.FINISHED
        assert client.run(run.id).model == counting.undisturbed(plan)
        assert journal.models_made() == list(range(ROUNDS + 1))
        lines = [json.loads(line) for line in federation.log("north").read_text()[said_before:].splitlines()]
        again = [line["round"] for line in lines if line["event"] == "working" and line["run_id"] == run.id]
        assert then[run.id] < again[0] <= then[run.id] + 2  # of one more round its report may be in the backup

        # An app whose state in the silos has gone on cannot be taken back: that is said, and nobody is stuck.
        Journal(client, stateful).until(facts.RunEnded)
        failed = client.run(stateful.id)
        assert failed.status is RunStatus.FAILED
        assert "the app's state in this silo has gone on: submit anew" in failed.reason
        for site in federation.sites:  # whose agents may have seen more of the audit log than was restored
            accept(site.folder, "a steward", "restored from the backup")
        short = counting.plan("anew", 3, {"carries": True})
        anew = client.submit(short, key="anew")
        Journal(client, anew).until(facts.RunEnded)
        assert client.run(anew.id).model == counting.undisturbed(short)


def test_a_backup_can_be_made_of_a_coordinator_that_has_ended_and_does_not_touch_one_in_use(federation, tmp_path):
    data_dir, backup = federation.operator_dir, tmp_path / "backup"
    federation.process("coordinator").stop()
    code, _ = septum("backup", str(backup), "--data-dir", str(data_dir))
    assert code == 0
    federation.start_coordinator(0)
    code, said = septum("restore", str(backup), "--data-dir", str(data_dir))
    assert (code, said["error"]["code"]) == (1, "conflict")
    assert f"in use by the coordinator with process id {federation.pid('coordinator')}" in said["error"]["message"]
    database = backup / DATABASE_NAME
    with database.open("r+b") as file:
        file.seek(os.path.getsize(database) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    code, said = septum("restore", str(backup), "--data-dir", str(tmp_path / "new"))
    assert (code, said["error"]["code"]) == (1, "digest")
    assert "nothing was written" in said["error"]["message"]
    assert not (tmp_path / "new").exists()
