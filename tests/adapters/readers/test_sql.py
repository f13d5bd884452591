"""A database: asked, never written to, and its password is in no error."""

from __future__ import annotations

import sqlite3
import sys

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from septum.adapters.readers import sql
from septum.adapters.readers.database import _failed, url_of
from septum.adapters.readers.sql import open_sql
from septum.errors import ConfigError, ConnectionFailedError, DataError, MissingExtraError, SeptumError


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "hospital.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE patients (id INTEGER, gender TEXT, chol REAL, note TEXT);"
            "INSERT INTO patients VALUES (1, 'M', 5.2, '100%'), (2, 'F', NULL, ':x'), (3, 'M', 6, NULL);"
        )
    connection.close()
    return path


@pytest.fixture
def settings(tmp_path, database):
    url = tmp_path / "database.url"
    url.write_text(f"sqlite:///{database}\n")
    url.chmod(0o600)
    return {"url_file": str(url)}


def rows_of(settings, query, *wanted):
    found = {}
    for batch in open_sql({**settings, "query": query}).read(wanted):
        for name, cells in batch.items():
            found.setdefault(name, []).extend(cells)
    return found


def test_the_wanted_columns_of_a_query_in_its_order(settings):
    query = "-- all\nSELECT id, gender AS sex, chol FROM patients WHERE note IS NULL OR note LIKE '%' ORDER BY id DESC;"
    assert rows_of(settings, query, "sex", "chol") == {"sex": ["M", "F", "M"], "chol": [6.0, None, 5.2]}


def test_signs_that_mean_something_to_drivers_mean_nothing_here(settings):
    assert rows_of(settings, "SELECT note FROM patients WHERE note IN ('100%', ':x')") == {"note": ["100%", ":x"]}


def test_rows_come_in_bounded_batches(settings, monkeypatch):
    monkeypatch.setattr(sql, "BATCH_ROWS", 2)
    reader = open_sql({**settings, "query": "SELECT id FROM patients ORDER BY id"})
    assert [batch["id"] for batch in reader.read(["id"])] == [[1.0, 2.0], [3.0]]


def test_a_query_comes_from_a_file_too(settings, tmp_path):
    (tmp_path / "q.sql").write_text("WITH a AS (SELECT id FROM patients) SELECT id FROM a ORDER BY id")
    reader = open_sql({**settings, "query_file": str(tmp_path / "q.sql")})
    assert next(reader.read(["id"])) == {"id": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    "query", ["DELETE FROM patients", "", "  -- select\nDROP TABLE patients", "INSERT INTO x SELECT 1"]
)
def test_a_query_that_does_not_ask_is_refused(settings, query):
    with pytest.raises(ConfigError, match="begin with SELECT or WITH"):
        open_sql({**settings, "query": query})


def test_what_looks_like_a_question_and_writes_is_refused_by_the_database(settings, database):
    before = database.read_bytes()
    with pytest.raises(DataError, match="refused the query"):
        rows_of(settings, "WITH a AS (SELECT 1) DELETE FROM patients")
    assert database.read_bytes() == before


def test_a_wrong_query_and_a_wrong_column_are_named(settings):
    with pytest.raises(DataError, match="no such table: patient"):
        rows_of(settings, "SELECT id FROM patient")
    with pytest.raises(DataError, match="the query's result: no column 'sexx'; did you mean 'sex'"):
        rows_of(settings, "SELECT gender AS sex FROM patients", "sexx")


def test_a_url_that_others_may_read_is_refused(settings, tmp_path):
    (tmp_path / "database.url").chmod(0o640)
    with pytest.raises(ConfigError, match="others may read it") as caught:
        rows_of(settings, "SELECT 1")
    assert caught.value.hint.startswith("chmod 600")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "one of url_file and url_env"),
        ({"url_file": "/a", "url_env": "B"}, "one of url_file and url_env"),
        ({"url_env": "SEPTUM_TEST_NO_URL"}, "SEPTUM_TEST_NO_URL, which url_env names, is not set"),
        ({"url_file": "/no/such/file"}, "/no/such/file: cannot be read"),
    ],
)
def test_a_url_that_is_nowhere_is_named(settings, says):
    with pytest.raises(ConfigError, match=says):
        url_of(settings)


def test_a_url_from_the_environment(database, monkeypatch):
    monkeypatch.setenv("HOSPITAL_DB", f"sqlite:///{database}")
    assert rows_of({"url_env": "HOSPITAL_DB"}, "SELECT count(*) AS n FROM patients") == {"n": [3.0]}


def test_a_database_that_is_not_there_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSPITAL_DB", f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(ConnectionFailedError, match="there is no such database"):
        rows_of({"url_env": "HOSPITAL_DB"}, "SELECT 1")
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_does_not_answer_is_down_and_no_fault_of_the_query(tmp_path, monkeypatch):
    """Here the driver's own error: what lies there cannot be opened as a database."""
    monkeypatch.setenv("HOSPITAL_DB", f"sqlite:///{tmp_path}")
    with pytest.raises(ConnectionFailedError, match="the database cannot be reached: unable to open") as caught:
        rows_of({"url_env": "HOSPITAL_DB"}, "SELECT 1")
    assert "is it up" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://steward:{}@db.invalid:5432/ehr",
        "postgresql+nosuchdriver://steward:{}@db.invalid/ehr",
        "nosuchbase://steward:{}@db.invalid/ehr",
        "steward:{}@no-url",
        "sqlite:////no/such/folder/{}.db",
    ],
)
def test_no_error_quotes_the_password(url, monkeypatch):
    monkeypatch.setenv("HOSPITAL_DB", url.format("hunter2"))
    with pytest.raises(SeptumError) as caught:
        rows_of({"url_env": "HOSPITAL_DB"}, "SELECT 1")
    if not url.startswith("sqlite"):
        assert "hunter2" not in caught.value.message + caught.value.hint
        assert caught.value.__cause__ is None


def test_without_the_extra_the_error_names_it(settings, monkeypatch):
    for name in ("sqlalchemy", "sqlalchemy.exc"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as caught:
        rows_of(settings, "SELECT 1")
    assert caught.value.hint == "pip install 'septum[sql]'"


@pytest.mark.parametrize("quoted", ["hunter2/ä", "hunter2%2F%C3%A4"])
def test_a_driver_that_quotes_the_password_is_not_quoted(quoted):
    url = make_url("postgresql+psycopg://steward@db:5432/ehr").set(password="hunter2/ä")
    raised = OperationalError(None, None, Exception(f'connection to "db" failed: no user steward with {quoted}'))
    told = _failed(url, raised, down=True)
    assert "hunter2" not in told.message
    assert 'connection to "db" failed: no user steward with ***' in told.message
    assert "steward:***@db:5432/ehr" in told.message
