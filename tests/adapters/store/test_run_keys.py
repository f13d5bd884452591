"""A salt that was deleted is in no file of the database, however the table has grown."""

from __future__ import annotations

import sqlite3
import traceback
from contextlib import closing

import pytest

from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.errors import NotFoundError, StorageError
from septum.protocol.feed import Change, Kind
from septum.testing.contracts.samples import ended_run

RUNS = 700  # the table has many pages, and was divided again and again


def files_with(folder, secret):
    return [path.name for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


def driver_of(stores):
    return stores.run_keys._database._backend._writer.connection.driver_connection


@pytest.fixture
def stores(tmp_path):
    with open_store(tmp_path) as stores:
        yield stores


def test_nothing_of_a_deleted_salt_is_in_any_file_and_all_others_are_as_they_were(stores, tmp_path):
    driver_of(stores).execute("PRAGMA secure_delete=OFF")  # some builds of SQLite have it on, most have it not
    names = [f"run-{number * 7919 % RUNS:04}" for number in range(RUNS)]  # in no order
    for name in names:
        stores.runs.create(ended_run(name), (), at=1.0)
    salts = {name: stores.run_keys.salt(name) for name in names}
    gone = names[::50]
    assert all(files_with(tmp_path, salts[name]) for name in gone)  # the search finds what is there
    for name in gone:
        stores.run_keys.shred(name, by="ada", at=2.0)
        assert files_with(tmp_path, salts[name]) == []
    kept = [name for name in names if name not in gone]
    assert {name: stores.run_keys.salt(name) for name in kept} == {name: salts[name] for name in kept}


def test_while_somebody_reads_an_older_state_it_says_that_something_may_be_left_and_is_asked_again(stores, tmp_path):
    stores.runs.create(ended_run("run-a"), (), at=1.0)
    salt = stores.run_keys.salt("run-a")
    driver_of(stores).execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME, isolation_level=None)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT * FROM run_keys").fetchall()
        with pytest.raises(StorageError, match="may still be in"):
            stores.run_keys.shred("run-a", by="ada", at=2.0)
        with pytest.raises(NotFoundError, match="was shredded by ada"):
            stores.run_keys.salt("run-a")
    stores.run_keys.shred("run-a", by="bob", at=3.0)
    assert files_with(tmp_path, salt) == []
    assert stores.runs.get("run-a").shredded_by == "ada"


def test_it_is_told_once_in_the_commit_that_does_it(stores):
    stores.runs.create(ended_run("run-a"), (), at=1.0)
    for name, told in (("run-a", 1), ("run-x", 1)):
        with stores.feed.telling([Change(Kind.RUN_SHREDDED, "ada", name)], at=2.0):
            if name == "run-x":
                with pytest.raises(NotFoundError):
                    stores.run_keys.shred(name, by="ada", at=2.0)
            else:
                stores.run_keys.shred(name, by="ada", at=2.0)
        assert [entry.change.kind for entry in stores.feed.after(0)].count(Kind.RUN_SHREDDED) == told


def test_what_could_not_be_written_is_in_no_error_that_a_log_may_have(stores):
    driver_of(stores).execute("DROP TABLE run_keys")
    with pytest.raises(StorageError) as error:
        stores.runs.create(ended_run("run-a"), (), at=1.0)
    told = "".join(traceback.format_exception(error.value))
    assert "INSERT INTO run_keys" in told
    assert "[parameters:" not in told


@pytest.mark.processes
def test_on_postgresql_no_file_of_the_table_has_it_once_nobody_reads_an_older_state(postgres, tmp_path):
    with postgres.store() as name, open_store(tmp_path, postgres.address(name)) as stores:
        for number in range(20):
            stores.runs.create(ended_run(f"run-{number}"), (), at=1.0)
        salts = [stores.run_keys.salt(f"run-{number}") for number in range(20)]
        folder = postgres.folder / "data" / "base"
        postgres.run("CHECKPOINT", name)
        assert files_with(folder, salts[3])  # the search finds what is there
        stores.run_keys.shred("run-3", by="ada", at=2.0)
        postgres.run("CHECKPOINT", name)
        assert files_with(folder, salts[3]) == []
        assert files_with(folder, salts[4])
        assert [stores.run_keys.salt(f"run-{number}") for number in (2, 4)] == [salts[2], salts[4]]


@pytest.mark.processes
def test_on_postgresql_a_backup_that_reads_the_table_is_waited_for_a_while_and_then_named(postgres, tmp_path):
    with postgres.store() as name, open_store(tmp_path, postgres.address(name)) as stores:
        stores.runs.create(ended_run("run-a"), (), at=1.0)
        with postgres.session(name) as backup:
            backup.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ())
            backup.run("SELECT * FROM run_keys", ())
            with pytest.raises(StorageError, match="may still be in the table run_keys"):
                stores.run_keys.shred("run-a", by="ada", at=2.0)
            assert stores.runs.get("run-a").shredded_by == "ada"
            backup.run("ROLLBACK", ())
        stores.run_keys.shred("run-a", by="bob", at=3.0)


@pytest.mark.processes
def test_on_postgresql_who_may_still_see_the_row_is_waited_for_and_named_though_they_do_not_read_the_table(
    postgres, tmp_path
):
    with postgres.store() as name, open_store(tmp_path, postgres.address(name)) as stores:
        stores.runs.create(ended_run("run-a"), (), at=1.0)
        salt, folder = stores.run_keys.salt("run-a"), postgres.folder / "data" / "base"
        with postgres.session(name) as backup:
            backup.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ())
            backup.run("SELECT * FROM coordinator", ())
            with pytest.raises(StorageError, match="may still be in the table run_keys"):
                stores.run_keys.shred("run-a", by="ada", at=2.0)
            backup.run("ROLLBACK", ())
        stores.run_keys.shred("run-a", by="bob", at=3.0)
        postgres.run("CHECKPOINT", name)
        assert files_with(folder, salt) == []
