"""Statistics: sums over silos are the statistics of all rows together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from septum import Data, stats
from septum.errors import DataError


def of(values: list[float]) -> Data:
    return Data.of({"a": values}, [0.0] * len(values))


def summed(parts: list[Data]) -> dict[str, np.ndarray]:
    statistic = stats.mean_and_std()
    return statistic.result(
        {name: sum(statistic.summands(part)[name] for part in parts) for name in ("count", "sum", "sum_of_squares")}
    )


def test_by_hand() -> None:
    sums = stats.mean_and_std().summands(of([1.0, 2.0, 6.0]))
    assert {name: value.tolist() for name, value in sums.items()} == {
        "count": [3.0],
        "sum": [9.0],
        "sum_of_squares": [41.0],
    }
    result = stats.mean_and_std().result(sums)
    assert result["mean"].tolist() == [3.0]
    assert result["std"][0] == pytest.approx(np.sqrt(14 / 3), abs=1e-15)


@given(
    st.lists(
        st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=20),
        min_size=1,
        max_size=4,
    )
)
def test_the_sums_of_the_silos_say_what_all_rows_say(silos: list[list[float]]) -> None:
    result = summed([of(values) for values in silos])
    everything = np.array([value for values in silos for value in values], np.float64)
    assert result["mean"][0] == pytest.approx(everything.mean(), abs=1e-9)
    if everything.std() > 1e-3:
        assert result["std"][0] == pytest.approx(everything.std(), rel=1e-6)


def test_a_mean_far_from_zero_costs_no_digits_that_matter() -> None:
    values = np.float32(100_000) + np.arange(1000, dtype=np.float32)  # mean = 350 std
    assert summed([of(values.tolist())])["std"][0] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)


@given(st.floats(-1e6, 1e6, width=32), st.lists(st.integers(1, 60), min_size=1, max_size=4))
@example(value=-0.8683891892433167, rows=[43])  # here the variance comes out as 1e-16: rounding, no deviation
def test_a_constant_column_keeps_a_deviation_of_1(value: float, rows: list[int]) -> None:
    assert summed([of([value] * count) for count in rows])["std"].tolist() == [1.0]


def test_standardised_rows_have_mean_0_and_deviation_1_and_stay_what_they_were_otherwise() -> None:
    data = Data.of({"a": [1, 2, 3, 10], "b": [5, 5, 5, 5]}, [0, 1, 0, 1])
    statistic = stats.mean_and_std()
    scaled = statistic.apply(data, statistic.result(statistic.summands(data)))
    np.testing.assert_allclose(scaled.x.mean(axis=0), [0, 0], atol=1e-6)
    np.testing.assert_allclose(scaled.x.std(axis=0), [1, 0], atol=1e-6)
    assert scaled.x.dtype == np.float32
    assert scaled.features == data.features
    assert scaled.y.tolist() == data.y.tolist()


def test_no_rows_over_all_silos_is_an_error() -> None:
    with pytest.raises(DataError, match="0 train rows"):
        stats.mean_and_std().result(
            {"count": np.zeros(1), "sum": np.zeros(1), "sum_of_squares": np.zeros(1)},
        )
