"""Does what was stored come back, and does what cannot be stored change nothing?"""

from __future__ import annotations

import itertools
import os
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from tests.protocol.histories import lives, play

from septum.adapters.store import runs
from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.adapters.store.registry import SEEN_LAG_S
from septum.errors import MessageError, SeptumError, StorageError, TooLargeError
from septum.ports.store import Transition
from septum.protocol.codec import dumps, to_json
from septum.protocol.facts import ModelMeasured, SiloFailed
from septum.protocol.messages import Stage
from septum.protocol.run import create
from septum.protocol.run_state import Note
from septum.testing.contracts.samples import COMBINE, FACTS, METRICS, busy_run, new_run


@pytest.fixture
def stores(tmp_path):
    with open_store(tmp_path / "data") as stores:
        yield stores


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One store for all the histories: each is a run of its own."""
    with open_store(tmp_path_factory.mktemp("histories")) as stores:
        yield stores.runs, itertools.count(1)


@pytest.mark.laws
@settings(max_examples=60)
@given(world=lives())
def test_every_state_that_a_run_reaches_survives_storing(shared, world):
    runs, numbers = shared
    run_id = f"run-{next(numbers)}"
    run, effects = create(run_id, world.run.plan, 0.0)
    facts = [effect.fact for effect in effects if isinstance(effect, Note)]
    version, outbox = runs.create(run, facts, at=0.0).version, []
    for moved in play(world.run.plan, world.history):
        run = replace(moved.after, id=run_id)
        new = [effect.fact for effect in moved.effects if isinstance(effect, Note)]
        todo = tuple(effect for effect in moved.effects if not isinstance(effect, Note))
        (pending,) = runs.commit([Transition(run, version, todo, (), tuple(new))], at=1.0)
        version, outbox, facts = version + 1, [*outbox, *pending], [*facts, *new]
        stored = runs.get(run_id)
        assert (stored.run, stored.version) == (run, version)
        assert dumps(to_json(stored.run)) == dumps(to_json(run))
        assert stored.run.plan.digest == run.plan.digest
    assert [entry.fact for entry in runs.journal(run_id, limit=10_000)] == facts
    unfinished = {stored.run.id: pending for stored, pending in runs.unfinished()}
    assert unfinished.get(run_id, ()) == tuple(outbox)


def test_all_of_it_is_there_after_the_store_was_closed(tmp_path):
    with open_store(tmp_path) as stores:
        stores.runs.create(busy_run("run-a"), FACTS, at=1.0)
        (pending,) = stores.runs.commit([Transition(busy_run("run-a"), 1, (COMBINE,))], at=2.0)
        stores.registry.invite("basel", b"1" * 32, expires_at=9.0)
        stores.registry.enroll("basel", b"1" * 32, bytes(32), at=3.0)
        silos = stores.registry.all()
    with open_store(tmp_path) as stores:
        ((stored, outbox),) = stores.runs.unfinished()
        assert (stored.run, stored.version, stored.created_at) == (busy_run("run-a"), 2, 1.0)
        assert outbox == pending
        assert tuple(entry.fact for entry in stores.runs.journal("run-a")) == FACTS
        assert stores.registry.all() == silos


def test_ids_of_effects_are_not_given_again_after_a_restart(tmp_path):
    with open_store(tmp_path) as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
        ((first,),) = stores.runs.commit([Transition(new_run("run-a"), 1, (COMBINE,))], at=2.0)
        stores.runs.commit([Transition(new_run("run-a"), 2, (), (first.id,))], at=3.0)
    with open_store(tmp_path) as stores:
        ((second,),) = stores.runs.commit([Transition(new_run("run-a"), 3, (COMBINE,))], at=4.0)
        assert second.id > first.id


def test_nobody_else_may_read_what_is_in_the_data_directory(tmp_path):
    before = os.umask(0)
    try:
        with open_store(tmp_path / "data") as stores:
            stores.runs.create(new_run("run-a"), (), at=1.0)
            modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
    finally:
        os.umask(before)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert modes == dict.fromkeys(
        ("lock", "audit-key.pem", DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm"), 0o600
    )


def test_a_commit_that_returned_is_on_the_disk(stores):
    with stores.runs._database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL: WAL is synced at each commit
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_readers_cannot_write(stores):
    with pytest.raises(SeptumError, match="readonly"), stores.runs._database.read() as connection:
        connection.exec_driver_sql("DELETE FROM runs")


def test_a_full_disk_changes_nothing_and_says_which(stores, tmp_path):
    stores.runs.create(new_run("run-a"), (), at=1.0)
    writer = stores.runs._database._backend._writer
    pages = writer.exec_driver_sql("PRAGMA page_count").scalar()
    writer.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
    writer.rollback()
    failed = SiloFailed("basel", Stage.TRAIN, 1, 1, "it raised", "x" * 20_000)
    full = Transition(busy_run("run-a"), 1, (COMBINE,), (), (failed,))
    with pytest.raises(SeptumError, match=rf"no space left for the database {tmp_path}.*nothing was changed") as error:
        stores.runs.commit([full], at=2.0)
    assert "df -h" in error.value.hint
    assert stores.runs.get("run-a").run == new_run("run-a")
    assert stores.runs.journal("run-a") == []
    writer.exec_driver_sql("PRAGMA max_page_count = 1000000")
    writer.rollback()
    stores.runs.commit([full], at=3.0)
    assert stores.runs.get("run-a").version == 2


def test_a_database_that_another_program_holds_is_a_conflict_and_then_works_again(tmp_path, monkeypatch):
    monkeypatch.setattr("septum.adapters.store.sqlite_file.BUSY_TIMEOUT_S", 0.05)
    with open_store(tmp_path) as stores, closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
        stores.runs.create(new_run("run-a"), (), at=1.0)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=rf"{tmp_path}.* locked .* nothing was changed"):
            stores.runs.commit([Transition(busy_run("run-a"), 1)], at=2.0)
        assert stores.runs.get("run-a").version == 1  # reading goes on meanwhile
        other.rollback()
        stores.runs.commit([Transition(busy_run("run-a"), 1)], at=3.0)
        assert stores.runs.get("run-a").version == 2


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / DATABASE_NAME).write_bytes(b"not a database, but long enough to look at" * 100)
    for _ in range(2):  # the second time: the lock was given back
        with pytest.raises(SeptumError, match=rf"{tmp_path / DATABASE_NAME} is damaged"):
            open_store(tmp_path)


def test_a_fact_that_is_not_finite_changes_nothing(stores):
    stores.runs.create(new_run("run-a"), (), at=1.0)
    wrong = ModelMeasured(1, replace(METRICS, log_loss=float("nan")), {})
    with pytest.raises(MessageError, match="finite"):
        stores.runs.commit([Transition(busy_run("run-a"), 1, (), (), (wrong,))], at=2.0)
    assert stores.runs.get("run-a").version == 1


def test_what_could_not_be_read_again_is_not_written(stores, monkeypatch):
    stores.runs.create(new_run("run-a"), (), at=1.0)
    monkeypatch.setattr(runs, "MAX_ENTRY_BYTES", 2000)
    wordy = replace(new_run("run-a"), reason="x" * 3000)
    with pytest.raises(TooLargeError, match=r"run run-a: .* at most 2000"):
        stores.runs.commit([Transition(wordy, 1)], at=2.0)
    assert stores.runs.get("run-a").version == 1


def test_a_state_larger_than_a_message_comes_back(stores):
    wordy = replace(new_run("run-a"), failures={f"silo-{number}": "é" * 500 for number in range(1000)})
    stores.runs.create(wordy, (), at=1.0)
    assert stores.runs.get("run-a").run == wordy


def seen_on_disk(data_dir):
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as connection:
        return dict(connection.execute("SELECT name, seen_at FROM silos").fetchall())


def test_seen_is_written_together_every_few_seconds_and_at_the_end(tmp_path):
    with open_store(tmp_path) as stores:
        for silo in ("basel", "chur"):
            stores.registry.invite(silo, b"1" * 32, expires_at=9.0)
        stores.registry.seen(["basel"], at=1000.0)
        stores.registry.seen(["basel"], at=1001.0)
        stores.registry.seen(["basel"], at=1000.5)  # a thread that was late
        stores.registry.seen(["chur"], at=1002.0)
        assert seen_on_disk(tmp_path) == {"basel": 1000.0, "chur": 0.0}
        assert [silo.seen_at for silo in stores.registry.all()] == [1001.0, 1002.0]
        stores.registry.seen(["chur"], at=1000.0 + SEEN_LAG_S)
        assert seen_on_disk(tmp_path) == {"basel": 1001.0, "chur": 1005.0}
        stores.registry.seen(["basel"], at=1006.0)
    assert seen_on_disk(tmp_path) == {"basel": 1006.0, "chur": 1005.0}
    with open_store(tmp_path) as stores:
        stores.registry.seen(["basel"], at=900.0)  # the clock was set back
    assert seen_on_disk(tmp_path) == {"basel": 1006.0, "chur": 1005.0}


def test_a_database_that_cannot_be_written_is_named_with_where_to_look(stores, tmp_path):
    stores.runs.create(new_run("run-a"), (), at=1.0)
    writer = stores.runs._database._backend._writer
    writer.exec_driver_sql("PRAGMA query_only = ON")  # SQLite answers as for a file without the right to write
    writer.rollback()
    with pytest.raises(
        StorageError, match=rf"{tmp_path}.* cannot be written: .*readonly.*nothing was changed"
    ) as error:
        stores.runs.commit([Transition(busy_run("run-a"), 1)], at=2.0)
    assert "ls -ld" in error.value.hint
    writer.exec_driver_sql("PRAGMA query_only = OFF")
    writer.rollback()
    stores.runs.commit([Transition(busy_run("run-a"), 1)], at=3.0)


def test_who_was_seen_while_the_database_was_held_is_written_later(tmp_path, monkeypatch):
    monkeypatch.setattr("septum.adapters.store.sqlite_file.BUSY_TIMEOUT_S", 0.05)
    with open_store(tmp_path) as stores, closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
        for silo in ("basel", "chur"):
            stores.registry.invite(silo, b"1" * 32, expires_at=9.0)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            stores.registry.seen(["basel", "chur"], at=1000.0)
        other.rollback()
        stores.registry.seen(["chur"], at=1003.0)
        stores.registry.flush()
        assert seen_on_disk(tmp_path) == {"basel": 1000.0, "chur": 1003.0}


def test_a_store_can_be_closed_while_the_database_is_held(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("septum.adapters.store.sqlite_file.BUSY_TIMEOUT_S", 0.05)
    stores = open_store(tmp_path)
    stores.registry.invite("basel", b"1" * 32, expires_at=9.0)
    stores.registry.seen(["basel"], at=1000.0)
    stores.registry.seen(["basel"], at=1001.0)
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
        other.execute("BEGIN IMMEDIATE")
        stores.close()
    assert "seen_not_written" in caplog.text
    open_store(tmp_path).close()  # the lock was given back
