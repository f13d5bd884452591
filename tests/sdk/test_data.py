"""Data, splits and tables: wrong ones cannot be made."""

from __future__ import annotations

import numpy as np
import pytest

from septum import Data, Split, Table
from septum.errors import DataError


def data(labels: list[int]) -> Data:
    return Data.of({"a": range(len(labels))}, labels)


def test_data_of_keeps_names_order_and_values() -> None:
    made = Data.of({"b": [1, 2], "a": np.array([0.5, 1.5])}, np.array([True, False]))
    assert made.features == ("b", "a")
    assert made.shape.features == ("b", "a")
    assert len(made.shape) == 2
    assert made.x.tolist() == [[1.0, 0.5], [2.0, 1.5]]
    assert made.y.tolist() == [1.0, 0.0]
    assert made.x.dtype == made.y.dtype == np.float32
    assert len(made) == 2


def test_data_of_another_dtype_is_an_error() -> None:
    with pytest.raises(DataError, match="x is float64 and y is float32"):
        Data(np.zeros((2, 1)), np.zeros(2, np.float32), ("a",))  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "features"), [(3, ("a",)), (2, ("a", "b"))])
def test_data_of_another_shape_is_an_error(rows: int, features: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"x has shape \(2, 1\)"):
        Data(np.zeros((2, 1), np.float32), np.zeros(rows, np.float32), features)


def test_columns_of_different_lengths_are_an_error_that_names_one() -> None:
    with pytest.raises(DataError, match=r"feature 'b' has shape \(3,\), the target \(2,\)"):
        Data.of({"a": [1, 2], "b": [1, 2, 3]}, [0, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_an_error_that_names_feature_and_rows(value: float) -> None:
    with pytest.raises(DataError, match="feature 'b' is missing or infinite in 2 of 3 rows"):
        Data.of({"a": [1, 2, 3], "b": [1, value, value]}, [0, 1, 0])


@pytest.mark.parametrize("label", [2, -1, 0.5, np.nan])
def test_a_label_other_than_0_or_1_is_an_error(label: float) -> None:
    with pytest.raises(DataError, match="target must be 0 or 1 in every row, one is"):
        Data.of({"a": [1, 2]}, [0, label])


def test_a_feature_name_twice_is_an_error() -> None:
    with pytest.raises(DataError, match="names repeat"):
        Data(np.zeros((1, 2), np.float32), np.zeros(1, np.float32), ("a", "a"))


def test_an_app_cannot_change_its_data_in_place() -> None:
    given = np.ones((2, 1), np.float32)
    made = Data(given, np.array([0, 1], np.float32), ("a",))
    with pytest.raises(ValueError, match="read-only"):
        made.x[0, 0] = 5
    given[0, 0] = 2  # the caller's own array stays writable


def test_take_gives_the_rows_in_the_order_asked() -> None:
    assert data([0, 1, 1]).take([2, 0]).x[:, 0].tolist() == [2.0, 0.0]


@pytest.mark.parametrize(("train", "test", "part"), [([], [0, 1], "train"), ([0, 1], [], "test")])
def test_an_empty_part_is_an_error_that_names_it(train: list[int], test: list[int], part: str) -> None:
    with pytest.raises(DataError, match=f"no {part} rows are left"):
        Split(data(train), data(test))


def test_one_class_in_all_rows_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match="the target has one class, 1, in all 3 rows"):
        Split(data([1, 1]), data([1]))


def test_one_class_in_the_train_rows_alone_is_a_small_hospital_not_an_error() -> None:
    assert len(Split(data([1, 1]), data([0])).train) == 2


def test_parts_with_different_features_are_an_error() -> None:
    with pytest.raises(DataError, match="different features"):
        Split(data([0, 1]), Data.of({"b": [1]}, [1]))


def test_a_tables_unknown_column_names_file_and_nearest() -> None:
    table = Table({"age": np.zeros(2)}, "va.csv")
    with pytest.raises(DataError, match=r"va.csv: no column 'agee'; did you mean 'age'\?"):
        _ = table["agee"]


def test_complete_drops_a_row_only_for_the_columns_asked() -> None:
    nan = np.nan
    table = Table({"a": np.array([1, nan, 3]), "b": np.array([1, 2, nan]), "c": np.array([nan] * 3)}, "f", "b")
    kept = table.complete(["a", "b"])
    assert list(kept.columns) == ["a", "b"]
    assert kept["a"].tolist() == [1.0]
    assert (kept.source, kept.target) == ("f", "b")


@pytest.mark.parametrize("column", [np.zeros(3), np.zeros(2, np.float32), np.zeros((2, 1))])
def test_a_table_of_unequal_columns_cannot_be_made(column: np.ndarray) -> None:
    with pytest.raises(DataError, match="column 'b'"):
        Table({"a": np.zeros(2), "b": column})


def test_a_table_without_columns_cannot_be_made() -> None:
    with pytest.raises(DataError, match="no columns"):
        Table({})
