"""A backup of a coordinator whose models are in S3 is whole, wherever they are, and restores without S3."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.coordinator.test_backup import NOW, Coordinator
from tests.s3_server import Front, Refused, opened

from septum.adapters.blobs import s3_bucket
from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.s3 import S3Blobs, key_of
from septum.adapters.blobs.s3_bucket import Bucket
from septum.coordinator.areas import APPS, is_spool, models_area, spool_area
from septum.coordinator.backup import Sources, back_up
from septum.coordinator.blob_place import open_blobs
from septum.coordinator.combining import optimizer_area
from septum.coordinator.restore import restore
from septum.ports.blobs import AwayError
from septum.protocol.messages import Blob

pytestmark = pytest.mark.processes


class CoordinatorInS3(Coordinator):
    """It has a package, too."""

    def __init__(self, data_dir: Path, bucket: Bucket) -> None:
        super().__init__(data_dir)
        self.blobs = S3Blobs(self.blobs, bucket, is_spool)
        self.package = self._put(APPS, "a package").digest

    def _put(self, area: str, text: str) -> Blob:
        return Blob(self.blobs.put(area, text.encode(), durable=not is_spool(area)), len(text))


@pytest.fixture
def bucket(s3):
    with opened(s3.place()) as bucket:
        yield bucket


@pytest.fixture
def coordinator(tmp_path, bucket):
    """After three rounds."""
    made = CoordinatorInS3(tmp_path / "data", bucket)
    for number in (1, 2, 3):
        made.round(number)
    yield made
    made.stores.close()


@pytest.fixture
def elsewhere(coordinator, tmp_path):
    """The data directory as it is on a machine that never had any of the blobs."""
    shutil.copytree(tmp_path / "data", tmp_path / "other", ignore=shutil.ignore_patterns("blobs"))
    return tmp_path / "other"


def read(folder, area, digest):
    return DirectoryBlobs(folder / "blobs").get(area, digest)


def test_what_is_in_s3_alone_is_in_the_backup_and_restores_without_s3(coordinator, elsewhere, bucket, tmp_path):
    made = back_up(elsewhere, tmp_path / "backup", NOW, blobs=Sources(bucket))
    payloads = {given.payload.digest for given in coordinator.run.reports.values()}
    area = spool_area("r-1")
    assert set(made.missing) == {f"blobs/{key_of(area, digest)}" for digest in payloads}  # silos offer them again
    restore(tmp_path / "backup", tmp_path / "restored")
    run = coordinator.run
    assert read(tmp_path / "restored", models_area("r-1"), run.model.digest) == b"model 3"
    assert read(tmp_path / "restored", optimizer_area("r-1"), run.optimizer.digest) == b"optimizer 3"
    assert read(tmp_path / "restored", APPS, coordinator.package) == b"a package"
    with open_blobs(tmp_path / "restored", None, None) as place:  # it is no cache of anything
        assert place.blobs.get(models_area("r-1"), run.model.digest) == b"model 3"


def test_where_the_coordinator_works_nothing_is_missing(coordinator, bucket, tmp_path):
    assert back_up(tmp_path / "data", tmp_path / "backup", NOW, blobs=Sources(bucket)).missing == ()


def test_what_rotted_here_is_taken_from_s3_and_what_has_changed_there_is_named(coordinator, bucket, tmp_path):
    digest = coordinator.run.model.digest
    name = f"blobs/{key_of(models_area('r-1'), digest)}"
    (tmp_path / "data" / name).write_bytes(b"rotten!")
    assert back_up(tmp_path / "data", tmp_path / "backup", NOW, blobs=Sources(bucket)).missing == ()
    assert (tmp_path / "backup" / name).read_bytes() == b"model 3"
    bucket.put(key_of(models_area("r-1"), digest), b"changed")
    assert back_up(tmp_path / "data", tmp_path / "another", NOW, blobs=Sources(bucket)).missing == (name,)
    assert not (tmp_path / "another" / name).exists()


def test_s3_that_is_away_leaves_no_backup(elsewhere, s3, tmp_path, monkeypatch):
    monkeypatch.setattr(s3_bucket, "TRIES", 1)
    with (
        Front(s3.url, lambda _: Refused(503, "SlowDown")) as front,
        opened(s3.place(front.url)) as away,
        pytest.raises(AwayError, match="could not list what is there"),
    ):
        back_up(elsewhere, tmp_path / "backup", NOW, blobs=Sources(away))
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []
