"""A steward's three commands: add, describe, check. Real processes read the data."""

from __future__ import annotations

import shutil

import pytest
from tests.sdk.packaging import built

pytestmark = pytest.mark.processes

SILO = '# ours\n[silo]\nname = "north"\ncoordinator = "https://localhost:1" # far away\n'


@pytest.fixture
def silo(home):
    folder = home / "silo"
    folder.mkdir()
    (folder / "silo.toml").write_text(SILO)
    (folder / "silo.toml").chmod(0o640)
    return folder


@pytest.fixture
def add(septum, silo, example):
    def call(*arguments, name="heart", hospital="switzerland"):
        path = example / "data" / f"{hospital}.data"
        return septum(
            "silo", "data", "add", name, "--dir", silo, "--source", "csv", "--set", f"path={path}", *arguments
        )

    return call


def test_data_are_added_at_the_end_of_silo_toml_and_the_rest_stays(add, silo, example):
    done = add(
        "--app", example, "--column", "chol={ missing = ['0'] }", "--column", "age=age", "--on-violation", "drop"
    )
    assert (done.code, done.err) == (0, "")
    text = (silo / "silo.toml").read_text()
    assert text.startswith(SILO + "\n[data.heart]\n")
    assert 'on_violation = "drop"' in text
    assert '"chol" = { "missing" = ["0"] }' in text
    assert (silo / "silo.toml").stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in silo.iterdir()] == ["silo.toml"]
    assert "[data.heart] is in silo.toml already" in add("--json").envelope["error"]["message"]


def test_what_cannot_be_read_or_violates_the_contract_is_not_added(add, silo, example, septum):
    wrong = add("--app", example, "--column", "sex={ codes = { M = 1 } }", "--json")
    assert wrong.code == 1
    assert "sex: 123 unmapped code" in wrong.envelope["error"]["message"]
    none = septum("silo", "data", "add", "x", "--dir", silo, "--source", "csv", "--set", "path=none.csv", "--json")
    assert (none.code, none.envelope["error"]["code"]) == (1, "data")
    assert (silo / "silo.toml").read_text() == SILO


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--source", "cvs", "--set", "path=x"], "source is 'cvs'; did you mean 'csv'"),
        (["--source", "csv", "--set", "pth=x"], "--set pth: csv has no such setting; did you mean 'path'"),
        (["--source", "csv", "--set", "path"], "--set 'path' is not NAME=VALUE"),
        (["--source", "csv", "--set", "path=x", "--column", "a={ from"], "--column a: '{ from' is not TOML"),
        (["--source", "csv", "--set", "path=x", "--column", "a={ form = 'b' }"], "unknown key 'form'"),
        (["--source", "csv", "--set", "path=x", "--on-violation", "ignore"], "on_violation is 'ignore'"),
        (["--source", "sql", "--set", "query=SELECT 1"], "one of url_file and url_env"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(septum, silo, arguments, says):
    done = septum("silo", "data", "add", "x", "--dir", silo, *arguments, "--json")
    assert done.code == 2
    assert says in done.envelope["error"]["message"]
    assert (silo / "silo.toml").read_text() == SILO


def test_a_source_is_described_with_its_kinds_and_examples(add, septum, silo):
    add()
    found = septum("silo", "data", "describe", "heart", "--dir", silo, "--json").envelope["data"]
    assert found["rows"] == 123
    assert found["columns"][5] == {
        "name": "6",
        "kind": "numbers and texts",
        "missing": 0,
        "distinct": 3,
        "examples": ["?", "0", "1"],
    }
    assert "MOST FREQUENT" in septum("silo", "data", "describe", "heart", "--dir", silo).out


def test_a_check_prints_the_report_and_its_suspicions(add, septum, silo, example):
    add()
    done = septum("silo", "data", "check", "heart", "--dir", silo, "--app", example / "septum.toml")
    assert done.code == 0
    assert "rows      123 read; 0 repeat another one" in done.out
    assert "chol: hidden missing value? 0 in 123 of 123 values" in done.out
    found = septum("silo", "data", "check", "heart", "--dir", silo, "--app", example, "--json").envelope["data"][
        "apps"
    ][0]
    assert (found["accepted"], found["rows"], found["report"]["classes"]["0"]) == (True, 123, 8)
    assert found["digest"].startswith("blake3:")


def test_a_check_fails_where_a_run_would_be_refused_and_still_prints_everything(add, septum, silo, example):
    add("--column", "sex={ codes = { M = 1 } }", hospital="cleveland")
    done = septum("silo", "data", "check", "heart", "--dir", silo, "--app", example)
    assert done.code == 1
    assert "error: data.heart: 303 values violate the contract in 303 rows. sex: 303 unmapped code" in done.err
    assert "sex: unmapped code, such as '1.0', '0.0'" in done.out
    envelope = septum("silo", "data", "check", "heart", "--dir", silo, "--app", example, "--json").envelope
    assert envelope["data"]["apps"][0]["accepted"] is False
    assert envelope["error"]["code"] == "data"


def test_what_may_leave_has_no_small_count_and_no_value(add, septum, silo, example):
    add()
    done = septum("silo", "data", "check", "heart", "--dir", silo, "--app", example, "--for-others", "--json")
    report = done.envelope["data"]["apps"][0]["report"]
    assert (report["rows"], report["classes"], report["least"]) == (123, None, 10)
    assert "low" not in report["columns"][0]
    assert (
        "classes   not told"
        in septum("silo", "data", "check", "heart", "--dir", silo, "--app", example, "--for-others").out
    )


def test_without_an_app_the_apps_of_silo_toml_that_use_the_data_are_checked(add, septum, silo, example):
    add()
    nobody = septum("silo", "data", "check", "heart", "--dir", silo, "--json")
    assert (nobody.code, nobody.envelope["error"]["hint"]) == (2, "say which contract: --app APP_DIR")
    with (silo / "silo.toml").open("a") as file:
        file.write(f'\n[apps.heart-disease]\npath = "{example}"\ndata = "heart"\n')
    checked = septum("silo", "data", "check", "heart", "--dir", silo, "--json").envelope["data"]["apps"]
    assert [one["app"] for one in checked] == ["heart-disease"]


@pytest.fixture
def two(septum, silo, example, home):
    """Two versions of the example's package in the silo."""
    folder = home / "app"
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    for version in ("1.0.0", "1.1.0"):
        manifest = (folder / "septum.toml").read_text()
        (folder / "septum.toml").write_text(manifest.replace('version = "1.0.0"', f'version = "{version}"'))
        package = built(folder, home / "dist")
        assert septum("silo", "app", "add", package.path, "--dir", silo).code == 0
    return package


def test_a_contract_is_that_of_a_package_which_the_steward_has_fetched(add, septum, silo, two):
    """She has no folder of the app's, and nothing about it in silo.toml yet."""
    add()

    def check(*arguments):
        return septum("silo", "data", "check", "heart", "--dir", silo, *arguments, "--json")

    hint = "say which contract: --app heart-disease==1.0.0, or --app heart-disease==1.1.0"
    assert check().envelope["error"]["hint"] == hint
    for named in ("heart-disease==1.1.0", two.digest, two.digest[:20], two.path):
        assert check("--app", named).envelope["data"]["apps"][0]["accepted"] is True, named
    assert "could be" in check("--app", "heart-disease").envelope["error"]["message"]
    assert "heart-disease" in check("--app", "hart-disease").envelope["error"]["message"]
    with (silo / "silo.toml").open("a") as file:
        file.write('\n[apps.heart-disease]\ndata = "heart"\n')
    assert [one["app"] for one in check().envelope["data"]["apps"]] == ["heart-disease==1.0.0", "heart-disease==1.1.0"]


def test_a_name_of_a_folder_and_of_a_package_here_is_ambiguous(add, septum, silo, two, example):
    add()
    septum("silo", "app", "remove", "heart-disease==1.0.0", "--dir", silo)
    shutil.copytree(example, "heart-disease")
    done = septum("silo", "data", "check", "heart", "--dir", silo, "--app", "heart-disease", "--json")
    assert "is a folder here and a package in this silo" in done.envelope["error"]["message"]
    assert done.envelope["error"]["hint"] == f"./heart-disease is the folder, {two.digest} the package"
    assert septum("silo", "data", "check", "heart", "--dir", silo, "--app", "./heart-disease").code == 0


def test_a_package_that_silo_toml_names_and_nobody_fetched_is_said_so(add, septum, silo):
    add()
    with (silo / "silo.toml").open("a") as file:
        file.write('\n[apps.heart-disease]\ndata = "heart"\n')
    done = septum("silo", "data", "check", "heart", "--dir", silo, "--json")
    assert "its package is not in this silo" in done.envelope["error"]["message"]
    assert done.envelope["error"]["hint"] == f"septum silo app fetch heart-disease --dir {silo}"


def test_data_that_are_not_there_name_the_nearest(add, septum, silo):
    assert "there is none yet" in septum("silo", "data", "describe", "x", "--dir", silo, "--json").out
    add()
    done = septum("silo", "data", "check", "hart", "--dir", silo, "--json")
    assert (done.code, "did you mean 'heart'" in done.envelope["error"]["message"]) == (2, True)
