import pytest
from tests.cli.small_coordinator import METRICS, MODEL

from septum.protocol.messages import blob_of
from septum.protocol.views import SiloModelView, SiloStatus, SiloView

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


def of_silo(round_, silo):
    model = blob_of(MODEL)
    return SiloModelView(
        "run-1", round_, silo, model.digest, model.size_bytes, "blake3:0", "blake3:1", 0.25 * round_, METRICS
    )


def test_silos_own_models_are_listed_and_downloaded_by_silo_and_round(coordinator, septum, example, home):
    coordinator.silo_models = [of_silo(1, "boston"), of_silo(2, "boston"), of_silo(2, "gone")]
    septum("run", "submit", example, "--inspect", "--keep-silo-models")
    assert coordinator.plans["run-1"].keep_silo_models
    shown = septum("model", "list", "--run", "run-1", "--silos").out
    assert "UPDATE NORM" in shown
    assert shown.count("boston") == 2
    one = septum("model", "list", "--run", "run-1", "--silo", "gone", "--json").envelope["data"]
    assert [(kept["silo"], kept["round"]) for kept in one["silo_models"]] == [("gone", 2)]
    path = home / "boston.safetensors"
    done = septum("model", "download", "--run", "run-1", "--silo", "boston", "-o", path, "--json")
    assert done.envelope["data"] == {
        "path": str(path),
        "digest": blob_of(MODEL).digest,
        "size_bytes": len(MODEL),
        "silo": "boston",
        "round": 2,
    }
    assert path.read_bytes() == MODEL
    assert coordinator.asked[-1] == ("GET", "/api/v1/runs/run-1/silo-models/2/boston")
    older = ("model", "download", "--run", "run-1", "--silo", "boston", "--round", 1, "-o", path, "--force")
    assert septum(*older).code == 0
    assert coordinator.asked[-1] == ("GET", "/api/v1/runs/run-1/silo-models/1/boston")


def test_of_a_run_that_keeps_no_silos_own_models_it_is_said_why(coordinator, septum, example):
    coordinator.silos.append(SiloView("austin", SiloStatus.ONLINE, 1.0, 2.0))
    septum("run", "submit", example, "--inspect")
    septum("run", "submit", example)
    why = "none: the run was not to keep them; in a silo: septum silo model list"
    assert why in septum("model", "list", "--run", "run-1", "--silos").out
    assert "the run was masked" in septum("model", "list", "--run", "run-2", "--silos").out
    told = septum("model", "download", "--run", "run-2", "--silo", "boston", "--json").envelope["error"]
    assert told["code"] == "not_found"
    assert "the run was masked: they never left the silos" in told["message"]
    assert "septum silo model list" in told["hint"]
    coordinator.silo_models = [of_silo(2, "boston")]
    late = septum("model", "download", "--run", "run-1", "--silo", "boston", "--round", 7, "--json").envelope["error"]
    assert "of round 7; there are 2 to 2" in late["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--silos"),
        ("list", "--silo", "boston"),
        ("download", "--silo", "boston"),
        ("download", "--silo", "boston", "--run", "run-1", "--best"),
        ("download", "blake3:0", "--silo", "boston", "--run", "run-1"),
    ],
)
def test_which_of_a_silos_models_is_meant_has_to_be_clear(coordinator, septum, arguments):
    assert septum("model", *arguments, "--json").envelope["error"]["code"] == "config"


def test_masks_and_silos_own_models_are_not_asked_for_together(coordinator, septum, example):
    told = septum("run", "submit", example, "--keep-silo-models", "--json").envelope["error"]
    assert "in a masked run no silo's own model leaves it" in told["message"]
    assert "--inspect" in told["hint"]


def test_models_are_listed_with_whole_digests(coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    assert blob_of(MODEL).digest in septum("model", "list").out
    assert septum("model", "list", "--run", "run-1", "--json").envelope["data"]["models"][0]["round"] == 2
