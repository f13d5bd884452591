"""Does the weighted mean keep its promises: right, canonical, the same bits at any width, little memory?"""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from septum.algorithms.weighted_mean import MAX_WEIGHT, weighted_mean, weighted_sum
from septum.errors import TensorError

EPS = 2.0**-24  # the relative error of one rounding to float32


@st.composite
def silo_vectors(draw):
    """A block of 1 to 6 silos with row counts, at least one of them above 0."""
    silos, width = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    values = st.floats(-1000, 1000, width=32)
    block = draw(arrays(np.float32, (silos, width), elements=values))
    weights = draw(st.lists(st.integers(1, 10_000_000), min_size=silos, max_size=silos))
    return block, weights


def error_bound(block):
    """Each term: one rounding of the share, one of the product, one per addition; all of size max |x| at most."""
    return (block.shape[0] + 2) * EPS * np.abs(block).max(initial=0) * 2 + 1e-30


def test_two_silos_by_hand():
    # (1*1 + 3*5) / 4 = 4 ; (1*-2 + 3*2) / 4 = 1
    block = np.array([[1, -2], [5, 2]], np.float32)
    assert weighted_mean(block, [1, 3]).tolist() == [4.0, 1.0]


def test_three_silos_by_hand():
    # (2*3 + 1*6 + 5*-4) / 8 = -1
    assert weighted_mean(np.array([[3], [6], [-4]], np.float32), np.array([2, 1, 5])).tolist() == [-1.0]


def test_a_silo_of_weight_zero_does_not_count():
    assert weighted_mean(np.array([[3], [9]], np.float32), [7, 0]).tolist() == [3.0]


@pytest.mark.parametrize("weight_type", [np.int32, np.int64, np.float32, np.float64])
def test_the_result_is_float32_whatever_the_weights_are(weight_type):
    result = weighted_mean(np.ones((2, 3), np.float32), np.array([1, 2], weight_type))
    assert result.dtype == np.float32


@pytest.mark.parametrize("width", [1, 7, 1_000, 10_000, 64_000])
def test_any_block_width_gives_the_bits_of_a_plain_loop(width):
    rng = np.random.default_rng(1)
    block = rng.normal(size=(7, 150_001)).astype(np.float32)[:, : min(150_001, 40 * width)]
    weights = [303, 261, 46, 130, 9_999_999, 1, 77]
    expected = np.zeros(block.shape[1], np.float32)
    for weight, vector in zip(weights, block, strict=True):
        expected = expected + np.float32(weight / sum(weights)) * vector
    parts = [weighted_mean(block[:, at : at + width], weights) for at in range(0, block.shape[1], width)]
    assert np.concatenate(parts).tobytes() == expected.tobytes()


def test_ten_million_rows_a_silo_lose_no_accuracy():
    rng = np.random.default_rng(2)
    block = (rng.normal(size=(64, 2_000)) * 1e-3).astype(np.float32)
    weights = rng.integers(10_000_000, 2_000_000_000, size=64)
    exact = np.average(block.astype(np.float64), axis=0, weights=weights)
    assert np.abs(weighted_mean(block, weights) - exact).max() <= error_bound(block)


def test_values_near_the_largest_float_do_not_overflow():
    # w * x = 1e7 * 1e38 would be infinite in float32.
    block = np.array([[1e38], [1e38]], np.float32)
    assert weighted_mean(block, [10_000_000, 30_000_000]) == pytest.approx([1e38], rel=1e-6)


def test_no_memory_is_taken_for_each_silo():
    block = np.ones((50, 100_000), np.float32)
    weights = np.ones(50)
    row_bytes = block[0].nbytes
    tracemalloc.start()
    weighted_mean(block, weights)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * row_bytes + 100_000  # the result, one temporary row, and change


@given(silo_vectors())
def test_the_arguments_are_left_alone(case):
    block, weights = case
    before, weights = block.copy(), np.array(weights, np.float64)
    weights_before = weights.copy()
    weighted_mean(block, weights)
    assert block.tobytes() == before.tobytes()
    assert weights.tobytes() == weights_before.tobytes()


@given(silo_vectors(), st.randoms(use_true_random=False))
def test_silos_that_arrive_in_another_order_give_the_same_bits_once_sorted(case, random):
    block, weights = case
    arrived = [(f"silo-{i}", vector, weight) for i, (vector, weight) in enumerate(zip(block, weights, strict=True))]
    random.shuffle(arrived)
    arrived.sort(key=lambda report: report[0])
    again = weighted_mean(np.stack([r[1] for r in arrived]), [r[2] for r in arrived])
    assert again.tobytes() == weighted_mean(block, weights).tobytes()


@given(silo_vectors(), st.randoms(use_true_random=False))
def test_another_order_changes_no_more_than_rounding(case, random):
    block, weights = case
    order = list(range(len(weights)))
    random.shuffle(order)
    again = weighted_mean(block[order], [weights[i] for i in order])
    assert np.abs(again - weighted_mean(block, weights)).max() <= 2 * error_bound(block)


@given(silo_vectors(), st.integers(1, 10_000_000))
def test_equal_weights_give_the_mean(case, weight):
    block, _ = case
    mean = block.astype(np.float64).mean(axis=0)
    assert np.abs(weighted_mean(block, [weight] * len(block)) - mean).max() <= error_bound(block)


@given(
    arrays(np.float32, (1, 8), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.floats(1e-3, 1e9),
)
def test_one_silo_comes_back_bit_for_bit(block, weight):
    assert weighted_mean(block, [weight]).tobytes() == block.tobytes()


@given(silo_vectors(), st.integers(-20, 20))
def test_weights_times_a_power_of_two_give_the_same_bits(case, exponent):
    block, weights = case
    scaled = np.array(weights) * 2.0**exponent
    assert weighted_mean(block, scaled).tobytes() == weighted_mean(block, weights).tobytes()


@given(silo_vectors(), st.floats(1e-3, 1e3))
def test_weights_times_any_factor_give_the_same_mean(case, factor):
    block, weights = case
    scaled = weighted_mean(block, np.array(weights) * factor)
    assert np.abs(scaled - weighted_mean(block, weights)).max() <= 2 * error_bound(block)


@given(silo_vectors())
def test_the_mean_lies_between_the_smallest_and_the_largest_silo(case):
    block, weights = case
    mean, slack = weighted_mean(block, weights), error_bound(block)
    assert (mean >= block.min(axis=0) - slack).all()
    assert (mean <= block.max(axis=0) + slack).all()


@settings(max_examples=25)
@given(silo_vectors())
def test_the_mean_is_the_float64_mean_within_rounding(case):
    block, weights = case
    exact = np.average(block.astype(np.float64), axis=0, weights=weights)
    assert np.abs(weighted_mean(block, weights) - exact).max() <= error_bound(block)


@pytest.mark.parametrize(
    "block", [np.ones((2, 3)), np.ones(3, np.float32), np.ones((2, 3, 1), np.float32), np.ones((2, 3), np.int64)]
)
def test_a_block_that_is_not_a_float32_matrix_is_refused(block):
    with pytest.raises(TensorError, match=r"\(silos, width\) float32"):
        weighted_mean(block, [1, 2])


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [[1, 2]], 1.0])
def test_weights_that_do_not_fit_the_silos_are_refused(weights):
    with pytest.raises(TensorError, match="2 silos' vectors"):
        weighted_mean(np.ones((2, 3), np.float32), weights)


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), 1e300, MAX_WEIGHT * 2])
def test_a_weight_that_is_no_row_count_is_refused_by_number(bad):
    with pytest.raises(TensorError, match="weight 1 of 2"):
        weighted_mean(np.ones((2, 3), np.float32), [5, bad])


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(TensorError, match="all 2 silos are 0"):
        weighted_mean(np.ones((2, 3), np.float32), [0, 0])


def test_no_silo_at_all_is_refused():
    with pytest.raises(TensorError, match="0 silos"):
        weighted_mean(np.ones((0, 3), np.float32), [])


def test_each_block_is_weighted_by_its_own_weights_also_when_a_list_was_changed():
    block = np.array([[1.0], [3.0]], np.float32)
    weights = [1, 1]
    assert weighted_mean(block, weights).tolist() == [2.0]
    weights[1] = 3
    assert weighted_mean(block, weights).tolist() == [2.5]


def test_a_weight_of_minus_zero_is_zero():
    block = np.array([[1.0], [-0.0]], np.float32)
    assert weighted_mean(block, [-0.0, 7.5]).tobytes() == np.float32([0.0]).tobytes()
    assert weighted_mean(block, [0.0, 7.5]).tobytes() == np.float32([0.0]).tobytes()


def test_a_sum_by_hand():
    # 0.5 * 1 - 2 * 3 = -5.5 ; 0.5 * 4 - 2 * 0 = 2
    assert weighted_sum(np.array([[1, 4], [3, 0]], np.float32), [0.5, -2]).tolist() == [-5.5, 2.0]


def test_a_factor_of_zero_leaves_its_silo_out_whatever_it_sent():
    block = np.array([[np.inf, 5], [-0.0, 0.1], [np.nan, -1]], np.float32)
    assert weighted_sum(block, [0, 1, 0]).tobytes() == block[1].tobytes()


def test_a_factor_that_float32_would_round_up_to_its_double_counts_as_zero():
    assert float(np.float32(0.75e-45)) > 1.4e-45
    assert weighted_sum(np.full((2, 1), 3e38, np.float32), [0.75e-45, 0]).tolist() == [0.0]
    assert weighted_sum(np.full((2, 1), 3e38, np.float32), [2e-38, 0]) == pytest.approx([6.0])


def test_nobodys_sum_is_zero():
    assert weighted_sum(np.ones((2, 3), np.float32), [0, 0]).tobytes() == bytes(12)


@pytest.mark.parametrize("width", [1, 7, 1_000])
def test_a_sum_has_the_same_bits_at_any_block_width(width):
    block = np.random.default_rng(8).normal(size=(5, 10_007)).astype(np.float32)
    factors = [0.1, 0, 0.7, -3, 1e-3]
    whole = weighted_sum(block, factors)
    parts = [weighted_sum(block[:, at : at + width], factors) for at in range(0, block.shape[1], width)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("factors", [[1], [1, 2, 3], 1.0])
def test_factors_that_are_not_one_a_silo_are_refused(factors):
    with pytest.raises(TensorError, match="2 silos' vectors came with weights"):
        weighted_sum(np.ones((2, 3), np.float32), factors)
