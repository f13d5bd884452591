"""A steward reads her rules back, and tries them on the apps that she has."""

from __future__ import annotations

import json

import pytest
from tests.silo.small_app import write_app, write_data

from septum.cli.main import main
from septum.silo.config import Limits
from septum.silo.receipts import Receipt, Receipts


@pytest.fixture
def silo(tmp_path):
    write_app(tmp_path / "app")
    write_data(tmp_path / "data.csv")

    def with_rules(rules=""):
        app = f'[apps.small]\npath = "{tmp_path / "app"}"\ndata = "{tmp_path / "data.csv"}"\n'
        head = '[silo]\nname = "north"\ncoordinator = "https://h:1"\n'
        (tmp_path / "silo.toml").write_text(f"{head}{app}[policy]\n{rules}\n")
        return tmp_path

    return with_rules


def answer(capsys, *arguments):
    code = main([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_rule_is_shown_with_what_sets_it(silo, capsys):
    folder = silo('min_rows = 50\nhours = "20:00-06:00"')
    assert main(["silo", "policy", "show", "--dir", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("a dataset of 50 rows at least" in line and line.endswith("[policy] min_rows") for line in lines)
    assert any("works 20:00-06:00" in line for line in lines)
    _, shown = answer(capsys, "silo", "policy", "show", "--dir", folder)
    assert (shown["data"]["policy"]["min_rows"], shown["data"]["policy"]["hours"]) == (50, "20:00-06:00")


def test_every_limit_of_training_processes_is_shown_with_what_sets_it(silo, capsys):
    folder = silo("\n[limits]\nmemory_mb = 4000\ncpu_s = 7200\nsandbox = 2\n")
    assert main(["silo", "policy", "show", "--dir", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for said, key in (("at most 4000 MB", "memory_mb"), ("at most 7200 s", "cpu_s"), ("sandbox level 2", "sandbox")):
        assert any(said in line and line.endswith(f"[limits] {key}") for line in lines), key
    for name in Limits.__dataclass_fields__:
        assert any(line.startswith(f"{name} ") for line in lines), name
    _, shown = answer(capsys, "silo", "policy", "show", "--dir", folder)
    assert shown["data"]["limits"]["memory_mb"] == 4000


@pytest.mark.processes
@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        ("", ""),
        ("folders = false", "policy.folders"),
        ('columns = ["y"]', "policy.columns"),
        ('releases = ["rows"]', "policy.releases"),
    ],
)
def test_the_rule_that_keeps_an_app_from_running_is_named(silo, capsys, rules, rule):
    code, checked = answer(capsys, "silo", "policy", "check", "--dir", silo(rules))
    assert code == 0
    assert [(one["app"], one["kind"], one["rule"]) for one in checked["data"]["apps"]] == [("small", "folder", rule)]


@pytest.mark.processes
def test_the_hosts_that_the_silo_dials_are_said(silo, capsys):
    assert main(["silo", "policy", "check", "--dir", str(silo())]) == 0
    assert "asks h:1 and no other host" in capsys.readouterr().out
    folder = silo('egress_hosts = ["blobs.example.org", "b:9000"]')
    assert main(["silo", "policy", "check", "--dir", str(folder)]) == 0
    assert "asks h:1; gets a blob from blobs.example.org or b:9000 when it is sent there" in capsys.readouterr().out
    _, checked = answer(capsys, "silo", "policy", "check", "--dir", folder)
    assert checked["data"]["hosts"] == ["h:1", "blobs.example.org", "b:9000"]
    assert main(["silo", "policy", "show", "--dir", str(folder)]) == 0
    assert "and from blobs.example.org, b:9000 when it says so" in capsys.readouterr().out


def test_a_misspelt_rule_is_an_error_with_the_nearest_one(silo, capsys):
    code, checked = answer(capsys, "silo", "policy", "check", "--dir", silo("min_row = 3"))
    assert code != 0
    assert "unknown key 'min_row'; did you mean 'min_rows'" in checked["error"]["message"]


def test_receipts_are_listed_newest_first(silo, capsys):
    folder = silo()
    for number in (1, 2):
        receipt = Receipt(float(number), f"r-{number}", "p", "small 1", "sha256:a", (), "blake3:d", 6, "y", 2, "0.1")
        Receipts(folder).add(receipt)
    _, listed = answer(capsys, "silo", "receipt", "list", "--dir", folder)
    assert [one["run"] for one in listed["data"]["receipts"]] == ["r-2", "r-1"]
