"""Models are where coordinator.toml says: in the directory, or in S3, and never half here and half there by mistake."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from tests.s3_server import credentials

from septum.coordinator.blob_place import open_blobs
from septum.coordinator.blobs_config import BlobsConfig
from septum.errors import ConfigError, MissingExtraError

pytestmark = pytest.mark.processes


@pytest.fixture
def config(s3):
    place = s3.place()
    with credentials():
        yield BlobsConfig(place.bucket, place.prefix, place.endpoint, place.region)


def test_models_and_rosters_follow_to_another_machine(config, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (first / "roster").mkdir()
    (first / "roster" / "0000000001.json").write_bytes(b"from before S3")
    with open_blobs(first, config, None) as place:
        digest = place.blobs.put("models", b"abc", durable=True)
        payload = place.blobs.put("spool-r1", b"payload", durable=False)
        place.keep_roster("0000000002.json", b"two")
    with open_blobs(second, config, None) as place:
        assert place.blobs.get("models", digest) == b"abc"
        assert not list((second / "blobs").glob("spool-*"))
    rosters = {path.name: path.read_bytes() for path in (second / "roster").iterdir()}
    assert rosters == {"0000000001.json": b"from before S3", "0000000002.json": b"two"}
    (first / "roster" / "0000000002.json").write_bytes(b"with one signature less")
    with open_blobs(first, config, None) as place:
        assert (first / "roster" / "0000000002.json").read_bytes() == b"two"
    assert payload.startswith("blake3:")


def test_a_directory_that_is_only_a_cache_is_not_used_alone(config, tmp_path):
    with open_blobs(tmp_path, config, None):
        pass
    with (
        pytest.raises(ConfigError, match=r"there is no \[blobs\] in coordinator.toml"),
        open_blobs(tmp_path, None, None),
    ):
        pytest.fail("it was opened")


def test_without_its_library_it_is_said_what_to_install(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(MissingExtraError) as caught, open_blobs(tmp_path, config, None):
        pytest.fail("it was opened")
    assert caught.value.hint == "pip install 'septum[s3]'"


def test_what_cannot_be_used_is_said_at_the_start(config, tmp_path, monkeypatch):
    wrong = [
        (replace(config, bucket="septum-blabs"), "NoSuchBucket"),
        (replace(config, ca_file=str(tmp_path / "ca.pem")), "ca.pem is not there"),
        (replace(config, region="no region"), "S3 cannot be asked"),
        (replace(config, presigned=True), "does not begin with https://, and silos are to fetch models there"),
    ]
    for one, problem in wrong:
        with pytest.raises(ConfigError, match=problem) as caught, open_blobs(tmp_path, one, None):
            pytest.fail("it was opened")
        assert caught.value.hint
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example.org")
    other = replace(config, endpoint="")
    with pytest.raises(ConfigError, match="does not begin with https"), open_blobs(tmp_path, other, None):
        pytest.fail("models would have travelled in the clear")
