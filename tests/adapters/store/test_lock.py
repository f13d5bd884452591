"""Does a data directory have one owner, and can an owner that was replaced do no harm?"""

from __future__ import annotations

import os

import pytest

from septum.adapters.store.lock import LOCK_NAME, DirectoryLock
from septum.adapters.store.sqlite import open_store
from septum.errors import ConfigError, ConflictError
from septum.ports.store import Transition
from septum.testing.contracts.samples import busy_run, new_run


def test_the_lock_file_holds_the_owners_process_id(tmp_path):
    lock = DirectoryLock(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_lock_file_without_an_owner_is_no_obstacle(tmp_path):
    (tmp_path / LOCK_NAME).write_text("4194304999\n")
    lock = DirectoryLock(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_an_owner_that_has_not_written_its_id_yet_is_still_an_owner(tmp_path):
    lock = DirectoryLock(tmp_path)
    (tmp_path / LOCK_NAME).write_text("")
    with pytest.raises(ConflictError, match="just starting"):
        DirectoryLock(tmp_path)
    lock.release()


def test_a_released_directory_can_be_owned_again(tmp_path):
    for _ in range(2):
        lock = DirectoryLock(tmp_path)
        lock.release()
        lock.release()


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        DirectoryLock(tmp_path / "nowhere")


def test_a_file_in_place_of_the_data_directory_is_a_clear_error(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match=str(tmp_path / "data")):
        open_store(tmp_path / "data")


def test_the_epoch_grows_with_each_opening(tmp_path):
    for epoch in (1, 2, 3):
        with open_store(tmp_path) as stores:
            assert stores.epoch == epoch


def test_a_store_that_was_taken_over_can_write_nothing_and_the_new_one_can(tmp_path):
    old = open_store(tmp_path)
    old.runs.create(new_run("run-a"), (), at=1.0)
    old.registry.invite("basel", b"1" * 32, expires_at=9.0)
    (tmp_path / LOCK_NAME).unlink()  # as where flock does not work across machines
    with open_store(tmp_path) as new:
        for write in (
            lambda: old.runs.commit([Transition(busy_run("run-a"), 1)], at=2.0),
            lambda: old.runs.create(new_run("run-b"), (), at=2.0),
            lambda: old.registry.invite("chur", b"1" * 32, expires_at=9.0),
            lambda: old.registry.enroll("basel", b"1" * 32, bytes(32), at=2.0),
            lambda: old.registry.revoke("basel"),
            lambda: old.registry.seen(["basel"], at=100.0),
        ):
            with pytest.raises(ConflictError, match=rf"epoch 2, opened by process {os.getpid()} on .*; this one has 1"):
                write()
        assert new.runs.get("run-a").version == 1
        new.runs.commit([Transition(busy_run("run-a"), 1)], at=3.0)
        assert [silo.name for silo in new.registry.all()] == ["basel"]
    old.close()
