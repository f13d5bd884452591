"""The canonical table: the same values give the same bytes, and only such a file is taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters import tables
from septum.adapters.tables import digest_of_table, is_table, read_table, write_table
from septum.errors import DataError, StorageError
from septum.protocol import tensors
from septum.protocol.plan import digest_of
from septum.sdk.data import Table

VALUES = st.lists(st.floats(allow_infinity=False), min_size=1, max_size=20)


def table(**columns):
    return Table({name: np.array(values, np.float64) for name, values in columns.items()})


@given(VALUES)
def test_what_is_written_reads_back(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("t") / "x.table"
    digest = write_table(path, table(b=values, a=values[::-1]))
    read = read_table(path, ("b", "a"), "a")
    assert list(read.columns) == ["b", "a"]
    np.testing.assert_array_equal(read["b"], values)
    assert read.target == "a"
    assert digest == digest_of(path.read_bytes()) == digest_of_table(read)


def test_equal_values_have_one_digest_whatever_their_bits_and_order():
    odd_nan = np.array([0x7FF8000000000123], np.uint64).view(np.float64)[0]
    one = digest_of_table(table(a=[0.0, np.nan], b=[1.0, 2.0]))
    assert digest_of_table(table(b=[1.0, 2.0], a=[-0.0, odd_nan])) == one
    assert digest_of_table(table(a=[0.0, 1.0], b=[1.0, 2.0])) != one


def test_the_file_is_the_owners_and_replaced_whole(tmp_path):
    path = tmp_path / "x.table"
    path.write_bytes(b"older")
    write_table(path, table(a=[1.0]))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.table"]


def test_no_room_leaves_nothing_behind(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        write_table(tmp_path / "none" / "x.table", table(a=[1.0]))


def test_only_a_table_is_taken_for_one(tmp_path: Path):
    path = tmp_path / "x"
    write_table(path, table(a=[1.0]))
    assert is_table(path)
    for content in (b"", b"age,chol\n63,233\n", b"63.0,1.0,1.0,145.0", b"\xff\xfea\x00b\x00"):
        path.write_bytes(content)
        assert not is_table(path)
    assert not is_table(tmp_path / "none")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"column.a": np.zeros(2)}, "the columns a; the app's are a, b"),
        ({"column.a": np.zeros(2), "column.b": np.zeros(2), "column.c": np.zeros(2)}, "the columns a, b, c"),
        ({"column.a": np.zeros(2), "column.b": np.zeros(2), "x": np.zeros(2)}, "the columns a, b"),
        ({"column.a": np.zeros(2), "column.b": np.zeros(3)}, "shape"),
        ({"column.a": np.zeros(2), "column.b": np.zeros(2, np.int64)}, "'b' is int64"),
        ({"column.a": np.zeros(0), "column.b": np.zeros(0)}, "without rows"),
    ],
)
def test_a_file_with_other_columns_is_refused(tmp_path, content, says):
    path = tmp_path / "x.table"
    path.write_bytes(tensors.encode(content))
    with pytest.raises(DataError, match=says):
        read_table(path, ("a", "b"))


def test_bytes_that_are_no_table_are_refused(tmp_path):
    path = tmp_path / "x.table"
    for content in (b"", b"nonsense of some length", tensors.encode({f"{tables.PREFIX}a": np.zeros(9)})[:-1]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a canonical table"):
            read_table(path, ("a",))
