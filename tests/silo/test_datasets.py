"""[data.NAME] of silo.toml: what is written reads back, a mistake is named, and no numpy is loaded for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from septum.errors import ConfigError
from septum.sdk.mapping import ColumnMapping, OnViolation
from septum.silo.config import AppSettings, SiloConfig, read_config, write_config
from septum.silo.datasets import Dataset, plain_file

TOP = '[silo]\nname = "north"\ncoordinator = "https://fl.example.org:8443"\n'
APP = '[apps.heart]\npath = "app"\ndata = "heart"\n'


def read(folder: Path, text: str) -> SiloConfig:
    (folder / "silo.toml").write_text(TOP + text)
    return read_config(folder / "silo.toml")


def test_every_key_is_read_and_an_app_names_its_data(tmp_path):
    config = read(
        tmp_path,
        APP
        + """
        [data.heart]
        source = "csv"
        path = "exports/heart.csv"
        delimiter = ";"
        names = ["a", "b"]
        on_violation = "drop"
        [data.heart.columns]
        chol = { from = "cholesterol", unit = "mmol/l", substance = "cholesterol", missing = ["0", -9], decimals = 0 }
        sex = { from = "gender", codes = { M = 1, F = 0 } }
        temp = { factor = 1.8, offset = 32 }
        """,
    )
    assert config.data["heart"] == Dataset(
        name="heart",
        source="csv",
        settings={"path": str(tmp_path / "exports/heart.csv"), "delimiter": ";", "names": ("a", "b")},
        columns={
            "chol": ColumnMapping("cholesterol", "mmol/l", "cholesterol", None, 0.0, {}, ("0", -9.0), 0),
            "sex": ColumnMapping("gender", codes={"M": 1.0, "F": 0.0}),
            "temp": ColumnMapping(factor=1.8, offset=32.0),
        },
        on_violation=OnViolation.DROP,
    )
    app = config.apps["heart"]
    assert app.dataset == "heart"
    assert config.dataset_of(app) is config.data["heart"]


def test_a_path_to_a_file_still_is_one(tmp_path):
    config = read(tmp_path, '[apps.heart]\npath = "app"\ndata = "heart.csv"\n')
    assert config.apps["heart"] == AppSettings(tmp_path / "app", tmp_path / "heart.csv")
    assert config.dataset_of(config.apps["heart"]) == plain_file(tmp_path / "heart.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[data.x]\n", r"\[data.x\]: source is missing"),
        ("[data.x]\nsource = 'cvs'\n", r"\[data.x\]: source is 'cvs'; did you mean 'csv'"),
        ("[data.x]\nsource = 'csv'\n", r"\[data.x\]: path is missing"),
        (
            "[data.x]\nsource = 'csv'\npath = 'p'\npathh = 'q'\n",
            r"\[data.x\]: unknown key 'pathh'; did you mean 'path'",
        ),
        ("[data.x]\nsource = 'csv'\npath = 'p'\nquery = 'q'\n", "unknown key 'query'"),
        ("[data.x]\nsource = 'csv'\npath = 'p'\ndelimiter = 'ab'\n", r"\[data.x\]: delimiter is 'ab'"),
        (
            "[data.x]\nsource = 'csv'\npath = 'p'\non_violation = 'drpo'\n",
            "on_violation is 'drpo'; did you mean 'drop'",
        ),
        ("[data.x]\nsource = 'sql'\nurl_env = 'U'\n", r"\[data.x\]: one of query and query_file is needed"),
        ("[data.x]\nsource = 'sql'\nurl_env = 'U'\nquery = 'DROP TABLE x'\n", "begin with SELECT"),
        ("[data.'a b']\nsource = 'csv'\npath = 'p'\n", "a name has letters, digits"),
        ("[data]\nx = 3\n", "x is 3, a table is needed"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "silo.toml") in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("{ form = 'x' }", r"\[data.x.columns.c\]: unknown key 'form'; did you mean 'from'"),
        ("{ codes = { M = 'x' } }", "M is 'x', a finite number is needed"),
        ("{ codes = { M = inf } }", "M is inf, a finite number is needed"),
        ("{ codes = 3 }", "codes is 3, a table is needed"),
        ("{ missing = '0' }", "missing is '0', a list of texts and numbers is needed"),
        ("{ missing = [true] }", "missing is .True., a list of texts and numbers"),
        ("{ factor = true }", "factor is True, a finite number is needed"),
        ("{ decimals = 1.5 }", "decimals is 1.5, a whole number from 0 to 12"),
        ("3", "c is 3, a table is needed"),
    ],
)
def test_a_mistake_in_a_column_is_named(tmp_path, mapping, says):
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, f"[data.x]\nsource = 'csv'\npath = 'p'\n[data.x.columns]\nc = {mapping}\n")


def test_an_app_whose_data_are_nowhere_names_the_nearest(tmp_path):
    text = "[data.hart]\nsource = 'csv'\npath = 'p'\n"
    with pytest.raises(ConfigError, match=r"data is 'heart', neither a file nor under \[data\]; did you mean 'hart'"):
        read(tmp_path, APP + text)


def test_what_is_written_reads_back_as_it_was(tmp_path):
    config = SiloConfig(
        "north",
        "https://h:1",
        {"heart": AppSettings(Path("/app"), tmp_path / "x", "", "x")},
        data={
            "x": Dataset(
                "x",
                "csv",
                {"path": "/a b/ü.csv", "names": ("ä", 'q"')},
                {"a.b": ColumnMapping("f\\x", codes={'k "': 1.0}, missing=("", 1.5), decimals=0)},
                OnViolation.MISSING,
            ),
            "y": Dataset("y", "sql", {"url_env": "URL", "query": "SELECT 1\n-- two lines"}),
        },
    )
    write_config(tmp_path / "silo.toml", config)
    assert read_config(tmp_path / "silo.toml") == config


@pytest.mark.processes
def test_neither_settings_nor_reading_load_numpy_or_a_driver():
    program = "import sys, septum.silo.config, septum.silo.reading; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"numpy", "sqlalchemy", "pyarrow"} & set(done.stdout.split())
