"""Models of a directory from before come into their runs' areas, however often that is cut short."""

from __future__ import annotations

import logging

import pytest
from tests.s3_server import opened

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.s3 import S3Blobs, key_of
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import FileKey
from septum.coordinator.areas import EARLIER_MODELS, is_spool, models_area
from septum.coordinator.earlier_models import move_earlier_models
from septum.ports.store import Transition
from septum.protocol.facts import ModelMade
from septum.protocol.messages import Blob
from septum.protocol.plan import digest_of
from septum.testing.contracts.samples import new_run
from septum.testing.fakes import MemoryBlobs, MemoryRunStore

DATA = {name: name.encode() * 50_000 for name in ("both", "first", "second")}
MADE = (("r-1", "both"), ("r-1", "first"), ("r-2", "both"), ("r-2", "second"))
NOBODYS = b"made, and never committed"


@pytest.fixture
def runs():
    store = MemoryRunStore()
    for run in ("r-1", "r-2"):
        store.create(new_run(run), (), at=1.0)
        made = [digest_of(DATA[name]) for by, name in MADE if by == run]
        facts = tuple(ModelMade(round_, Blob(digest, 1)) for round_, digest in enumerate(made))
        store.commit([Transition(new_run(run), 1, facts=facts)], at=2.0)
    return store


def filled(blobs):
    for data in (*DATA.values(), NOBODYS):
        blobs.put(EARLIER_MODELS, data, durable=True)
    return blobs


def assert_moved(blobs):
    for run in ("r-1", "r-2"):
        made = [DATA[name] for by, name in MADE if by == run]
        assert list(blobs.digests(models_area(run))) == sorted(map(digest_of, made))
        for data in made:
            assert blobs.get(models_area(run), digest_of(data)) == data
    assert list(blobs.digests(EARLIER_MODELS)) == []


@pytest.mark.parametrize("keys", [None, Keys(FileKey(bytes(32)))], ids=["plain", "sealed"])
def test_each_run_gets_what_it_made_and_what_no_journal_names_goes(runs, tmp_path, caplog, keys):
    blobs = filled(DirectoryBlobs(tmp_path / "blobs", keys=keys))
    with caplog.at_level(logging.INFO):
        move_earlier_models(runs, blobs)
    assert_moved(blobs)
    (moved,) = [record for record in caplog.records if record.message == "models_moved"]
    assert (moved.models, moved.unknown) == (3, 1)
    assert "models" not in blobs.areas()
    blobs.discard(models_area("r-1"), [digest_of(DATA["both"])])  # each has its own
    assert blobs.get(models_area("r-2"), digest_of(DATA["both"])) == DATA["both"]


def test_a_directory_of_today_is_left_alone_and_nothing_is_said(runs, tmp_path, caplog):
    blobs = DirectoryBlobs(tmp_path / "blobs")
    blobs.put(models_area("r-1"), b"abc", durable=True)
    with caplog.at_level(logging.INFO):
        move_earlier_models(runs, blobs)
    assert (list(blobs.areas()), caplog.records) == (["models-r-1"], [])


class Killed(Exception):
    """As if the process ended here."""


class Cut(MemoryBlobs):
    """It ends before one of its writes."""

    left = -1

    def _write(self):
        if self.left == 0:
            raise Killed
        self.left -= 1

    def share(self, area, digest, into):
        self._write()
        super().share(area, digest, into)

    def discard(self, area, digests):
        self._write()
        super().discard(area, digests)

    def drop(self, area):
        self._write()
        super().drop(area)


def test_cut_anywhere_nothing_is_lost_and_the_next_start_goes_on(runs):
    for writes in range(9):  # 4 shares, 4 discards, one drop
        blobs = filled(Cut())
        blobs.left = writes
        with pytest.raises(Killed):
            move_earlier_models(runs, blobs)
        for name, data in DATA.items():
            areas = (EARLIER_MODELS, *map(models_area, ("r-1", "r-2")))
            assert any(digest_of(data) in blobs.digests(area) for area in areas), name
        blobs.left = -1
        move_earlier_models(runs, blobs)
        assert_moved(blobs)


@pytest.mark.processes
def test_what_another_machine_put_into_s3_is_moved_there(runs, s3, tmp_path):
    with opened(s3.place()) as bucket:
        filled(S3Blobs(DirectoryBlobs(tmp_path / "first"), bucket, is_spool))
        second = S3Blobs(DirectoryBlobs(tmp_path / "second"), bucket, is_spool)
        move_earlier_models(runs, second)
        assert_moved(second)
        found = {key for key, _ in bucket.sizes()}
    assert found == {key_of(models_area(run), digest_of(DATA[name])) for run, name in MADE}


@pytest.mark.processes
def test_a_model_that_rotted_here_is_taken_from_s3_before_it_is_moved(runs, s3, tmp_path):
    with opened(s3.place()) as bucket:
        blobs = filled(S3Blobs(DirectoryBlobs(tmp_path), bucket, is_spool))
        blobs._local.stored_file(EARLIER_MODELS, digest_of(DATA["first"])).write_bytes(b"rotten")
        sealed = S3Blobs(DirectoryBlobs(tmp_path, keys=Keys(FileKey(bytes(32)))), bucket, is_spool)
        move_earlier_models(runs, sealed)
        assert_moved(sealed)
