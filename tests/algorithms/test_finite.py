"""Whether all numbers are finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from septum.algorithms.finite import all_finite

numbers = st.floats(width=32) | st.just(float(np.finfo(np.float32).max))


@given(arrays.arrays(np.float32, st.integers(0, 300), elements=numbers))
def test_it_says_what_looking_at_each_number_says(array):
    assert all_finite(array) == bool(np.isfinite(array).all())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 7, 99_999])
def test_one_number_is_enough(bad, at):
    array = np.ones(100_000, np.float32)
    assert all_finite(array)
    array[at] = bad
    assert not all_finite(array)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.bool_])
def test_whole_numbers_are_finite(dtype):
    assert all_finite(np.ones(3, dtype))
