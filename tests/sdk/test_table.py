"""Reading CSV: what is missing, doubled, ragged or no number is named with file, line and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from septum.errors import DataError
from septum.sdk.table import read_csv

COLUMNS = ("age", "chol", "num")


def write(folder: Path, text: str) -> Path:
    path = folder / "site.csv"
    path.write_text(text)
    return path


def test_without_a_header_the_apps_order_is_taken(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, "63,233,0\n41,.5,1\n"), COLUMNS, target="num")
    assert {name: column.tolist() for name, column in table.columns.items()} == {
        "age": [63.0, 41.0],
        "chol": [233.0, 0.5],
        "num": [0.0, 1.0],
    }
    assert table.source == str(tmp_path / "site.csv")
    assert table.target == "num"


def test_with_a_header_columns_are_found_by_name_and_others_left_out(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path, "\ufeffnum, patient ,age,chol\n1,anna,63,233\n"), COLUMNS)
    assert list(table.columns) == list(COLUMNS)
    assert [float(table[name][0]) for name in COLUMNS] == [63.0, 233.0, 1.0]


def test_empty_cells_and_markers_are_missing_in_their_column_only(tmp_path: Path) -> None:
    path = write(tmp_path, "0,?,0\n ,0,1\n50,0.0,1\n")
    table = read_csv(path, COLUMNS, {"chol": ("?", 0.0)})
    assert np.isnan(table["chol"]).all()
    assert np.isnan(table["age"]).tolist() == [False, True, False]
    assert table["num"].tolist() == [0.0, 1.0, 1.0]


def test_a_marker_that_reads_as_a_number_is_that_number_however_it_is_written(tmp_path: Path) -> None:
    path = write(tmp_path, "-9.0,1,0\n-9,1,1\n50,1,1\n")
    assert np.isnan(read_csv(path, COLUMNS, {"age": ("-9",)})["age"]).tolist() == [True, True, False]


@pytest.mark.parametrize("cell", ["?", "n/a", "nan", "inf", "1_000", "1e999", "1,5x", "٣"])
def test_a_cell_that_is_no_number_is_named_with_line_and_column(tmp_path: Path, cell: str) -> None:
    quoted = f'"{cell}"'
    with pytest.raises(DataError) as caught:
        read_csv(write(tmp_path, f"age,chol,num\n63,1,0\n41,{quoted},1\n"), COLUMNS)
    assert f"line 3, column 'chol': {cell!r} is no number" in caught.value.message
    assert "site.csv" in caught.value.message
    assert "missing = [" in caught.value.hint


def test_a_missing_column_is_named_with_the_file_and_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"site.csv: no column 'chol'; did you mean 'chole'\?") as caught:
        read_csv(write(tmp_path, "age,chole,num\n63,233,0\n"), COLUMNS)
    assert "site.csv" in caught.value.hint


def test_a_doubled_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'age' is there 2 times"):
        read_csv(write(tmp_path, "age,age,chol,num\n1,2,3,4\n"), COLUMNS)


def test_a_ragged_row_is_named_by_its_line_also_after_blank_lines_and_quoted_breaks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 6: 2 cells, 4 are needed"):
        read_csv(write(tmp_path, 'age,chol,num,note\n\n63,233,0,"two\nlines"\n\n41,1\n'), COLUMNS)


def test_without_a_header_an_error_says_which_order_was_taken(tmp_path: Path) -> None:
    with pytest.raises(DataError) as ragged:
        read_csv(write(tmp_path, "63,233\n"), COLUMNS)
    with pytest.raises(DataError) as text:
        read_csv(write(tmp_path, "Alter,Cholesterin,Ergebnis\n63,1,2\n"), COLUMNS)
    for caught in (ragged, text):
        assert "no header was found, so the columns are taken in the app's order: age, chol, num" in caught.value.hint


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"site\.csv: the file is empty"):
        read_csv(write(tmp_path, text), COLUMNS)


def test_a_header_alone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a header and no rows"):
        read_csv(write(tmp_path, "age,chol,num\n"), COLUMNS)


def test_a_file_that_is_not_there_or_not_text_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: cannot be read") as caught:
        read_csv(tmp_path / "none.csv", COLUMNS)
    assert "ls -l" in caught.value.hint
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe1,2,3\n")
    with pytest.raises(DataError, match=r"x.csv: cannot be read as CSV in UTF-8"):
        read_csv(tmp_path / "x.csv", COLUMNS)
