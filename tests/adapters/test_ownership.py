"""Does a data directory have one owner, and can an owner that was replaced do no harm?"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from septum.adapters.ownership import LOCK_NAME, DirectoryLock, end_owner, owner_of
from septum.adapters.store.open import open_store
from septum.errors import ConfigError, ConflictError, TimedOutError
from septum.ports.store import Transition
from septum.testing.contracts.samples import busy_run, new_run


def test_the_lock_file_holds_the_owners_process_id(tmp_path):
    lock = DirectoryLock(tmp_path, "the coordinator")
    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_lock_file_without_an_owner_is_no_obstacle(tmp_path):
    (tmp_path / LOCK_NAME).write_text("4194304999\n")
    lock = DirectoryLock(tmp_path, "the coordinator")
    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_an_owner_that_has_not_written_its_id_yet_is_still_an_owner(tmp_path):
    lock = DirectoryLock(tmp_path, "the coordinator")
    (tmp_path / LOCK_NAME).write_text("")
    with pytest.raises(ConflictError, match="just starting"):
        DirectoryLock(tmp_path, "the coordinator")
    lock.release()


OWN = """
import signal, sys, time
from pathlib import Path
from septum.adapters.ownership import DirectoryLock
deaf = sys.argv[2] == "deaf"
signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: (time.sleep(0.3), sys.exit(0)))
lock = DirectoryLock(Path(sys.argv[1]), "the coordinator")
print("owned", flush=True)
time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    """Starts a process that owns `tmp_path`."""
    started = []

    def start(kind="heeding"):
        process = subprocess.Popen([sys.executable, "-c", OWN, str(tmp_path), kind], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "owned\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.processes
def test_an_owner_is_asked_to_end_and_waited_for(tmp_path, owner):
    process = owner()
    assert owner_of(tmp_path) == process.pid
    assert end_owner(tmp_path, "the coordinator", 20) == process.pid
    DirectoryLock(tmp_path, "the coordinator").release()  # free at once
    assert process.wait(5) == 0


@pytest.mark.processes
def test_an_owner_that_does_not_end_is_named_with_the_next_command(tmp_path, owner):
    process = owner("deaf")
    with pytest.raises(TimedOutError, match=rf"process {process.pid}\) has not ended within 0\.2 s") as refused:
        end_owner(tmp_path, "the coordinator", 0.2)
    assert refused.value.hint == f"kill -9 {process.pid}"
    assert process.poll() is None


def test_nobody_is_ended_where_nobody_owns(tmp_path):
    assert end_owner(tmp_path / "nowhere", "the coordinator", 1) is None
    (tmp_path / LOCK_NAME).write_text(f"{os.getppid()}\n")  # of a process that died: somebody else may have its id now
    assert end_owner(tmp_path, "the coordinator", 1) is None


def test_a_released_directory_can_be_owned_again(tmp_path):
    for _ in range(2):
        lock = DirectoryLock(tmp_path, "the coordinator")
        lock.release()
        lock.release()


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        DirectoryLock(tmp_path / "nowhere", "the coordinator")


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
