"""A backup opens each run's files with the salts of its moment, and holds nothing of a run that was shredded."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
from tests.coordinator.test_backup import NOW, Coordinator

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import FileKey
from septum.adapters.store.open import open_store
from septum.coordinator import backup
from septum.coordinator.areas import EARLIER_MODELS, areas_of, models_area
from septum.coordinator.backup import Sources, back_up
from septum.coordinator.earlier_models import move_earlier_models
from septum.coordinator.restore import restore
from septum.coordinator.run_keys import RunKeys
from septum.errors import DigestError, NotFoundError
from septum.ports.store import Transition
from septum.testing.contracts.samples import ended_run

KEY = FileKey(bytes(range(32)))


def keys_in(stores):
    return RunKeys(stores.run_keys, KEY).keys


@pytest.fixture(params=["sealed", "plain"])
def coordinator(request, tmp_path):
    made = Coordinator(tmp_path / "data")
    if request.param == "sealed":
        made.blobs = DirectoryBlobs(tmp_path / "data" / "blobs", keys=keys_in(made.stores))
    made.key = KEY if request.param == "sealed" else None
    for number in (1, 2):
        made.round(number)
    yield made
    made.stores.close()


def end(coordinator):
    run = replace(ended_run("r-1"), model=coordinator.run.model)
    coordinator.stores.runs.commit([Transition(run, coordinator.version)], at=3.0)


def files_of(folder, run="r-1"):
    return [path for area in areas_of(run) for path in (folder / "blobs" / area).rglob("*") if path.is_file()]


def test_it_is_whole_opens_where_it_is_restored_and_with_the_salt_of_its_moment_alone(coordinator, tmp_path):
    made = back_up(coordinator.data_dir, tmp_path / "backup", NOW, blobs=Sources(key=coordinator.key))
    assert made.missing == ()
    digest = coordinator.run.model.digest
    end(coordinator)
    coordinator.stores.run_keys.shred("r-1", by="ada", at=4.0)
    restore(tmp_path / "backup", tmp_path / "new")
    if coordinator.key is None:
        return
    with open_store(tmp_path / "new") as stores:  # the shred is undone: the documentation says so
        assert DirectoryBlobs(tmp_path / "new" / "blobs", keys=keys_in(stores)).get("models-r-1", digest) == b"model 2"
    shutil.copytree(tmp_path / "new" / "blobs", tmp_path / "copy")
    with pytest.raises(NotFoundError, match="was shredded by ada"):
        DirectoryBlobs(tmp_path / "copy", keys=keys_in(coordinator.stores)).get("models-r-1", digest)
    with pytest.raises(DigestError):
        DirectoryBlobs(tmp_path / "copy", keys=Keys(KEY)).get("models-r-1", digest)


def test_files_that_a_kill_left_of_a_shredded_run_are_not_in_it_and_not_missed(coordinator, tmp_path):
    end(coordinator)
    coordinator.stores.run_keys.shred("r-1", by="ada", at=4.0)
    assert files_of(coordinator.data_dir)
    made = back_up(coordinator.data_dir, tmp_path / "backup", NOW, blobs=Sources(key=coordinator.key))
    assert (made.missing, files_of(tmp_path / "backup")) == ((), [])
    assert [name for name in made.files if "r-1" in name] == []


def test_a_model_that_goes_while_the_backup_is_made_is_named(coordinator, tmp_path, monkeypatch):
    end(coordinator)
    digest, link = coordinator.run.model.digest, backup.make_folders

    def gone(folder):
        coordinator.blobs.discard("models-r-1", [digest])
        link(folder)

    monkeypatch.setattr(backup, "make_folders", gone)
    made = back_up(coordinator.data_dir, tmp_path / "backup", NOW, blobs=Sources(key=coordinator.key))
    assert [name for name in made.missing if "models-r-1" in name] == [
        f"blobs/models-r-1/{digest[7:9]}/{digest.partition(':')[2]}"
    ]


def test_a_directory_whose_models_still_lie_together_is_backed_up_whole_and_moved_where_it_is_restored(
    coordinator, tmp_path
):
    folder = coordinator.data_dir / "blobs"
    if coordinator.key is not None:  # as the septum before sealed them: under the common key
        together = DirectoryBlobs(folder, keys=Keys(KEY))
        for digest in coordinator.blobs.digests("models-r-1"):
            together.put(EARLIER_MODELS, coordinator.blobs.get("models-r-1", digest), durable=True)
        coordinator.blobs.drop("models-r-1")
    else:
        os.rename(folder / "models-r-1", folder / EARLIER_MODELS)
    made = back_up(coordinator.data_dir, tmp_path / "backup", NOW, blobs=Sources(key=coordinator.key))
    assert made.missing == ()
    restore(tmp_path / "backup", tmp_path / "new")
    with open_store(tmp_path / "new") as stores:
        keys = None if coordinator.key is None else keys_in(stores)
        blobs = DirectoryBlobs(tmp_path / "new" / "blobs", keys=keys)
        move_earlier_models(stores.runs, blobs)
        assert blobs.get(models_area("r-1"), coordinator.run.model.digest) == b"model 2"


def test_a_run_that_begins_while_the_backup_is_made_is_not_in_it_and_nothing_is_damaged(coordinator, tmp_path):
    def begin(what):
        if "copying the models" in what:
            coordinator.stores.runs.create(ended_run("r-2"), (), at=5.0)
            coordinator.blobs.put(models_area("r-2"), b"of a later run", durable=True)

    made = back_up(coordinator.data_dir, tmp_path / "backup", NOW, begin, blobs=Sources(key=coordinator.key))
    assert (made.missing, files_of(tmp_path / "backup", "r-2")) == ((), [])
    assert [name for name in made.files if "r-2" in name] == []
