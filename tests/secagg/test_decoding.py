"""Which shares are wrong: noticed up to r - t of them, located up to (r - t) // 2."""

import os

from hypothesis import given
from hypothesis import strategies as st

from septum.secagg.decoding import outliers
from septum.secagg.shamir import PRIME


@st.composite
def words(draw, share_of_wrong):
    """xs, a row of values on a polynomial, the threshold, and the places to change."""
    count = draw(st.integers(2, 9))
    threshold = draw(st.integers(1, count - 1))
    xs = draw(st.lists(st.integers(1, 200), min_size=count, max_size=count, unique=True))
    polynomial = draw(st.lists(st.integers(0, PRIME - 1), min_size=threshold, max_size=threshold))
    row = [sum(c * x**power for power, c in enumerate(polynomial)) % PRIME for x in xs]
    most = share_of_wrong(count - threshold)
    wrong = draw(st.lists(st.integers(0, count - 1), max_size=most, unique=True))
    changed = list(row)
    for at in wrong:
        changed[at] = (row[at] + draw(st.integers(1, PRIME - 1))) % PRIME
    return xs, row, changed, threshold, tuple(sorted(wrong))


@given(words(lambda spare: spare // 2))
def test_up_to_half_of_the_spare_shares_may_be_wrong_and_are_located(given_words):
    xs, row, changed, threshold, wrong = given_words
    found = outliers(xs, {"right": row, "changed": changed}, threshold, os.urandom)
    assert found == ({"changed": wrong} if wrong else {})


@given(words(lambda spare: spare))
def test_up_to_all_spare_shares_may_be_wrong_and_it_is_noticed(given_words):
    xs, row, changed, threshold, wrong = given_words
    assert (outliers(xs, {"right": row, "changed": changed}, threshold, os.urandom).keys() == {"changed"}) == bool(
        wrong
    )


def test_places_are_counted_over_all_rows_and_told_row_by_row():
    rows = {"a": (0, 1, 0, 0, 0, 0), "b": (0, 1, 0, 0, 0, 2), "c": (3, 3, 3, 3, 3, 3), "d": (0, 1, 0, 1, 0, 0)}
    xs = (1, 2, 3, 4, 5, 6)
    assert outliers(xs, {name: rows[name] for name in "abc"}, 2, os.urandom) == {"a": (1,), "b": (1, 5)}
    assert outliers(xs, rows, 2, os.urandom) == {"a": (), "b": (), "d": ()}


@given(st.integers(2, 6))
def test_values_of_a_polynomial_of_any_higher_degree_are_noticed(degree):
    """Also where their highest divided difference is 0."""
    xs = range(1, 9)
    assert outliers(xs, {"a": [x**degree for x in xs]}, 2, os.urandom).keys() == {"a"}
    assert outliers(xs, {"a": [x**degree for x in xs]}, degree + 1, os.urandom) == {}


def test_one_wrong_share_beyond_the_threshold_is_noticed_but_not_located():
    """Three points of which any two make a line."""
    assert outliers((1, 2, 3), {"a": (1, 2, 4)}, 2, os.urandom) == {"a": ()}


def test_two_rows_that_are_wrong_in_opposite_ways_do_not_hide_each_other():
    rows = {"a": (0, 0, 5, 0), "b": (0, 0, PRIME - 5, 0)}
    assert outliers((1, 2, 3, 4), rows, 2, os.urandom) == {"a": (2,), "b": (2,)}
