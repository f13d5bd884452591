"""The geometric median: right where it is known, the same as over whole vectors, and within its bound under attack."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.algorithms.attackers import ATTACKS, attacked, combined, diameter, honest_updates, nearest

from septum.algorithms.geometric_median import geometric_median_factors
from septum.algorithms.gram import gram_matrix

F = np.float32
GIVEN = {"iterations": 100, "nu": 1e-6}


def factors(updates, **changed):
    return geometric_median_factors(GIVEN | changed, gram_matrix([updates], len(updates)), [1] * len(updates))


def objective(point, updates):
    return float(np.linalg.norm(updates.astype(np.float64) - point, axis=1).sum())


def naive(updates, iterations):
    """Weiszfeld over whole vectors, without a Gram matrix, from the same start."""
    wide = updates.astype(np.float64)
    between = np.linalg.norm(wide[:, None] - wide[None], axis=2)
    majority = len(wide) // 2 + 1
    centre = np.sort(between, axis=1)[:, :majority].sum(axis=1).argmin()
    point = wide[np.argsort(between[centre], kind="stable")[:majority]].mean(axis=0)
    for _ in range(iterations):
        pull = 1 / np.maximum(1e-6, np.linalg.norm(wide - point, axis=1))
        point = (pull[:, None] * wide).sum(axis=0) / pull.sum()
    return point


def test_the_corners_of_a_triangle_give_its_fermat_point():
    # All angles of a right isosceles triangle with legs of 1 are below 120 degrees. On the diagonal, at (t, t), the
    # pulls cancel where the legs' corners are seen at 120 degrees: t = (3 - sqrt 3) / 6.
    corners = F([[0, 0], [1, 0], [0, 1]])
    t = (3 - 3**0.5) / 6
    assert combined("geometric-median", corners, {"iterations": 1000}) == pytest.approx([t, t], abs=1e-6)


def test_on_a_line_it_is_the_median():
    assert combined("geometric-median", F([[0], [1], [3], [7], [1000]]), GIVEN) == pytest.approx([3.0], abs=1e-3)


def test_most_silos_at_one_point_are_the_median():
    updates = F([[2, 5], [2, 5], [2, 5], [900, -3], [4, 1e20]])
    assert combined("geometric-median", updates) == pytest.approx([2.0, 5.0], abs=1e-4)


def test_a_nu_above_all_distances_gives_the_mean():
    assert combined("geometric-median", F([[0], [1], [8]]), {"nu": 10.0}) == pytest.approx([3.0])


def test_one_silo_is_its_own_median():
    assert combined("geometric-median", F([[3, -4]])).tolist() == [3.0, -4.0]


@given(st.integers(1, 12), st.integers(0, 2**32), st.sampled_from([1, 5, 100]))
def test_it_is_the_naive_iteration_over_whole_vectors(silos, seed, iterations):
    updates = honest_updates(silos, seed=seed)
    found = factors(updates, iterations=iterations) @ updates.astype(np.float64)
    assert np.abs(found - naive(updates, iterations)).max() <= 1e-6


@given(st.integers(2, 12), st.integers(0, 2**32))
def test_no_other_point_that_was_tried_has_a_smaller_sum_of_distances(silos, seed):
    updates = honest_updates(silos, seed=seed)
    weights = factors(updates, iterations=1000)
    assert weights.sum() == pytest.approx(1.0)
    point = weights @ updates.astype(np.float64)
    best = objective(point, updates)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        other = point + rng.normal(size=point.shape) * 10.0 ** rng.integers(-3, 2)
        assert best <= objective(other, updates) * (1 + 1e-9)


@given(st.integers(0, 2**32))
def test_the_order_of_silos_changes_no_more_than_rounding(seed):
    updates, order = honest_updates(7, seed=seed), np.random.default_rng(seed).permutation(7)
    assert factors(updates[order]) == pytest.approx(factors(updates)[order], abs=1e-12)


@given(st.integers(0, 2**32), st.floats(-100, 100))
def test_a_translation_of_all_silos_translates_it(seed, by):
    updates = honest_updates(7, seed=seed)
    moved = (updates + F(by)).astype(F)
    same = (moved.astype(np.float64) - by).astype(np.float64)  # what the translation rounded away is not the rule's
    there = factors(moved) @ moved.astype(np.float64) - by
    assert np.abs(there - naive(same.astype(F), 100)).max() <= 1e-4


@pytest.mark.parametrize("iterations", [1, 100])
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("silos", [3, 4, 5, 8, 11, 21])
@pytest.mark.parametrize("seed", range(4))  # another order of the silos: of a tie in rounding the first one wins
def test_fewer_than_half_are_borne_from_the_first_iteration_on(seed, silos, attack, iterations):
    attackers = (silos - 1) // 2
    updates, honest = attacked(attack, silos, attackers, seed)
    found = combined("geometric-median", updates, {"iterations": iterations})
    spread, majority = diameter(honest), len(honest) - attackers
    bound = 2 * len(honest) * spread / majority
    # The start: an honest silo's sum of distances to its silos // 2 nearest is `total` at most. The centre's is no
    # larger, and of those it counts silos // 2 - attackers + 1 at least lead to honest silos: one is near. What is
    # averaged lies within `total` of the centre. No step makes the sum of distances larger; many make it the smallest.
    total = silos // 2 * spread
    start = total + total / (silos // 2 - attackers + 1)
    slack = 0.01 * spread if iterations == 100 else silos * start / majority
    assert nearest(found, honest) <= bound + slack


@pytest.mark.parametrize("silos", [3, 4, 5, 8, 11])
def test_half_of_the_silos_lead_it_away(silos):
    updates, honest = attacked("same point", silos, (silos - 1) // 2 + 1)
    assert nearest(combined("geometric-median", updates), honest) >= 1e28


def test_a_silo_that_states_all_the_rows_has_one_vote():
    updates = F([[0, 1], [1, 0], [1, 1], [1e30, 0]])
    gram = gram_matrix([updates], 4)
    assert geometric_median_factors(GIVEN, gram, [1, 1, 1, 2**53]).tolist() == factors(updates).tolist()
