"""Coordinate median and trimmed mean: the middle of each coordinate, which few silos cannot move out of the range."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.algorithms.attackers import ATTACKS, attacked, combined, same_point, updates_of_silos

from septum.algorithms.strategy import strategy
from septum.algorithms.trimmed_mean import _comparators, coordinate_median, trimmed_mean
from septum.errors import TensorError

F = np.float32


def test_the_median_of_three_by_hand():
    assert coordinate_median(F([[1, -2], [5, 2], [3, 40]])).tolist() == [3.0, 2.0]


def test_the_median_of_four_is_the_mean_of_the_middle_two():
    # sorted: 1 3 5 9 -> 4 ; -7 0 2 100 -> 1
    assert coordinate_median(F([[5, 100], [1, 0], [9, -7], [3, 2]])).tolist() == [4.0, 1.0]


def test_the_trimmed_mean_of_five_by_hand():
    # sorted: -50 1 2 6 99 -> (1 + 2 + 6) / 3
    found = trimmed_mean(F([[6], [99], [-50], [1], [2]]), 1)
    assert found.tolist() == pytest.approx([3.0], rel=1e-6)


def test_without_trimming_it_is_the_mean():
    assert trimmed_mean(F([[1, 4], [3, 0]]), 0).tolist() == [2.0, 2.0]


@pytest.mark.parametrize("silos", range(1, 9))
def test_the_comparators_sort_everything_that_there_is(silos):
    # The zero-one principle (Knuth 5.3.4, theorem Z): what sorts all zeros and ones sorts everything.
    for values in itertools.product((0, 1), repeat=silos):
        row = list(values)
        for low, high in _comparators(silos):
            row[low], row[high] = min(row[low], row[high]), max(row[low], row[high])
        assert row == sorted(values)


@given(st.integers(1, 260), st.integers(0, 2**32))
def test_many_silos_are_sorted_too(silos, seed):
    block = np.random.default_rng(seed).normal(size=(silos, 3)).astype(F)
    assert coordinate_median(block) == pytest.approx(np.median(block, axis=0), rel=1e-6, abs=1e-7)


@given(updates_of_silos(), st.integers(0, 4))
def test_it_is_the_naive_mean_of_the_middle_rows(updates, trim):
    trim = min(trim, (len(updates) - 1) // 2)
    kept = np.sort(updates.astype(np.float64), axis=0)[trim : len(updates) - trim]
    bound = (len(kept) + 2) * 2.0**-24 * 1000  # a rounding of the share and of each product and addition
    assert np.abs(trimmed_mean(updates, trim) - kept.mean(axis=0)).max() <= bound


@given(updates_of_silos(), st.integers(0, 2**32), st.integers(0, 4))
def test_the_order_of_silos_changes_no_bit(updates, seed, trim):
    trim = min(trim, (len(updates) - 1) // 2)
    other = updates[np.random.default_rng(seed).permutation(len(updates))]
    assert trimmed_mean(other, trim).tobytes() == trimmed_mean(updates, trim).tobytes()


@given(updates_of_silos(), st.integers(-1000, 1000))
def test_a_translation_of_all_silos_translates_the_median_exactly(updates, by):
    assert (coordinate_median(updates + F(by)) == coordinate_median(updates) + F(by)).all()


@given(updates_of_silos(), st.integers(-1000, 1000), st.integers(0, 4))
def test_a_translation_of_all_silos_translates_the_trimmed_mean_but_for_rounding(updates, by, trim):
    trim = min(trim, (len(updates) - 1) // 2)
    moved = trimmed_mean(updates + F(by), trim) - F(by)
    assert np.abs(moved - trimmed_mean(updates, trim)).max() <= 20 * 2.0**-24 * 2000


@pytest.mark.parametrize("silos", [2, 3, 4, 7])
def test_zeros_of_either_sign_give_the_same_bits_wherever_they_lie_in_the_row(silos):
    rng = np.random.default_rng(silos)
    block = np.where(rng.random((silos, 1003)) < 0.5, F(0.0), F(-0.0))
    assert trimmed_mean(block, (silos - 1) // 2).tobytes() == bytes(4 * 1003)


def test_values_near_the_largest_float_do_not_overflow():
    assert coordinate_median(np.full((4, 3), 3e38, F)) == pytest.approx(3e38, rel=1e-6)


@pytest.mark.parametrize(("silos", "trim"), [(1, 1), (2, 1), (4, 2), (5, 3), (3, -1)])
def test_trimming_everything_is_refused(silos, trim):
    with pytest.raises(TensorError, match=f"of {silos} values nothing is left"):
        trimmed_mean(np.ones((silos, 2), F), trim)


@pytest.mark.parametrize("block", [np.ones((3, 2)), np.ones(3, F)])
def test_a_block_of_another_kind_is_refused(block):
    with pytest.raises(TensorError, match=r"\(silos, width\) float32"):
        trimmed_mean(block, 1)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("silos", [3, 4, 5, 8, 11])
def test_fewer_than_half_leave_every_coordinate_of_the_median_in_the_honest_range(silos, attack):
    updates, honest = attacked(attack, silos, (silos - 1) // 2)
    found = combined("median", updates)
    assert (honest.min(axis=0) <= found).all()
    assert (found <= honest.max(axis=0)).all()


@pytest.mark.parametrize("silos", [3, 4, 5, 8, 11])
def test_half_of_the_silos_lead_the_median_away(silos):
    updates, _ = attacked("same point", silos, (silos - 1) // 2 + 1)
    assert combined("median", updates).min() >= 1e29


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(("silos", "trim"), [(3, 1), (4, 1), (5, 2), (9, 1), (9, 3)])
def test_as_many_as_are_trimmed_leave_every_coordinate_in_the_honest_range(silos, trim, attack):
    updates, honest = attacked(attack, silos, trim)
    found = combined("trimmed-mean", updates, {"trim": trim})
    slack = 1e-5 * np.abs(honest).max()
    assert (honest.min(axis=0) - slack <= found).all()
    assert (found <= honest.max(axis=0) + slack).all()


@pytest.mark.parametrize(("silos", "trim"), [(3, 1), (4, 1), (5, 2), (9, 1), (9, 3)])
def test_one_more_than_are_trimmed_lead_it_away(silos, trim):
    updates, _ = attacked("same point", silos, trim + 1)
    assert combined("trimmed-mean", updates, {"trim": trim}).min() >= 1e28


def test_a_silo_that_states_many_rows_has_one_vote():
    block = np.concatenate([F([[1], [2], [3]]), same_point(F([[1]]), 1)])
    for name in ("median", "trimmed-mean"):
        assert strategy(name).combine(block, [1, 1, 1, 2**53]).tolist() == [2.5]
