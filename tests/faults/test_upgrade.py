"""Fault 22: a coordinator is upgraded in the middle of runs. They end as they would have; the way back is refused.

The old coordinator is a golden data directory: what a septum of the first schema left behind when it was killed.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.faults.counting import until
from tests.golden.data_dirs import SCHEMAS, data_dir_of, expected_of
from tests.golden.silo_work import ROWS, key_of, report_on

from septum import __version__
from septum.adapters.channel.https import HttpsChannel
from septum.adapters.channel.proxy import ProxySettings
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.store.migrate import newest_revision
from septum.adapters.store.open import DATABASE_NAME
from septum.cli.process import Process
from septum.client import Client, operator_access
from septum.errors import AuthError, VersionError
from septum.protocol.messages import Await, End, Instruction, Invitation, Join
from septum.protocol.versions import Wire
from septum.protocol.views import RunStatus

pytestmark = pytest.mark.faults

FIRST = SCHEMAS[0]
PATIENCE_S = 60.0


def septum(*arguments: str) -> tuple[int, dict[str, object]]:
    command = [sys.executable, "-m", "septum", "coordinator", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def schema_of(data_dir: Path) -> str:
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


@contextmanager
def coordinator(data_dir: Path, log: Path) -> Iterator[str]:
    """A real one, of today; where it is."""
    where = ["--data-dir", str(data_dir), "--listen", "127.0.0.1:0", "--hostname", "127.0.0.1"]
    process = Process(["coordinator", "start", "--json", *where], log)
    try:
        process.wait_for_event("ready", PATIENCE_S)
        yield operator_access(data_dir).url
    finally:
        process.stop()


def channel_of(silo: str, url: str, data_dir: Path, wire: Wire | None = None) -> HttpsChannel:
    signer, ca_file = Ed25519Signer(silo, key_of(silo)), data_dir / "tls" / "ca.crt"
    return HttpsChannel(url, signer, ca_file=ca_file, proxies=ProxySettings(), **({"wire": wire} if wire else {}))


def serve(channel: HttpsChannel, silo: str, runs: int) -> None:
    """A silo that has outlived its coordinator's upgrade: it takes so many runs, each to its end."""
    served: list[str] = []
    with closing(channel):
        while len(served) < runs:
            offer = channel.poll(served)
            if not isinstance(offer, Invitation):
                continue
            served.append(offer.run)
            told: Instruction = channel.exchange(offer.run, Join(offer.plan.digest))
            while not isinstance(told, End):
                told = channel.exchange(offer.run, report_on(told, silo) or Await())


def test_runs_that_were_at_work_under_the_first_schema_end_at_their_models_under_todays(tmp_path):
    old = data_dir_of(FIRST, tmp_path / "old")
    code, said = septum("backup", str(tmp_path / "backup"), "--data-dir", str(old))
    assert (code, said["data"]["schema"], said["data"]["missing"]) == (0, schema_of(old), [])
    assert schema_of(old) == FIRST.name.removeprefix("schema-")  # a backup before the upgrade changes nothing
    code, _ = septum("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "data"))
    assert code == 0
    data_dir, expected = tmp_path / "data", expected_of(FIRST)
    at_work = [run for run, one in expected.items() if one["state"]["outcome"] is None]
    with (
        coordinator(data_dir, tmp_path / "coordinator.log") as url,
        closing(Client(operator_access(data_dir))) as client,
    ):
        silos = [
            threading.Thread(target=serve, args=(channel_of(silo, url, data_dir), silo, len(at_work)), daemon=True)
            for silo in ROWS
        ]
        for silo in silos:
            silo.start()
        until(lambda: not any(silo.is_alive() for silo in silos), "every silo has served every run to its end")
        for run in expected:
            assert client.run(run).status is RunStatus.FINISHED
            assert client.run(run).model == expected[run]["final"]
            made = [model.round for model in client.models(run)]
            assert made == list(range(len(made)))
    assert schema_of(data_dir) > schema_of(old)


def test_an_older_program_names_both_versions_of_a_newer_database_and_writes_nothing(tmp_path):
    data_dir = data_dir_of(SCHEMAS[-1], tmp_path / "data")
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("UPDATE alembic_version SET version_num = '0417'")
        database.execute("UPDATE openings SET septum = '9.1.0'")
    before = (data_dir / DATABASE_NAME).read_bytes()
    code, said = septum("start", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0")
    assert (code, said["error"]["code"]) == (2, "config")
    assert "has schema version 0417, written by septum 9.1.0" in said["error"]["message"]
    assert f"this is septum {__version__}, which knows versions up to {newest_revision()}" in said["error"]["message"]
    assert "septum[coordinator]==9.1.0" in said["error"]["hint"]
    assert (data_dir / DATABASE_NAME).read_bytes() == before
    assert not (data_dir / "operator.json").exists()
    code, said = septum("backup", str(tmp_path / "backup"), "--data-dir", str(data_dir))
    assert code == 2
    assert "schema version 0417" in said["error"]["message"]
    assert not (tmp_path / "backup").exists()


def test_a_silo_that_was_upgraded_before_its_coordinator_is_told_which_of_them_to_upgrade(tmp_path):
    data_dir = data_dir_of(FIRST, tmp_path / "data")
    with coordinator(data_dir, tmp_path / "coordinator.log") as url:
        with closing(channel_of("north", url, data_dir, Wire("septum-protocol", 2))) as early:
            with pytest.raises(VersionError, match="the silo speaks septum-protocol 2, the coordinator 1 only") as told:
                early.poll(())
            assert "upgrade the coordinator" in told.value.hint
        with closing(channel_of("north", url, data_dir)) as today:
            assert isinstance(today.poll(()), Invitation)
        with closing(channel_of("gone", url, data_dir)) as revoked, pytest.raises(AuthError):
            revoked.poll(())
