"""Krum and multi-Krum: whose neighbours are nearest, how many attackers that bears, and how many it does not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.algorithms.attackers import ATTACKS, attacked, combined, diameter, honest_updates, nearest, updates_of_silos

from septum.algorithms.gram import gram_matrix
from septum.algorithms.krum import krum_factors, krum_scores, multi_krum_factors
from septum.algorithms.strategy import strategy, too_few
from septum.errors import ConfigError

F = np.float32
COHORTS = [(5, 1), (6, 1), (7, 2), (9, 3), (11, 2)]


def gram(updates):
    return gram_matrix([updates], len(updates))


def naive_scores(updates, f):
    """Blanchard et al., section 4, over whole vectors."""
    wide = updates.astype(np.float64)
    return [
        sum(sorted(float(((a - b) ** 2).sum()) for j, b in enumerate(wide) if j != i)[: len(wide) - f - 2])
        for i, a in enumerate(wide)
    ]


def test_scores_by_hand():
    # On a line 0 1 3 7 12 with f = 1: two neighbours each. 0: 1 + 9; 1: 1 + 4; 3: 4 + 9; 7: 16 + 25; 12: 25 + 81.
    assert krum_scores(gram(F([[0], [1], [3], [7], [12]])), 1).tolist() == [10.0, 5.0, 13.0, 41.0, 106.0]


def test_krum_gives_the_vector_of_the_best_silo_bit_for_bit():
    updates = F([[0, 0.0], [1, -0.0], [3, 0.3], [7, 0.7], [12, 1.2]])
    assert combined("krum", updates).tobytes() == updates[1].tobytes()


def test_multi_krum_is_the_mean_of_all_but_f():
    # 12 has the worst score: (0 + 1 + 3 + 7) / 4
    assert combined("multi-krum", F([[0], [1], [3], [7], [12]])).tolist() == [2.75]


def test_of_equal_scores_the_first_silo_is_taken():
    same = gram(np.zeros((50, 1), F))
    assert krum_factors({"f": 1}, same, [1] * 50).tolist() == [1] + [0] * 49
    assert multi_krum_factors({"f": 10}, same, [1] * 50).tolist() == [1 / 40] * 40 + [0] * 10


@given(updates_of_silos(least=3), st.integers(0, 3))
def test_scores_are_the_naive_ones_exactly_where_those_are_exact(updates, f):
    f = min(f, (len(updates) - 3) // 2)
    assert krum_scores(gram(updates), f).tolist() == naive_scores(updates, f)


@given(st.integers(0, 2**32))
def test_the_order_of_silos_does_not_decide(seed):
    updates, order = honest_updates(9, seed=seed), np.random.default_rng(seed).permutation(9)
    for factors in (krum_factors, multi_krum_factors):
        plain = factors({"f": 2}, gram(updates), [1] * 9)
        assert factors({"f": 2}, gram(updates[order]), [1] * 9).tolist() == plain[order].tolist()


@given(updates_of_silos(least=5), st.integers(-1000, 1000))
def test_a_translation_of_all_silos_chooses_the_same(updates, by):
    for factors in (krum_factors, multi_krum_factors):
        moved = factors({"f": 1}, gram(updates + F(by)), [1] * len(updates))
        assert moved.tolist() == factors({"f": 1}, gram(updates), [1] * len(updates)).tolist()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(("silos", "f"), COHORTS)
@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_up_to_f_attackers_are_borne(name, silos, f, attack):
    for attackers in range(1, f + 1):
        updates, honest = attacked(attack, silos, attackers)
        bound = diameter(honest) * math.sqrt((silos - f - 2) / (silos - 2 * f - 1))
        found = combined(name, updates, {"f": f})
        # Multi-Krum's mean of vectors that lie within the bound of an honest one lies within that and a diameter.
        assert nearest(found, honest) <= bound + (diameter(honest) if name == "multi-krum" else 0)


@pytest.mark.parametrize(("silos", "f"), COHORTS)
def test_one_attacker_more_leads_multi_krum_away(silos, f):
    updates, honest = attacked("same point", silos, f + 1)
    assert nearest(combined("multi-krum", updates, {"f": f}), honest) >= 1e28


@pytest.mark.parametrize("f", [0, 1, 2, 4])
def test_f_and_two_more_that_send_one_vector_lead_krum_away(f):
    silos = 2 * f + 3
    updates, honest = attacked("same point", silos, f + 2)
    assert nearest(combined("krum", updates, {"f": f}), honest) >= 1e29
    updates, honest = attacked("same point", silos, f + 1)  # one more than the paper's condition is borne still
    assert nearest(combined("krum", updates, {"f": f}), honest) == 0.0


def test_four_silos_tolerate_no_attacker():
    assert too_few(strategy("krum"), 4).endswith("n >= 2f + 3 = 5 silos (Blanchard et al. 2017); there are 4")
    assert too_few(strategy("krum"), 5) == ""
    assert too_few(strategy("krum", {"f": 0}), 4) == ""
    assert "multi-krum with f = 3 needs the updates of n >= 2f + 3 = 9" in too_few(strategy("multi-krum", {"f": 3}), 8)


@pytest.mark.parametrize("bad", [-1, 0.5, float("nan"), 1e300])
def test_f_is_a_whole_number(bad):
    with pytest.raises(ConfigError, match="it must be whole, >= 0"):
        strategy("krum", {"f": bad})
