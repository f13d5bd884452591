import json

import pytest

from septum.protocol.plan import digest_of


def test_simulate_takes_each_file_of_the_data_folder_as_a_silo(septum, example):
    done = septum("simulate", example, "--rounds", "2", "--json")
    data = done.envelope["data"]
    assert (done.code, data["outcome"], data["rounds"]) == (0, "finished", 2)
    assert sorted(data["silos"]) == ["cleveland", "hungary", "long-beach-va", "switzerland"]
    assert data["metrics"]["rows"] == sum(silo["rows"] for silo in data["silos"].values())
    assert len(done.out.splitlines()) == 1


def test_simulate_names_silos_as_told_and_writes_the_model(septum, example, home):
    files = [f"{name}={example / 'data' / f'{name}.data'}" for name in ("cleveland", "long-beach-va")]
    out = home / "m.safetensors"
    done = septum("simulate", example, "--data", files[0], "--data", files[1], "--rounds", "1", "-o", out, "--json")
    assert sorted(done.envelope["data"]["silos"]) == ["cleveland", "long-beach-va"]
    assert digest_of(out.read_bytes()) == done.envelope["data"]["model_digest"]


def test_a_setting_changes_the_model(septum, example):
    digests = {
        septum("simulate", example, "--rounds", "1", "--json", *more).envelope["data"]["model_digest"]
        for more in ([], ["--set", "lr=0.1"], ["--strategy", "fedadam"], ["--clip-norm", "0.001"], ["--silos", "2"])
    }
    assert len(digests) == 5


@pytest.mark.parametrize("name", ["median", "trimmed-mean", "geometric-median", "norm-clipping"])
def test_robust_rules_learn_from_four_honest_hospitals(name, septum, example):
    data = septum("simulate", example, "--inspect", "--strategy", name, "--rounds", "15", "--json").envelope["data"]
    assert data["metrics"]["roc_auc"] > 0.8


def test_krum_learns_from_five(septum, example):
    for name in ("krum", "multi-krum"):
        done = septum("simulate", example, "--inspect", "--strategy", name, "--silos", "5", "--rounds", "15", "--json")
        assert done.envelope["data"]["metrics"]["roc_auc"] > 0.8


def test_an_app_whose_leaves_are_masked_is_tried_as_silos_run_it_under_masks(septum, home):
    septum("app", "new", "mine")
    refused = septum("simulate", "mine", "--inspect", "--rounds", "1", "--json")
    assert (refused.code, "masked runs alone" in refused.envelope["error"]["message"]) == (2, True)
    assert septum("simulate", "mine", "--rounds", "1").code == 0


def test_rows_can_be_dealt_out_to_any_number_of_silos(septum, example):
    data = septum("simulate", example, "--silos", "12", "--rounds", "1", "--json").envelope["data"]
    assert len(data["silos"]) == 12
    assert min(data["silos"]) == "silo-01"


def test_people_get_rounds_on_stderr_and_a_table_on_stdout(septum, example):
    done = septum("simulate", example, "--rounds", "1")
    assert "round 1/1: roc_auc" in done.err
    assert done.out.splitlines()[1].split()[:2] == ["SILO", "TEST"]
    assert septum("simulate", example, "--rounds", "1", "--quiet").err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "boston"], 2, "not NAME=VALUE"),
        (["--data", "boston=missing.csv", "--inspect"], 1, "missing.csv"),
        (["--silos", "1"], 2, "a masked run needs 2 to 200 silos, not 1"),
        (["--silos", "100000"], 2, "--silos"),
        (["--strategy", "krum"], 2, "has to see each silo's update, and this run masks them"),
        (
            ["--inspect", "--strategy", "krum"],
            2,
            "5 tolerate 1, 4 none. geometric-median tolerates (n - 1) // 2: 1 of 4",
        ),
        (["--set", "epoch=3"], 2, "did you mean 'epochs'"),
    ],
)
def test_what_does_not_fit_is_named(arguments, code, message, septum, example):
    done = septum("simulate", example, *arguments, "--json")
    assert done.code == code
    assert message in json.dumps(done.envelope["error"])


def test_an_app_without_data_says_how_to_name_files(septum, example, home):
    app = home / "app"
    app.mkdir()
    for name in ("app.py", "septum.toml"):
        (app / name).write_text((example / name).read_text())
    done = septum("simulate", app, "--json")
    assert "--data boston=boston.csv" in done.envelope["error"]["hint"]


def test_each_silo_s_own_model_is_written_where_the_run_personalises(septum, example, home):
    own = home / "own"
    arguments = ("simulate", example, "--rounds", "1", "--personalise", "1", "--own", own, "--json")
    data = septum(*arguments).envelope["data"]
    assert sorted(path.stem for path in own.iterdir()) == sorted(data["silos"])
    plain = septum("simulate", example, "--rounds", "1", "--json").envelope["data"]
    assert data["model_digest"] == plain["model_digest"]
    assert data["metrics"] != plain["metrics"]


def test_a_folder_for_own_models_is_refused_where_no_silo_has_one(septum, example, home):
    done = septum("simulate", example, "--rounds", "1", "--own", home / "own")
    assert done.code == 2
    assert "no silo has a model of its own in this run" in done.err
    assert not (home / "own").exists()
