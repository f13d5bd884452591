"""A silo's steward lists and exports the models that the silo keeps for itself."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest

from septum.protocol import tensors
from septum.protocol.facts import Metrics
from septum.silo.kept import Chosen, KeptModel, KeptModels
from septum.silo.tensor_file import pieces_of

PARAMETERS = {"body.w": np.arange(4, dtype=np.float32), "head.w": np.full(2, 0.5, np.float32)}
STATISTICS = {"statistics.x.count": np.array([3.0])}


def about(run: str, at: float = 1_700_000_000.0, **changed: object) -> KeptModel:
    settled = {
        "at": at,
        "run": run,
        "round": 7,
        "app": "heart",
        "version": "1.2.0",
        "app_digest": "sha256:" + "a" * 64,
        "dataset": "heart",
        "federation": "blake3:" + "b" * 64,
        "layout": "blake3:" + "c" * 64,
        "private": ("head.*",),
        "chosen": Chosen.FEDERATION,
        "metrics": Metrics(45, 0.8, 0.4321, 0.9),
    }
    return KeptModel(**{**settled, **changed})


@pytest.fixture
def silo(tmp_path):
    folder = tmp_path / "silo"
    folder.mkdir()
    (folder / "silo.toml").write_text('[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n')
    return folder


@pytest.fixture
def kept(silo):
    models = KeptModels(silo)
    content = tensors.encode({**PARAMETERS, **STATISTICS})
    models.keep(about("r-1"), pieces_of(content, lambda name: name))
    models.keep(about("r-2", 1_700_000_100.0, metrics=None), pieces_of(content, lambda name: name))
    return models


def test_a_silo_that_keeps_none_says_how_one_comes_to_be(septum, silo):
    done = septum("silo", "model", "list", "--dir", silo)
    assert done.code == 0
    assert "private parameters leaves one" in done.out
    assert [path.name for path in silo.iterdir()] == ["silo.toml"]


def test_models_are_listed_newest_first_with_what_is_known_of_them(septum, silo, kept):
    newest, oldest = septum("silo", "model", "list", "--dir", silo).out.splitlines()[1:]
    assert newest.split()[3] == "r-2"
    row = oldest.split()
    assert row[3:8] == ["r-1", "heart", "1.2.0", "heart", "7"]
    assert row[8:13] == ["federation", "1", "shared,", "1", "private"]
    assert row[13:15] == ["0.9000", "0.8000"]


def test_programs_read_which_tensors_never_left(septum, silo, kept):
    models = septum("silo", "model", "list", "--dir", silo, "--json").envelope["data"]["models"]
    assert [one["run"] for one in models] == ["r-1", "r-2"]
    assert models[0]["private_tensors"] == ["head.w"]
    assert models[0]["shared_tensors"] == ["body.w"]
    assert models[0]["size_bytes"] == KeptModels(silo).get("r-1").path.stat().st_size
    assert models[0]["metrics"]["log_loss"] == 0.4321


def test_what_is_exported_is_one_safetensors_file_with_both_parts_and_what_it_is(septum, silo, kept, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    from safetensors import safe_open

    out = tmp_path / "own.safetensors"
    done = septum("silo", "model", "export", "r-1", "--dir", silo, "-o", out)
    assert done.code == 0
    assert "private: head.w" in done.out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    found = safetensors.load_file(out)
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in {**PARAMETERS, **STATISTICS}.items()
    }
    with safe_open(out, "np") as file:
        said = json.loads(file.metadata()["septum"])
    assert (said["run"], said["private"], said["chosen"]) == ("r-1", ["head.*"], "federation")


def test_a_file_that_is_there_is_overwritten_only_when_asked_and_then_for_its_owner_alone(septum, silo, kept, tmp_path):
    out = tmp_path / "own.safetensors"
    out.write_text("mine")
    out.chmod(0o644)
    refused = septum("silo", "model", "export", "r-1", "--dir", silo, "-o", out)
    assert refused.code != 0
    assert out.read_text() == "mine"
    assert septum("silo", "model", "export", "r-1", "--dir", silo, "-o", out, "--force").code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert tensors.decode(out.read_bytes())["head.w"].tolist() == [0.5, 0.5]


def test_a_run_that_left_no_model_is_told_with_the_nearest(septum, silo, kept):
    done = septum("silo", "model", "export", "r-11", "--dir", silo)
    assert done.code != 0
    assert "did you mean 'r-1'?" in done.err
    for outside in ("../silo", "/etc/passwd", ""):
        assert septum("silo", "model", "export", outside, "--dir", silo).code != 0


def test_a_model_that_is_removed_is_gone_and_the_others_stay(septum, silo, kept):
    assert septum("silo", "model", "remove", "r-1", "--dir", silo).code == 0
    assert [one.about.run for one in KeptModels(silo).all()] == ["r-2"]


def test_a_file_that_is_no_kept_model_is_named(septum, silo, kept):
    (silo / "models" / "r-3.safetensors").write_bytes(tensors.encode(PARAMETERS))
    done = septum("silo", "model", "list", "--dir", silo)
    assert done.code != 0
    assert "r-3.safetensors is no kept model" in done.err
