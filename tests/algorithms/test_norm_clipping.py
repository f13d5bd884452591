"""Norm clipping: right by hand, and no silo moves the mean further than its bound says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.algorithms.attackers import ATTACKS, attacked, combined, honest_updates, updates_of_silos

F = np.float32


def naive(updates, norm):
    """Sun et al.: the mean of x_i / max(1, |x_i| / M), over whole vectors."""
    wide = updates.astype(np.float64)
    return (wide / np.maximum(1, np.linalg.norm(wide, axis=1, keepdims=True) / norm)).mean(axis=0)


def test_two_silos_by_hand():
    # (3, 4) has norm 5 and becomes (1.5, 2) at 2.5; (1, 0) stays: the mean is (1.25, 1).
    assert combined("norm-clipping", F([[3, 4], [1, 0]]), {"norm": 2.5}) == pytest.approx([1.25, 1.0], rel=1e-6)


def test_short_updates_are_their_mean():
    assert combined("norm-clipping", F([[3, 4], [1, 0]]), {"norm": 5}).tolist() == [2.0, 2.0]


def test_no_update_at_all_is_none():
    assert combined("norm-clipping", np.zeros((3, 4), F)).tolist() == [0.0] * 4


@given(updates_of_silos(), st.floats(0.01, 5000))
def test_it_is_the_naive_mean_of_clipped_vectors(updates, norm):
    bound = 1e-6 * (len(updates) + 2) * min(norm, 5000)
    assert np.abs(combined("norm-clipping", updates, {"norm": norm}) - naive(updates, norm)).max() <= bound


@given(st.integers(0, 2**32))
def test_the_order_of_silos_changes_no_more_than_rounding(seed):
    updates, order = honest_updates(7, seed=seed), np.random.default_rng(seed).permutation(7)
    plain = combined("norm-clipping", updates)
    assert combined("norm-clipping", updates[order]) == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("attackers", [1, 3, 7, 8])
def test_attackers_move_the_mean_by_their_share_of_the_norm_and_no_more(attackers, attack):
    updates, honest = attacked(attack, 9, attackers)
    found = combined("norm-clipping", updates, {"norm": 2.0})
    moved = np.linalg.norm(found - naive(honest, 2.0))
    assert moved <= attackers / 9 * 4.0 * (1 + 1e-6)
    assert np.linalg.norm(found) <= 2.0 * (1 + 1e-6)


def test_an_attacker_that_sends_the_opposite_reaches_the_bound():
    honest = np.tile(F([2.0, 0.0]), (4, 1))
    updates = np.concatenate([honest, F([[-1e30, 0.0]])])
    # (4 * 2 - 2) / 5 = 1.2 = 2 - 2 * 1 * 2 / 5
    assert combined("norm-clipping", updates, {"norm": 2.0}) == pytest.approx([1.2, 0.0], rel=1e-6)


def test_without_clipping_the_same_attacker_moves_the_mean_anywhere():
    updates, _ = attacked("same point", 9, 1)
    assert np.abs(combined("fedavg", updates)).min() >= 1e28
