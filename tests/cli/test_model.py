import pytest
from tests.cli.small_coordinator import MODEL

from septum.protocol.messages import blob_of

pytestmark = pytest.mark.served


def test_download_by_run_writes_the_model(coordinator, septum, example, home):
    septum("run", "submit", example, "--inspect")
    path = home / "m.safetensors"
    done = septum("model", "download", "--run", "run-1", "-o", path, "--json")
    assert done.envelope["data"] == {"path": str(path), "digest": blob_of(MODEL).digest, "size_bytes": len(MODEL)}
    assert path.read_bytes() == MODEL


def test_bytes_of_another_digest_are_not_kept(coordinator, septum, home):
    path = home / "m.safetensors"
    done = septum("model", "download", "blake3:" + 64 * "0", "-o", path, "--json")
    assert (done.code, done.envelope["error"]["code"]) == (1, "digest")
    assert not path.exists()


def test_a_file_that_is_there_is_overwritten_by_force_only(coordinator, septum, home):
    path = home / "m.safetensors"
    path.write_text("precious")
    done = septum("model", "download", blob_of(MODEL).digest, "-o", path, "--json")
    assert done.envelope["error"]["code"] == "conflict"
    assert path.read_text() == "precious"
    assert septum("model", "download", blob_of(MODEL).digest, "-o", path, "--force").code == 0
    assert path.read_bytes() == MODEL


def test_a_round_that_made_no_model_is_named(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    assert septum("model", "download", "--run", "run-1", "--round", "2").code == 0
    done = septum("model", "download", "--run", "run-1", "--round", "9", "-o", "x", "--json")
    assert "no model of round 9" in done.envelope["error"]["message"]
    assert septum("model", "download", "DIGEST", "--run", "run-1", "--best").code == 2


def test_models_are_listed_with_whole_digests(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    assert blob_of(MODEL).digest in septum("model", "list").out
    assert septum("model", "list", "--run", "run-1", "--json").envelope["data"]["models"][0]["round"] == 2
