"""What a SQLite database held, PostgreSQL holds once it was moved, or it was not moved. A backup brings it back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from tests.golden.data_dirs import SCHEMAS, data_dir_of, expected_of

from septum.adapters.ownership import LOCK_NAME
from septum.adapters.store import copying, moving
from septum.adapters.store.copying import Held, held_in
from septum.adapters.store.moving import move_to_postgres
from septum.adapters.store.open import DATABASE_NAME, MOVED_NAME, open_store
from septum.adapters.store.postgres_address import PostgresAddress, read_address
from septum.coordinator.backup import back_up
from septum.coordinator.restore import restore
from septum.errors import ConfigError, ConflictError, StorageError
from septum.ports.groups import Group
from septum.ports.store import Transition
from septum.protocol.codec import from_json
from septum.protocol.feed import Change, Kind
from septum.protocol.run_state import Run
from septum.testing.contracts.samples import COMBINE, FACTS, busy_run, new_run

pytestmark = pytest.mark.processes


@pytest.fixture
def address(postgres):
    """Of a new, empty database."""
    with postgres.database() as name:
        yield postgres.address(name)


@pytest.fixture
def data_dir(tmp_path):
    """As a coordinator left it, with something of everything; its newest effect and change are not there any more."""
    folder = data_dir_of(SCHEMAS[0], tmp_path / "data")
    with open_store(folder) as stores:
        stores.groups.add(Group("größe-7", created_at=1 / 3))
        stores.feed.add([Change(Kind.GROUP_ADDED, "ada", group=f"größe-{n}") for n in range(300)], at=0.1)
        stores.runs.create(replace(new_run("r-large"), reason="x" * 2**20), FACTS, at=1.0)
        ((effect,),) = stores.runs.commit([Transition(busy_run("r-large"), 1, (COMBINE,))], at=2.0)
        stores.runs.commit([Transition(busy_run("r-large"), 2, (), (effect.id,))], at=3.0)
    return folder


def held(stores):
    with stores.runs._database.read() as connection:
        return held_in(connection)


def kept(found):
    """What opening a database again does not change."""
    return {name: one for name, one in found.items() if name not in ("coordinator", "openings", "audit")}


def test_everything_is_there_and_the_coordinator_goes_on_from_it(data_dir, address):
    with open_store(data_dir) as stores:
        before, epoch = held(stores), stores.epoch
        runs, newest = stores.runs.unfinished(), stores.feed.newest()
    moved = move_to_postgres(data_dir, address)
    assert moved == before
    assert moved["feed"].rows == 300
    with open_store(data_dir, address) as stores:
        assert (kept(held(stores)), stores.epoch) == (kept(before), epoch + 1)
        assert stores.runs.unfinished() == runs
        for run_id, expected in expected_of(SCHEMAS[0]).items():
            assert stores.runs.get(run_id).run == from_json(Run, expected["state"])
        stores.feed.add([Change(Kind.GROUP_ADDED, "ada", group="new")], at=1.0)
        assert stores.feed.newest() > newest


def test_numbers_that_were_given_out_are_not_given_again(data_dir, address, tmp_path):
    with open_store(data_dir) as stores:
        stores.runs.create(new_run("r-new"), (), at=1.0)
        ((gone,),) = stores.runs.commit([Transition(new_run("r-new"), 1, (COMBINE,))], at=2.0)
        stores.runs.commit([Transition(new_run("r-new"), 2, (), (gone.id,))], at=3.0)
    move_to_postgres(data_dir, address)
    with open_store(data_dir, address) as stores:
        ((there,),) = stores.runs.commit([Transition(new_run("r-new"), 3, (COMBINE,))], at=4.0)
        assert there.id > gone.id
        stores.runs.commit([Transition(new_run("r-new"), 4, (), (there.id,))], at=3.0)
    back_up(data_dir, tmp_path / "backup", 1.0, address=address)
    restore(tmp_path / "backup", tmp_path / "restored")
    with open_store(tmp_path / "restored") as stores:
        ((back,),) = stores.runs.commit([Transition(new_run("r-new"), 5, (COMBINE,))], at=4.0)
        assert back.id > there.id


def test_nobody_starts_from_the_database_of_before(data_dir, address):
    with pytest.raises(ConfigError, match=rf"{data_dir} has a SQLite database, and \[store\] names") as caught:
        open_store(data_dir, address)
    assert caught.value.hint == f"septum coordinator migrate --data-dir {data_dir} --to '{address.url}'"
    move_to_postgres(data_dir, address)
    assert not (data_dir / DATABASE_NAME).exists()
    with pytest.raises(ConfigError, match=r"was moved to PostgreSQL, and no \[store\] says where"):
        open_store(data_dir)
    with pytest.raises(ConfigError, match=f"it was moved before, and is {MOVED_NAME} now"):
        move_to_postgres(data_dir, address)


def test_a_database_with_something_in_it_is_left_alone(data_dir, address, tmp_path):
    with open_store(tmp_path / "other", address) as other:
        other.groups.add(Group("theirs"))
        before = held(other)
    with pytest.raises(ConflictError, match=rf"the PostgreSQL database {address.database} at .* is not empty"):
        move_to_postgres(data_dir, address)
    with open_store(tmp_path / "other", address) as other:
        assert kept(held(other)) == kept(before)
    open_store(data_dir).close()  # nor was the other one changed


def test_a_coordinator_that_runs_is_not_moved(data_dir, address):
    with open_store(data_dir), pytest.raises(ConflictError, match="in use by the coordinator with process id"):
        move_to_postgres(data_dir, address)
    assert (data_dir / LOCK_NAME).exists()


class Killed(BaseException):
    """No error that is handled."""


@pytest.mark.parametrize("at", ["held_in", "_set_aside"])
def test_killed_anywhere_the_same_command_goes_on(data_dir, address, monkeypatch, at):
    with open_store(data_dir) as stores:
        before = held(stores)
    with monkeypatch.context() as patched:
        patched.setattr(moving, at, lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            move_to_postgres(data_dir, address)
    assert (data_dir / DATABASE_NAME).exists()
    assert move_to_postgres(data_dir, address) == before
    with open_store(data_dir, address) as stores:
        assert kept(held(stores)) == kept(before)


def test_what_comes_back_differently_is_found_and_nothing_is_moved(data_dir, address, monkeypatch):
    def careless(connection):
        connection.exec_driver_sql("UPDATE silo_groups SET created_at = 2 WHERE name = 'größe-7'")
        return held_in(connection)

    monkeypatch.setattr(moving, "held_in", careless)
    with pytest.raises(StorageError, match="gives back other rows of silo_groups than it got"):
        move_to_postgres(data_dir, address)
    monkeypatch.undo()
    move_to_postgres(data_dir, address)


def test_the_copy_is_read_in_small_batches(data_dir, address, monkeypatch):
    sizes = []
    monkeypatch.setattr(copying, "MOST_ROWS", 7)
    add = copying._Digest.add
    monkeypatch.setattr(copying._Digest, "add", lambda self, rows: (sizes.append(len(rows)), add(self, rows))[1])
    with open_store(data_dir) as stores:
        before = held(stores)
    assert move_to_postgres(data_dir, address) == before
    assert max(sizes) == copying._FIRST_ROWS
    assert sorted(sizes)[len(sizes) // 2] <= 7


def test_a_digest_tells_of_one_changed_letter(data_dir):
    with open_store(data_dir) as stores:
        before = held(stores)
        with stores.runs._database.write() as connection:
            connection.exec_driver_sql("UPDATE silo_groups SET open_to = 'x' WHERE name = 'größe-7'")
        after = held(stores)
    assert {name for name, one in after.items() if one != before[name]} == {"silo_groups"}
    assert all(isinstance(one, Held) for one in after.values())


def test_a_backup_is_of_one_moment_while_the_coordinator_writes(data_dir, address, tmp_path):
    """It is the same as one from SQLite: a folder that restores to a directory with a SQLite file."""
    move_to_postgres(data_dir, address)
    (data_dir / "coordinator.toml").write_text(f'[store]\nurl = "{address.url}"\n')
    with open_store(data_dir, address) as stores:
        before = held(stores)
        made = back_up(data_dir, tmp_path / "backup", 1.0, address=address)
        stores.groups.add(Group("later"))  # the coordinator goes on
    assert made.epoch == stores.epoch
    assert MOVED_NAME not in made.files
    restore(tmp_path / "backup", tmp_path / "restored")
    with closing(sqlite3.connect(tmp_path / "restored" / DATABASE_NAME)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    with pytest.raises(ConfigError, match=r"has a SQLite database, and \[store\] names"):  # of before
        open_store(tmp_path / "restored", address)
    with open_store(tmp_path / "restored") as restored:
        assert kept(held(restored)) == kept(before)


def test_a_backup_of_what_is_no_coordinators_database_leaves_nothing(data_dir, address, tmp_path):
    with pytest.raises(ConfigError, match="is no coordinator's database"):
        back_up(data_dir, tmp_path / "backup", 1.0, address=address)
    assert not (tmp_path / "backup").exists()


def test_the_url_that_is_shown_leads_to_the_same_place():
    for host, port in (("db.example.org", 5432), ("::1", 6543), ("/run/postgresql", 5432)):
        address = PostgresAddress(host, port, "ada@x", "septum")
        assert read_address(address.url) == address
