"""How ended runs look in lists: kept with the commit that ends them, and made again when another septum made them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.ports.store import Listed, Transition, listed_of
from septum.testing.contracts.samples import busy_run, ended_run, new_run


def change(data_dir, sql):
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as database, database:
        return database.execute(sql).fetchall()


def two_runs(data_dir):
    with open_store(data_dir) as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0, submitter="ada")
        stores.runs.commit([Transition(ended_run("run-a"), 1)], at=2.0)
        stores.runs.create(busy_run("run-b"), (), at=2.0)


def test_what_another_septum_has_made_or_has_not_is_made_when_the_store_is_opened(tmp_path):
    two_runs(tmp_path)
    for damage in (
        "DELETE FROM run_views",
        "UPDATE run_views SET shape = '0.0.9-0', view = '{\"id\":\"as it was shown once\"}'",
    ):
        change(tmp_path, damage)
        with open_store(tmp_path) as stores:
            assert list(stores.runs.listed(limit=9)) == [Listed("run-b"), listed_of(stores.runs.get("run-a"))]


def test_what_this_septum_has_made_is_read_and_not_made_again(tmp_path):
    two_runs(tmp_path)
    change(tmp_path, "UPDATE run_views SET view = 'kept'")
    with open_store(tmp_path) as stores:
        assert stores.runs.listed(limit=9)[1].view == b"kept"


def test_a_list_reads_no_state(tmp_path):
    two_runs(tmp_path)
    with open_store(tmp_path) as stores:
        expected = list(stores.runs.listed(limit=9))
        change(tmp_path, "UPDATE runs SET state = 'damaged'")
        assert list(stores.runs.listed(limit=9)) == expected


def test_a_run_whose_state_cannot_be_read_keeps_no_store_closed(tmp_path, caplog):
    two_runs(tmp_path)
    change(tmp_path, "DELETE FROM run_views")
    change(tmp_path, "UPDATE runs SET state = 'damaged' WHERE id = 'run-a'")
    with open_store(tmp_path) as stores:
        assert list(stores.runs.listed(limit=9)) == [Listed("run-b"), Listed("run-a")]
    assert "run_unreadable" in caplog.text


def test_a_run_that_goes_on_is_no_longer_shown_as_it_ended(tmp_path):
    two_runs(tmp_path)
    with open_store(tmp_path) as stores:
        stores.runs.commit([Transition(busy_run("run-a"), 2)], at=3.0)
        assert stores.runs.listed(limit=9)[1] == Listed("run-a")
        assert change(tmp_path, "SELECT * FROM run_views") == []
