"""An OMOP database becomes one row a patient, as of a day of her own."""

from __future__ import annotations

import sqlite3

import pytest

from septum.adapters.readers import omop
from septum.adapters.readers.omop import open_omop
from septum.errors import ConfigError, DataError
from septum.sdk.cells import Quantity

CHOL, MI, SMOKING = 3027114, 312327, 43054909

TABLES = """
CREATE TABLE person (person_id INTEGER, gender_concept_id INTEGER, year_of_birth INTEGER, month_of_birth INTEGER,
  day_of_birth INTEGER);
CREATE TABLE visit_occurrence (visit_occurrence_id INTEGER, person_id INTEGER, visit_start_date DATE);
CREATE TABLE condition_occurrence (condition_occurrence_id INTEGER, person_id INTEGER, condition_concept_id INTEGER,
  condition_start_date DATE);
CREATE TABLE measurement (measurement_id INTEGER, person_id INTEGER, measurement_concept_id INTEGER,
  measurement_date DATE, value_as_number REAL, value_as_concept_id INTEGER, unit_concept_id INTEGER,
  unit_source_value TEXT);
CREATE TABLE observation (observation_id INTEGER, person_id INTEGER, observation_concept_id INTEGER,
  observation_date DATE, value_as_number REAL, value_as_concept_id INTEGER, unit_concept_id INTEGER,
  unit_source_value TEXT);
CREATE TABLE concept (concept_id INTEGER, concept_code TEXT);
INSERT INTO concept VALUES (8840, 'mg/dL'), (8753, 'mmol/L');
INSERT INTO person VALUES (1, 8507, 1950, 6, 15), (2, 8532, 1960, NULL, NULL), (3, 0, 1970, 1, 1),
  (4, 8507, NULL, 1, 1);
INSERT INTO visit_occurrence VALUES (1, 1, '2020-06-14'), (2, 1, '2019-06-14'), (3, 2, '2020-01-01'), (4, 3, NULL);
"""


@pytest.fixture
def database(tmp_path, monkeypatch):
    connection = sqlite3.connect(tmp_path / "cdm.db")
    connection.executescript(TABLES)
    rows = [
        (1, 1, CHOL, "2019-06-14", 233.0, None, 8840, "mg/dl"),
        (2, 1, CHOL, "2019-06-01", 999.0, None, 8840, "mg/dl"),
        (3, 1, CHOL, "2019-06-15", 111.0, None, 8840, "mg/dl"),  # after the first visit
        (4, 2, CHOL, "2018-06-01", 5.0, None, 8753, None),  # long before it
        (5, 2, CHOL, "2019-12-31", 5.5, None, 8753, None),
        (6, 2, CHOL, "2020-01-01", None, None, 8753, None),
        (7, 1, 999, "2019-06-14", 1.0, None, None, None),
    ]
    connection.executemany("INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute(f"INSERT INTO observation VALUES (1, 2, {SMOKING}, '2020-01-01', NULL, 45884037, NULL, NULL)")
    connection.executemany(
        f"INSERT INTO condition_occurrence VALUES (?, ?, {MI}, ?)", [(1, 1, "2019-06-14"), (2, 3, "2021-05-05")]
    )
    connection.commit()
    connection.close()
    monkeypatch.setenv("CDM", f"sqlite:///{tmp_path / 'cdm.db'}")
    return tmp_path / "cdm.db"


def rows_of(*wanted, **settings):
    found = {}
    for batch in open_omop({"url_env": "CDM", "index": "visit", **settings}).read(wanted):
        for name, cells in batch.items():
            found.setdefault(name, []).extend(cells)
    return found


def test_patients_with_an_index_date_are_rows_and_the_newest_value_until_then_counts(database):
    assert rows_of(f"measurement.{CHOL}", "person.sex", f"condition.{MI}") == {
        f"measurement.{CHOL}": [Quantity(233.0, "mg/dL"), Quantity(5.5, "mmol/L")],
        "person.sex": [8507.0, 8532.0],
        f"condition.{MI}": [1.0, 0.0],
    }


def test_age_is_in_whole_years_on_the_index_date(database):
    assert rows_of("person.age") == {"person.age": [68.0, 60.0]}  # the day before a birthday; a year alone
    everybody = rows_of("person.age", "person.sex", index="2020-06-15")
    assert everybody == {"person.age": [70.0, 60.0, 50.0, None], "person.sex": [8507.0, 8532.0, None, 8507.0]}


def test_the_first_condition_can_be_the_index_and_the_window_can_be_wider(database):
    found = rows_of("person.year_of_birth", f"condition.{MI}", index=f"condition.{MI}")
    assert found == {"person.year_of_birth": [1950.0, 1970.0], f"condition.{MI}": [1.0, 1.0]}
    late = {"index": "2020-01-01", "window_days": 2}
    assert rows_of(f"measurement.{CHOL}", **late) == {
        f"measurement.{CHOL}": [None, Quantity(5.5, "mmol/L"), None, None]
    }


def test_values_that_are_concepts(database):
    assert rows_of(f"observation.{SMOKING}.concept") == {f"observation.{SMOKING}.concept": [None, 45884037.0]}
    assert rows_of("measurement.999") == {"measurement.999": [1.0, None]}


def test_what_there_is_is_listed_and_batches_are_bounded(database, monkeypatch):
    monkeypatch.setattr(omop, "BATCH_ROWS", 1)
    found = rows_of()
    assert list(found) == [
        *("person.age", "person.sex", f"condition.{MI}", f"measurement.{CHOL}", "measurement.999"),
        f"observation.{SMOKING}",
    ]
    assert {len(cells) for cells in found.values()} == {2}


@pytest.mark.parametrize("name", ["age", "person.name", "condition.I21", "measurement.1.unit", "drug.1"])
def test_what_is_no_column_is_named(database, name):
    with pytest.raises(DataError, match="is no column of an OMOP database"):
        rows_of(name)


@pytest.mark.parametrize("index", ["", "visits", "condition.MI", "2020-13-01", "20200101"])
def test_an_index_that_cannot_be_meant_is_refused(index):
    with pytest.raises(ConfigError, match="index is"):
        open_omop({"url_env": "CDM", "index": index})


def test_a_database_that_is_no_cdm_is_named(tmp_path, monkeypatch, database):
    connection = sqlite3.connect(database)
    connection.execute("DROP TABLE measurement")
    connection.close()
    with pytest.raises(DataError, match="no such table: measurement"):
        rows_of(f"measurement.{CHOL}")


def test_a_date_that_is_none_is_named_without_being_quoted(database):
    connection = sqlite3.connect(database)
    connection.execute("UPDATE visit_occurrence SET visit_start_date = 'Anna'")
    connection.commit()
    connection.close()
    with pytest.raises(DataError, match="the index date holds something that is no date") as caught:
        rows_of("person.age")
    assert "Anna" not in caught.value.message
