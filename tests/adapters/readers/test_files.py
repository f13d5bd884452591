"""CSV and Parquet files: as hospitals export them, and what is wrong is named with its place."""

from __future__ import annotations

import datetime
import decimal
import sys

import pyarrow
import pytest
from pyarrow import parquet

from septum.adapters.readers import csv_file
from septum.adapters.readers.csv_file import open_csv
from septum.adapters.readers.parquet_file import open_parquet
from septum.adapters.readers.registry import READERS
from septum.errors import ConfigError, DataError, MissingExtraError
from septum.silo.sources import reader_kind


def rows_of(reader, *wanted):
    """All batches as one."""
    found = {}
    for batch in reader.read(wanted):
        assert len({len(cells) for cells in batch.values()}) == 1
        for name, cells in batch.items():
            found.setdefault(name, []).extend(cells)
    return found


def csv(folder, content, **settings):
    path = folder / "site.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_csv({"path": str(path), **settings})


def test_columns_are_found_by_name_and_others_are_not_read(tmp_path):
    reader = csv(tmp_path, "\ufeffnum, patient ,age\n1,anna,63\n\n0,bert,\n")
    assert rows_of(reader, "age", "num") == {"age": ["63", ""], "num": ["1", "0"]}
    assert list(rows_of(reader)) == ["num", "patient", "age"]


def test_without_a_header_the_wanted_order_is_taken_or_the_names_of_the_settings(tmp_path):
    assert rows_of(csv(tmp_path, "63,1\n41,0\n"), "age", "num") == {"age": ["63", "41"], "num": ["1", "0"]}
    reader = csv(tmp_path, "x,63,1\n", names=("id", "age", "num"))
    assert rows_of(reader, "num") == {"num": ["1"]}
    assert rows_of(csv(tmp_path, "63,a\n")) == {"1": ["63"], "2": ["a"]}


def test_other_separators_encodings_and_decimal_commas(tmp_path):
    text = "Größe;Wert\n1,85;5,2\n,5;a,b\n".encode("cp1252")
    reader = csv(tmp_path, text, delimiter=";", encoding="cp1252", decimal=",")
    assert rows_of(reader, "Größe", "Wert") == {"Größe": ["1.85", ".5"], "Wert": ["5.2", "a,b"]}


def test_many_rows_come_in_bounded_batches_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "BATCH_ROWS", 4)
    reader = csv(tmp_path, "a\n" + "".join(f"{number}\n" for number in range(10)))
    assert [len(batch["a"]) for batch in reader.read(["a"])] == [4, 4, 2]
    assert rows_of(reader, "a")["a"] == [str(number) for number in range(10)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the file is empty"),
        ("age,chole\n63,1\n", r"no column 'chol'; did you mean 'chole'\?"),
        ("age,age,chol\n1,2,3\n", "column 'age' is there 2 times"),
        ("age,chol\n63,1\n41\n", "line 3: 1 cells, 2 are needed"),
        (b"age,chol\n\xff,1\n", "cannot be read as CSV in UTF-8"),
        ('age,chol\n"63,1\n', "cannot be read as CSV"),
    ],
)
def test_a_csv_that_cannot_be_used_is_named(tmp_path, content, says):
    with pytest.raises(DataError, match=says) as caught:
        rows_of(csv(tmp_path, content), "age", "chol")
    assert "site.csv" in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path):
    for reader in (open_csv({"path": str(tmp_path / "none")}), open_parquet({"path": str(tmp_path / "none")})):
        with pytest.raises(DataError, match="none: cannot be read"):
            rows_of(reader, "a")


@pytest.mark.parametrize("settings", [{"delimiter": ";;"}, {"encoding": "ebcdic"}, {"decimal": "'"}])
def test_a_setting_that_cannot_be_meant_is_refused_before_reading(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        open_csv({"path": "x", **settings})


def write_parquet(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)
    return open_parquet({"path": str(path)})


def test_parquet_values_become_numbers_and_texts(tmp_path):
    reader = write_parquet(
        tmp_path / "x.parquet",
        number=[1.5, None, float("nan")],
        whole=[1, 2, None],
        flag=[True, False, None],
        text=pyarrow.array(["M", "F", None]).dictionary_encode(),
        money=[decimal.Decimal("5.20"), None, None],
        day=[datetime.date(2020, 2, 1), None, None],
    )
    assert rows_of(reader) == {
        "number": [1.5, None, None],
        "whole": [1.0, 2.0, None],
        "flag": [1.0, 0.0, None],
        "text": ["M", "F", None],
        "money": [5.2, None, None],
        "day": ["2020-02-01", None, None],
    }
    assert list(rows_of(reader, "text")) == ["text"]


def test_a_parquet_that_cannot_be_used_is_named(tmp_path):
    path = tmp_path / "x.parquet"
    reader = write_parquet(path, age=[1])
    with pytest.raises(DataError, match="no column 'agee'; did you mean 'age'"):
        rows_of(reader, "agee")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"x.parquet: cannot be read as Parquet"):
        rows_of(reader, "age")


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        rows_of(open_parquet({"path": str(tmp_path / "x.parquet")}), "age")
    assert caught.value.hint == "pip install 'septum[parquet]'"


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(ConfigError, match="source is 'parket'; did you mean 'parquet'"):
        reader_kind("parket")
    assert set(READERS) >= {"csv", "parquet", "sql"}
