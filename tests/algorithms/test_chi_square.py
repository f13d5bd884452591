"""Hand-worked tables, and the p-values that SciPy gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from septum.algorithms.chi_square import chi_square, odds_ratio, upper_gamma


def test_a_2x2_table_worked_out_by_hand():
    """Expected: 25 everywhere. (20-25)^2/25 = 1, four times. P(chi2_1 > 4) = erfc(sqrt(2)) = 0.0455."""
    found = chi_square([[20, 30], [30, 20]])
    assert found is not None
    assert (found.statistic, found.degrees, found.least_expected) == (4.0, 1, 25.0)
    assert found.p_value == pytest.approx(0.04550026389635842, rel=1e-12)


def test_a_2x3_table_worked_out_by_hand():
    """Expected rows: 10 20 30 and 10 20 30. Terms: 2.5 + 0 + 0.8333, twice: 6.6667. P = exp(-x/2) for two degrees."""
    found = chi_square([[5, 20, 35], [15, 20, 25]])
    assert found is not None
    assert found.statistic == pytest.approx(2 * (25 / 10 + 25 / 30), rel=1e-14)
    assert found.degrees == 2
    assert found.p_value == pytest.approx(np.exp(-10 / 3), rel=1e-12)


def test_groups_without_anybody_take_no_degrees_of_freedom():
    with_empty = [[20, 0, 30], [0, 0, 0], [30, 0, 20]]
    assert chi_square(with_empty) == chi_square([[20, 30], [30, 20]])


@pytest.mark.parametrize("cells", [[[1, 2]], [[0, 0], [3, 4]], [[1, 0], [2, 0]], [[0, 0], [0, 0]]])
def test_one_group_goes_together_with_nothing(cells):
    assert chi_square(cells) is None


def test_independent_groupings_have_a_statistic_of_zero_and_a_p_value_of_one():
    found = chi_square([[10, 20], [30, 60]])
    assert found is not None
    assert (found.statistic, found.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (7, 4), (12, 12)])
def test_the_same_as_scipy(shape):
    cells = np.random.default_rng(3).integers(1, 200, shape)
    found = chi_square(cells.tolist())
    assert found is not None
    theirs = stats.chi2_contingency(cells, correction=False)
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-10)
    assert found.degrees == theirs.dof
    assert found.least_expected == pytest.approx(theirs.expected_freq.min(), rel=1e-12)


@pytest.mark.parametrize("a", [0.5, 1.0, 1.5, 4.5, 30.0, 500.0, 2000.0])
@pytest.mark.parametrize("part", [0.0, 1e-6, 0.1, 0.9, 1.0, 1.1, 2.0, 10.0])
def test_the_gamma_function_is_right_over_its_range(a, part):
    assert upper_gamma(a, a * part) == pytest.approx(special.gammaincc(a, a * part), rel=1e-9, abs=1e-300)


def test_an_odds_ratio_worked_out_by_hand():
    """(10 x 40) / (20 x 5) = 4; the log's error is sqrt(0.1 + 0.05 + 0.2 + 0.025) = 0.61237."""
    found = odds_ratio([[10, 20], [5, 40]])
    assert found is not None
    assert found.value == 4.0
    assert found.low == pytest.approx(4 / np.exp(1.959963984540054 * 0.375**0.5), rel=1e-14)
    assert found.high == pytest.approx(4 * np.exp(1.959963984540054 * 0.375**0.5), rel=1e-14)
    theirs = stats.contingency.odds_ratio(np.array([[10, 20], [5, 40]]), kind="sample")
    assert (found.value, found.low) == pytest.approx((theirs.statistic, theirs.confidence_interval(0.95).low), rel=1e-9)


@pytest.mark.parametrize("cells", [[[1, 2], [0, 4]], [[1, 2, 3], [4, 5, 6]], [[1, 2]]])
def test_there_is_none_where_a_count_is_zero_or_the_table_no_2x2(cells):
    assert odds_ratio(cells) is None
