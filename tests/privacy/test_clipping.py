"""The arithmetic of clipping, block by block. What it makes of whole payloads: tests/protocol/test_clipped.py."""

import math

import numpy as np
import pytest

from septum.errors import ConfigError, TensorError
from septum.privacy.clipping import factor, scale, sum_of_squares

F = np.float32


def test_the_factor_by_hand():
    # norm sqrt(9 + 16) = 5, to be 1: a fifth, less the 2^-22 that pays for rounding
    assert factor([9.0, 16.0], 1.0) == 0.2 * (1 - 2.0**-22)


@pytest.mark.parametrize("max_norm", [5.0, 5.1, 1e9])
def test_what_is_short_enough_has_no_factor(max_norm):
    assert factor([9.0, 16.0], max_norm) is None
    assert factor([], max_norm) is None


def test_the_order_of_the_blocks_changes_no_bit():
    sums = [0.1, 1e16, 0.3, 7.0, 1e-9]
    assert {factor(order, 1.0) for order in (sums, sums[::-1], sorted(sums))} == {factor(sums, 1.0)}


def test_squares_are_summed_in_float64():
    # 200,000 ones: float32 sums would miss some; and 3e38 squared is beyond float32
    assert sum_of_squares("w", np.ones(200_000, F)) == 200_000
    assert math.sqrt(sum_of_squares("w", F([3e38, 3e38]))) == pytest.approx(3e38 * math.sqrt(2), rel=1e-6)


def test_a_block_is_multiplied_in_its_place():
    block = F([3, 0, 4])
    scale(block, 0.2)
    assert block == pytest.approx([0.6, 0.0, 0.8], rel=1e-6)


def test_a_factor_too_small_for_float32_still_gives_the_product():
    # 1e-6 / 3e38 is below the normal numbers of float32; the product is not
    block = F([3e38])
    scale(block, 1e-6 / 3e38)
    assert block == pytest.approx([1e-6], rel=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused_by_tensor(bad):
    with pytest.raises(TensorError, match="tensor 'b' of the update has a NaN or an infinity"):
        sum_of_squares("b", F([1, bad]))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_limits_nothing_is_refused(bad):
    with pytest.raises(ConfigError, match="finite number above 0"):
        factor([1.0], bad)
