"""The rule against differencing, beside brute force over all small sets of silos and exact ranks."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from septum.errors import SecAggError
from septum.secagg import journal
from septum.secagg.journal import MAX_SETS, P, conflict

ALL = "abcdefgh"


def sets(*names: str) -> list[frozenset[str]]:
    return [frozenset(name) for name in names]


def rank(rows: list[list[int]]) -> int:
    """Over the rationals, by elimination with fractions."""
    left, found = [[Fraction(value) for value in row] for row in rows], 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((row for row in left if row[column]), None)
        if pivot is None:
            continue
        found += 1
        left = [
            [a - row[column] / pivot[column] * b for a, b in zip(row, pivot, strict=True)]
            for row in left
            if row is not pivot
        ]
    return found


def isolated(all_sets: list[frozenset[str]], silos: str, few: tuple[str, ...]) -> bool:
    """Whether a combination that is not 0 is zero outside `few`: then the rank falls without their columns."""
    whole = [[int(silo in one) for silo in silos] for one in all_sets]
    without = [[int(silo in one) for silo in silos if silo not in few] for one in all_sets]
    return rank(without) < rank(whole)


cohorts = st.lists(
    st.frozensets(st.sampled_from(ALL), min_size=2).map(lambda one: one | {"a"}), min_size=1, max_size=6, unique=True
)


@given(cohorts, st.integers(2, 5))
@settings(max_examples=120, deadline=None)
def test_a_release_is_refused_exactly_if_some_small_set_of_silos_could_be_isolated(given_sets, min_cohort):
    *released, asked = given_sets
    expected = any(isolated(given_sets, ALL, few) for few in combinations(ALL, min_cohort - 1))
    found = conflict(released, asked, "a", min_cohort)
    assert (found is not None) == expected
    if found is not None:
        assert 0 < len(found) < min_cohort
        assert isolated(given_sets, ALL, tuple(found))


@pytest.mark.parametrize(
    ("released", "asked", "about"),
    [
        (["abcd"], "abc", "d"),  # the textbook attack: one silo left out
        (["abc"], "abcd", "d"),  # or taken in
        (["abcdef"], "abcd", "ef"),
        (["abcd"], "abce", "de"),  # one replaced by another: the difference of two
        (["abcd", "aefg"], "abcdefg", "a"),  # no two differ in fewer than three
        (["abcdefgh", "abcd"], "aefgh", "a"),
        (["abcde", "abcfg"], "adefg", None),
        ([], "abc", None),
        (["abc"], "abcdef", None),
        (["abcdef"], "abc", None),
        (["abcd", "abcdefg"], "abcd", None),  # the same again
    ],
)
def test_examples_with_a_min_cohort_of_three(released, asked, about):
    assert conflict(sets(*released), frozenset(asked), "a", 3) == (frozenset(about) if about else None)


def test_what_it_prevents_two_sums_of_one_base_give_a_silos_update_exactly():
    updates = {silo: np.random.default_rng(ord(silo)).normal(size=5) for silo in "abcd"}
    with_d, without = (sum(updates[silo] for silo in cohort) for cohort in ("abcd", "abc"))
    assert np.allclose(with_d - without, updates["d"])
    for silo in "abc":
        assert conflict(sets("abcd"), frozenset("abc"), silo, 3) == {"d"}


@given(cohorts, st.randoms())
def test_the_order_and_repetitions_of_what_was_released_make_no_difference(given_sets, random):
    *released, asked = given_sets
    shuffled = released * 2
    random.shuffle(shuffled)
    assert conflict(shuffled, asked, "a", 3) == conflict(released, asked, "a", 3)


@given(cohorts)
def test_the_same_set_is_always_allowed_again(given_sets):
    assert conflict(given_sets, given_sets[0], "a", 3) is None


@given(cohorts)
def test_what_is_allowed_by_a_larger_min_cohort_is_allowed_by_a_smaller(given_sets):
    *released, asked = given_sets
    answers = [conflict(released, asked, "a", least) is None for least in range(2, 7)]
    assert answers == sorted(answers, reverse=True)


def test_a_cohort_below_the_minimum_is_refused_by_itself():
    assert conflict([], frozenset("ab"), "a", 3) == {"a", "b"}


def test_a_silo_releases_only_sums_that_it_is_part_of():
    for released, asked in ((["abc"], "bcd"), (["bcd"], "abc")):
        with pytest.raises(SecAggError, match="'a' releases sums only that it is part of"):
            conflict(sets(*released), frozenset(asked), "a", 3)


def test_two_hundred_silos_and_their_cohorts_are_decided():
    names = [f"s{at:03}" for at in range(200)]
    released = [frozenset(names[:1] + names[start : start + 60]) for start in range(1, 130, 10)]
    assert conflict(released, frozenset(names), names[0], 5) is None
    assert conflict([*released, frozenset(names)], frozenset(names[:-4]), names[0], 5) == set(names[-4:])


def test_more_sets_than_can_be_decided_exactly_are_refused():
    names = [f"s{at:03}" for at in range(100)]
    released = [frozenset(["a", *names[at : at + 30]]) for at in range(MAX_SETS)]
    with pytest.raises(SecAggError, match=f"{MAX_SETS + 1} different sets"):
        conflict(released, frozenset(["a", *names]), "a", 3)
    assert conflict(released, released[3], "a", 3) is None  # the same again needs no decision


def test_more_work_than_is_bearable_is_refused(monkeypatch):
    names = [f"s{at:03}" for at in range(60)]
    rng = np.random.default_rng(3)
    released = [frozenset(["a", *rng.choice(names, 30, replace=False)]) for _ in range(20)]
    monkeypatch.setattr(journal, "MAX_STEPS", 20_000)
    with pytest.raises(SecAggError, match="too many different sets"):
        conflict(released[1:], released[0], "a", 6)


def test_every_minor_of_the_largest_matrix_is_below_the_modulus():
    """Hadamard's bound for 0/1 matrices, squared to stay with whole numbers: (k + 1)^(k + 1) / 4^k < P^2."""
    assert all((size + 1) ** (size + 1) < P**2 * 4**size for size in range(1, MAX_SETS + 1))
