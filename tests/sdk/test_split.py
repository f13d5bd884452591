"""The splits are scikit-learn's, row for row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from septum import split
from septum.errors import DataError

SIZES = st.sampled_from([0.1, 0.25, 0.5, 0.66, 0.7, 0.8, 0.9])


@settings(max_examples=200)
@given(st.lists(st.integers(0, 4), min_size=4, max_size=400), SIZES, st.integers(0, 2**32 - 1))
def test_stratified_is_scikit_learns_split_whenever_that_has_one(y: list[int], size: float, seed: int) -> None:
    try:
        expected = train_test_split(np.arange(len(y)), train_size=size, random_state=seed, stratify=y)
    except ValueError:
        with pytest.raises(DataError):
            split.stratified(y, size, seed)
        return
    train, test = split.stratified(y, size, seed)
    assert train.tolist() == expected[0].tolist()
    assert test.tolist() == expected[1].tolist()


@settings(max_examples=100)
@given(st.integers(2, 400), SIZES, st.integers(0, 2**32 - 1))
def test_shuffled_is_scikit_learns_split_whenever_that_has_one(rows: int, size: float, seed: int) -> None:
    try:
        expected = train_test_split(np.arange(rows), train_size=size, random_state=seed)
    except ValueError:
        with pytest.raises(DataError):
            split.shuffled(rows, size, seed)
        return
    train, test = split.shuffled(rows, size, seed)
    assert train.tolist() == expected[0].tolist()
    assert test.tolist() == expected[1].tolist()


@pytest.mark.parametrize("rows", [46, 130, 261, 303])
def test_the_published_sizes_given_twice_are_the_same_split(rows: int) -> None:
    y = np.arange(rows) % 3 == 0
    twice = {"train_size": 0.66, "test_size": 1.0 - 0.66, "random_state": 43, "shuffle": True}
    assert [part.tolist() for part in split.stratified(y, 0.66, seed=43)] == [
        part.tolist() for part in train_test_split(np.arange(rows), stratify=y, **twice)
    ]
    assert [part.tolist() for part in split.shuffled(rows, 0.66, seed=43)] == [
        part.tolist() for part in train_test_split(np.arange(rows), **twice)
    ]


def test_a_class_with_one_row_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match="10 rows of 2 classes, the smallest with 1,") as caught:
        split.stratified([0] * 9 + [1], 0.5, seed=0)
    assert "split.shuffled" in caught.value.hint


@pytest.mark.parametrize("size", [0.0, 1.0, -0.5, 1.5])
def test_a_size_that_leaves_a_part_empty_is_an_error(size: float) -> None:
    with pytest.raises(DataError, match="train_size is"):
        split.shuffled(10, size, seed=0)


def test_no_rows_are_an_error() -> None:
    with pytest.raises(DataError, match="0 rows are too few"):
        split.stratified([], 0.5, seed=0)
