"""Does every data directory that septum ever left still open, with its runs as they were, and do these still end?"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from tests.golden.data_dirs import SCHEMAS, data_dir_of, expected_of
from tests.golden.record_schema import TOKEN, plan_of, stored_fields, write
from tests.golden.silo_work import ROWS, key_of, report_on

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.identity.keys import public_bytes
from septum.adapters.store.migrate import known_revisions
from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.coordinator.driver import Driver, Pace
from septum.coordinator.earlier_models import move_earlier_models
from septum.coordinator.service import RunService
from septum.protocol.audit import AuditFilter
from septum.protocol.codec import from_json, union_from_json
from septum.protocol.messages import Await, End, Instruction, Join
from septum.protocol.run_state import Combine, Discard, Run
from septum.testing.fakes import FakeClock

pytestmark = pytest.mark.laws

schemas = pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.name)


@schemas
def test_runs_are_read_as_they_were_stored(schema, tmp_path):
    data_dir = data_dir_of(schema, tmp_path / "data")
    with open_store(data_dir) as stores:
        pending = {stored.run.id: outbox for stored, outbox in stores.runs.unfinished()}
        for run_id, expected in expected_of(schema).items():
            assert stores.runs.get(run_id).run == from_json(Run, expected["state"])
            outbox = [union_from_json(Combine | Discard, effect) for effect in expected["outbox"]]
            assert [entry.effect for entry in pending.get(run_id, ())] == outbox
            facts = stores.runs.journal(run_id)
            assert [entry.seq for entry in facts] == list(range(1, len(facts) + 1))
        assert any(isinstance(entry.effect, Combine) for entry in pending["r-combining"])


@schemas
def test_silos_and_invitations_are_as_they_were(schema, tmp_path):
    with open_store(data_dir_of(schema, tmp_path / "data")) as stores:
        known = {silo.name: silo for silo in stores.registry.all()}
        assert {name: silo.revoked for name, silo in known.items()} == {
            "east": False,
            "gone": True,
            **dict.fromkeys(ROWS, False),
        }
        for silo in ROWS:
            assert known[silo].public_key == public_bytes(key_of(silo))
        enrolled = stores.registry.enroll("east", TOKEN, public_bytes(key_of("east")), at=9.0)
        assert enrolled.public_key == public_bytes(key_of("east"))


@schemas
def test_an_audit_log_goes_on_or_begins_at_the_upgrade(schema, tmp_path):
    with open_store(data_dir_of(schema, tmp_path / "data")) as stores:
        opened = stores.audit.page(AuditFilter(kind="coordinator.opened"), limit=1)[0]
        assert ("an upgrade" in opened.about.get("because", "")) == (opened.seq == 1)
        assert stores.audit.sign(at=1.0).head.size == stores.audit.check() == opened.seq


@schemas
def test_every_run_ends_at_the_model_that_it_would_have_ended_at_then(schema, tmp_path):
    data_dir = data_dir_of(schema, tmp_path / "data")
    expected = expected_of(schema)
    with open_store(data_dir) as stores:
        blobs = DirectoryBlobs(data_dir / "blobs")
        move_earlier_models(stores.runs, blobs)
        driver = Driver(stores.runs, blobs, FakeClock(), Pace(hold_s=0.2, flush_s=0.02))
        service = RunService(driver, blobs, max_blob_bytes=1 << 20)

        async def serve(silo: str, run_id: str) -> None:
            told: Instruction = await service.exchange(silo, run_id, Join(plan_of(run_id, STRATEGIES[run_id]).digest))
            while not isinstance(told, End):
                told = await service.exchange(silo, run_id, report_on(told, silo) or Await())

        async def finish() -> dict[str, str | None]:
            await driver.start()
            try:
                await asyncio.gather(*(serve(silo, run_id) for silo in ROWS for run_id in expected))
                return {run_id: (await service.run(run_id)).model for run_id in expected}
            finally:
                await driver.close()

        ended = asyncio.run(finish())
    assert ended == {run_id: one["final"] for run_id, one in expected.items()}


STRATEGIES = {"r-open": "fedadam", "r-combining": "fedavg", "r-ended": "fedavgm"}


def test_every_schema_has_its_golden_data_directory_and_none_is_skipped():
    assert {path.name.removeprefix("schema-") for path in SCHEMAS} == known_revisions()
    for schema in SCHEMAS:
        dumped = f"INSERT INTO \"alembic_version\" VALUES('{schema.name.removeprefix('schema-')}')"
        assert dumped in (schema / "dump.sql").read_text()


def test_what_is_stored_has_the_fields_of_the_newest_schema():
    """Otherwise an older septum would stumble over a database of this one: see record_schema.py for what to do."""
    assert stored_fields() == json.loads((SCHEMAS[-1] / "fields.json").read_text())


def test_recording_never_changes_what_is_there(tmp_path):
    written = write(tmp_path)
    assert written is not None
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert write(tmp_path) is None
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    data_dir = data_dir_of(written, tmp_path / "data")
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as database:
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
