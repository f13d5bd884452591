"""Rings that no sum leaves, and roundings that are exactly as large as promised."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from septum.errors import SecAggError
from septum.secagg.context import MAX_SILOS
from septum.secagg.fixed_point import (
    MAX_WEIGHT,
    Scale,
    add_wide,
    check_clipped,
    from_wide,
    mean,
    quantise,
    subtract_wide,
    to_wide,
)

silos = st.one_of(st.integers(1, 12), st.sampled_from([64, 199, MAX_SILOS]))
caps = st.one_of(st.integers(1, 1000), st.integers(1, MAX_WEIGHT), st.just(MAX_WEIGHT))
clips = st.one_of(
    st.sampled_from([1.0, 0.1, 1 / 3, 1e-30, 1e30, 10.0]), st.floats(1e-6, 1e6, allow_nan=False, allow_infinity=False)
)


def f32(*values):
    return np.array(values, np.float32)


def signed(words):
    return words.view(np.int32).astype(object)


# --- the 32-bit ring -----------------------------------------------------------------------------------------------


def test_words_are_the_weighted_steps_in_twos_complement():
    """Two silos of at most 10 rows, |x| <= 1: floor((2^31 - 1)/2) = 1073741823 steps for 10 rows of 1.0."""
    words, clipped = quantise(f32(1, -1, 0.5, 0, 2, -3), 5, Scale(silos=2, weight_cap=10, clip=1.0))
    # 536870911.5 is halfway and goes to the even 536870912; 268435455.75 up
    assert signed(words).tolist() == [536870912, -536870912, 268435456, 0, 536870912, -536870912]
    assert clipped == 2


@given(silos, caps, clips, st.sampled_from([1, -1]))
def test_all_silos_at_their_caps_do_not_leave_the_ring(n, cap, clip, sign):
    scale = Scale(n, cap, clip)
    words, _ = quantise(f32(sign * 3e38), cap, scale)
    total = n * int(signed(words)[0])
    assert -(2**31) < total < 2**31
    assert abs(total) > 2**31 - 2 * n - 2  # and use it


def test_four_silos_at_the_cap_would_leave_it_with_steps_of_the_whole_ring_over_four():
    """4 * rint((2^31 - 1)/4) is 2^31, which is -2^31 in 32 bits."""
    scale = Scale(silos=4, weight_cap=100, clip=1.0)
    words, _ = quantise(f32(1), 100, scale)
    assert 4 * round((2**31 - 1) / 4) == 2**31
    assert mean(words * np.uint32(4), 400, scale)[0] == pytest.approx(1.0, abs=1e-8)


@given(st.data(), st.integers(1, 8), caps, clips)
@settings(max_examples=60)
def test_the_mean_is_within_half_a_step_a_silo_and_one_rounding(data, n, cap, clip):
    """n C/2^32 W_cap/W, times 1.00001 for a whole number of steps and float64, and half a last place of float32."""
    scale = Scale(n, cap, clip)
    weights = data.draw(st.lists(st.integers(1, cap), min_size=n, max_size=n))
    limit = float(np.nextafter(np.float32(clip), np.float32(0)))
    values = [f32(data.draw(st.floats(-limit, limit, width=32))) for _ in range(n)]
    total = np.zeros(1, np.uint32)
    for value, weight in zip(values, weights, strict=True):
        words, clipped = quantise(value, weight, scale)
        assert clipped == 0
        total += words
    exact = sum(Fraction(float(v[0])) * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    found = mean(total, sum(weights), scale)[0]
    bound = n * Fraction(clip) / 2**32 * (n * cap) / sum(weights) * Fraction("1.00001")
    rounding = (abs(exact) + bound) / 2**24 + Fraction(1, 2**149)
    assert abs(Fraction(float(found)) - exact) <= bound + rounding


@given(st.integers(1, 70_000), st.integers(1, 70_000))
def test_blocks_make_no_difference(size, cut):
    scale = Scale(silos=3, weight_cap=7, clip=0.25)
    update = np.linspace(-0.3, 0.3, size, dtype=np.float32)
    words, clipped = quantise(update, 5, scale)
    parts = [quantise(part, 5, scale) for part in (update[:cut], update[cut:])]
    assert np.array_equal(words, np.concatenate([part for part, _ in parts]))
    assert clipped == sum(count for _, count in parts)


def test_an_empty_block_is_a_block():
    words, clipped = quantise(f32(), 1, Scale(2, 1, 1.0))
    assert (words.size, clipped) == (0, 0)
    assert mean(words, 1, Scale(2, 1, 1.0)).size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 70_000])
def test_a_nan_or_an_infinity_is_refused(bad, at):
    update = np.zeros(70_001, np.float32)
    update[at] = bad
    with pytest.raises(SecAggError, match="a NaN or an infinity"):
        quantise(update, 1, Scale(2, 1, 1.0))


@pytest.mark.parametrize("weight", [0, -1, 101])
def test_a_weight_outside_1_to_the_cap_aborts(weight):
    with pytest.raises(SecAggError, match=f"a weight of {weight} rows; the plan's cap is 100"):
        quantise(f32(0), weight, Scale(2, 100, 1.0))


@pytest.mark.parametrize(
    "values",
    [
        (0, 1, 1.0),
        (201, 1, 1.0),
        (2, 0, 1.0),
        (2, 2**31, 1.0),
        (2, 1, 0.0),
        (2, 1, -1.0),
        (2, 1, np.nan),
        (2, 1, np.inf),
    ],
)
def test_a_scale_that_cannot_be_is_refused(values):
    with pytest.raises(SecAggError):
        Scale(*values)


@pytest.mark.parametrize("wrong", [np.zeros(2), np.zeros((2, 2), np.float32)])
def test_an_update_is_a_row_of_float32(wrong):
    with pytest.raises(SecAggError, match="blocks of float32"):
        quantise(wrong, 1, Scale(2, 1, 1.0))


@pytest.mark.parametrize("wrong", [np.zeros(2, np.int32), np.zeros((2, 2), np.uint32)])
def test_a_sum_is_a_row_of_words(wrong):
    with pytest.raises(SecAggError, match="words of 32 bits"):
        mean(wrong, 1, Scale(2, 1, 1.0))


@pytest.mark.parametrize("total", [0, -1, 201])
def test_a_total_weight_that_the_silos_cannot_have_is_refused(total):
    with pytest.raises(SecAggError, match="1 to 200"):
        mean(np.zeros(1, np.uint32), total, Scale(2, 100, 1.0))


def test_a_silo_aborts_when_more_than_one_in_a_thousand_coordinates_were_clipped():
    check_clipped(0, 0)
    check_clipped(3, 3000)
    with pytest.raises(SecAggError, match="4 of 3000 coordinates"):
        check_clipped(4, 3000)
    with pytest.raises(SecAggError, match="1 of 999"):
        check_clipped(1, 999)


def test_a_coordinate_at_the_clip_is_not_clipped_one_beyond_is():
    scale = Scale(1, 1, 0.1)  # which float32 does not have: the nearest is above
    below = np.nextafter(np.float32(0.1), np.float32(0))
    assert quantise(f32(0.1), 1, scale)[1] == 1
    assert quantise(f32(below, -below), 1, scale)[1] == 0


# --- the 128-bit ring ----------------------------------------------------------------------------------------------

wide_values = st.one_of(
    st.floats(-(2.0**54), 2.0**54),
    st.sampled_from([0.0, -0.0, 1e-30, -1e-30, 2.0**-64, -(2.0**-65), 3 * 2.0**-65, -3 * 2.0**-65, 5e-324]),
    st.floats(-1, 1),
    st.sampled_from([2.0**54, -(2.0**54), 1 - 2.0**-53, 2.0**53 + 1]),
)


def rounded(value: float) -> int:
    """rint(v * 2^64), half to even, by Python's whole numbers."""
    return round(Fraction(value) * 2**64)


def numbers(wide) -> list[int]:
    whole = [int(low) | int(high) << 64 for low, high in wide]
    return [number - 2**128 if number >= 2**127 else number for number in whole]


@given(st.lists(wide_values, max_size=6))
def test_wide_words_are_exactly_the_rounded_multiples_of_2_to_the_minus_64(values):
    assert numbers(to_wide(np.array(values, np.float64), silos=200)) == [rounded(value) for value in values]


@given(st.lists(st.lists(wide_values, min_size=3, max_size=3), min_size=1, max_size=7))
def test_a_wide_sum_is_the_exact_sum_rounded_to_float64_once(rows):
    total = np.zeros((3, 2), np.uint64)
    for row in rows:
        add_wide(total, to_wide(np.array(row), silos=200))
    exact = [sum(rounded(row[at]) for row in rows) for at in range(3)]
    assert numbers(total) == exact
    assert from_wide(total).tolist() == [number / 2**64 for number in exact]
    assert from_wide(np.asfortranarray(total)).tolist() == from_wide(total).tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 64, 200])
@pytest.mark.parametrize("sign", [1, -1])
def test_all_silos_at_the_limit_do_not_leave_the_wide_ring(n, sign):
    largest = 2.0**62 / n
    total = np.zeros((1, 2), np.uint64)
    for _ in range(n):
        add_wide(total, to_wide(np.array([sign * largest]), n))
    assert from_wide(total)[0] == sign * (n * rounded(largest) / 2**64)
    with pytest.raises(SecAggError, match=f"beyond 2.62 / {n} silos"):
        to_wide(np.array([np.nextafter(sign * largest, sign * np.inf)]), n)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_wide_word(bad):
    with pytest.raises(SecAggError, match="not finite"):
        to_wide(np.array([0.0, bad]), 2)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_adding_and_subtracting_is_modulo_2_to_the_128(one, other):
    def words(number):
        return np.array([[number % 2**64, number >> 64]], np.uint64)

    added, subtracted = words(one), words(one)
    add_wide(added, words(other))
    subtract_wide(subtracted, words(other))
    assert np.array_equal(added, words((one + other) % 2**128))
    assert np.array_equal(subtracted, words((one - other) % 2**128))


def test_a_word_may_be_added_to_itself():
    one = np.array([[2**63 + 1, 3]], np.uint64)
    add_wide(one, one)
    assert one.tolist() == [[2, 7]]


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), np.zeros(2, np.uint64), np.zeros((2, 3), np.uint64)])
def test_wide_sums_have_two_words_each(wrong):
    for function in (from_wide, lambda given: add_wide(given, given), lambda given: subtract_wide(given, given)):
        with pytest.raises(SecAggError, match=r"\(k, 2\) uint64"):
            function(wrong)
    with pytest.raises(SecAggError, match="a row of float64"):
        to_wide(np.zeros(2, np.float32), 2)
    with pytest.raises(SecAggError, match="1 to 200"):
        to_wide(np.zeros(2), 0)
