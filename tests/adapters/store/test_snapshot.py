"""Is a copied database of one moment, whatever is committed meanwhile?"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from septum.adapters.ownership import refuse_owned
from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.adapters.store.snapshot import copy_database, needs_of
from septum.errors import ConfigError, ConflictError, StorageError
from septum.ports.store import Transition
from septum.protocol.facts import ModelMade, SiloModel, SiloModelsKept
from septum.protocol.messages import blob_of
from septum.testing.contracts.samples import COMBINE, CONTRIBUTIONS, MODEL, busy_run, ended_run, new_run

UPDATE = blob_of(b"an update").without_bytes()


def versions_in(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT version FROM runs").fetchall()


def test_nothing_can_be_committed_while_the_state_is_chosen_and_what_comes_later_is_not_in_the_copy(tmp_path):
    with open_store(tmp_path / "data") as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
        committed = threading.Event()
        later = threading.Thread(
            target=lambda: (stores.runs.commit([Transition(busy_run("run-a"), 1)], at=2.0), committed.set())
        )

        def while_still():
            later.start()
            assert not committed.wait(0.3)

        snapshot = copy_database(tmp_path / "data" / DATABASE_NAME, tmp_path / "copy", while_still)
        later.join()
        assert snapshot.epoch == stores.epoch
        assert stores.runs.get("run-a").version == 2
    assert versions_in(tmp_path / "copy") == [(1,)]


def test_a_copy_is_one_file_for_its_owner_alone(tmp_path):
    with open_store(tmp_path / "data"):
        copy_database(tmp_path / "data" / DATABASE_NAME, tmp_path / "copy", lambda: None)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("copy")] == ["copy"]
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600


def test_a_database_that_stays_locked_is_not_copied(tmp_path, monkeypatch):
    monkeypatch.setattr("septum.adapters.store.snapshot.LOCK_WAIT_S", 0.05)
    open_store(tmp_path / "data").close()
    source = tmp_path / "data" / DATABASE_NAME
    with closing(sqlite3.connect(source)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            copy_database(source, tmp_path / "copy", lambda: None)


def test_a_damaged_database_is_not_copied_as_if_it_were_whole(tmp_path):
    with open_store(tmp_path / "data") as stores:
        for number in range(50):
            stores.runs.create(new_run(f"run-{number}"), (), at=1.0)
    source = tmp_path / "data" / DATABASE_NAME
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = b"\xff" * 8192
    source.write_bytes(data)
    with pytest.raises(StorageError, match=rf"{source} is damaged"):
        copy_database(source, tmp_path / "copy", lambda: None)


def test_a_database_of_something_else_is_no_coordinators(tmp_path):
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE notes (id)")
    with pytest.raises(ConfigError, match="no coordinator's database"):
        copy_database(tmp_path / "other", tmp_path / "copy", lambda: None)


def test_what_each_run_needs_is_read_from_states_outboxes_and_journals(tmp_path):
    with open_store(tmp_path / "data") as stores:
        stores.runs.create(busy_run("busy"), (), at=1.0)
        stores.runs.create(new_run("combining"), (), at=1.0)
        stores.runs.commit([Transition(new_run("combining"), 1, (COMBINE,))], at=2.0)
        kept = SiloModelsKept(1, MODEL, {"north": SiloModel(MODEL, UPDATE, 1.0)})
        stores.runs.create(ended_run("ended"), (ModelMade(0, MODEL), kept), at=1.0)
        copy_database(tmp_path / "data" / DATABASE_NAME, tmp_path / "copy", lambda: None)
    payloads = frozenset(given.payload.digest for given in CONTRIBUTIONS.values())
    model = frozenset({MODEL.digest})
    found = {needs.run: (needs.models, needs.payloads, needs.optimizers) for needs in needs_of(tmp_path / "copy")}
    updates = {needs.run: needs.updates for needs in needs_of(tmp_path / "copy") if needs.updates}
    assert updates == {"ended": frozenset({UPDATE.digest})}
    assert found == {
        "busy": (model, payloads, model),
        "combining": (model, payloads, frozenset()),
        "ended": (model, frozenset(), frozenset()),
    }


def test_whether_a_directory_is_owned_can_be_asked_without_changing_it(tmp_path):
    refuse_owned(tmp_path, "the coordinator")
    refuse_owned(tmp_path / "nowhere", "the coordinator")
    assert list(tmp_path.iterdir()) == []
    with open_store(tmp_path), pytest.raises(ConflictError, match="in use by the coordinator with process id"):
        refuse_owned(tmp_path, "the coordinator")
    refuse_owned(tmp_path, "the coordinator")
    open_store(tmp_path).close()
