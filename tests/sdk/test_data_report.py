"""What leaves a silo about its data names no small group, also not to somebody who can subtract."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import ConfigError
from septum.sdk.data_report import (
    ColumnReport,
    DataReport,
    Finding,
    Suspicion,
    for_others,
    refusal,
    refusal_for_others,
)

COUNTS = st.integers(0, 60)


def column(name, present, missing, *violations, findings=()):
    kinds = ("below the minimum", "above the maximum")
    found = {kind: count for kind, count in zip(kinds, violations, strict=False) if count}
    return ColumnReport(name, present, missing, violations=found, findings=findings)


@st.composite
def reports(draw):
    rows = draw(st.integers(1, 120))
    columns = []
    for name in ("a", "b", "y"):
        missing = draw(st.integers(0, rows))
        below = draw(st.integers(0, rows - missing))
        columns.append(column(name, rows - missing - below, missing, below))
    ones = draw(st.integers(0, columns[-1].present))
    classes = {"0": columns[-1].present - ones, "1": ones}
    kept = draw(st.integers(0, rows))
    return DataReport(rows, kept, draw(st.integers(0, rows - 1)), "y", classes, tuple(columns))


def told(report):
    """Every number in a shared report."""
    numbers = [report.rows, report.kept, report.duplicates, *(report.classes or {}).values()]
    for one in report.columns:
        numbers += [one.present, one.missing, *(one.violations or {}).values()]
    return [number for number in numbers if number is not None]


@given(reports(), st.integers(3, 20))
def test_no_small_count_and_no_complement_of_one_is_told(report, least):
    shared = for_others(report, least)
    for number in told(shared):
        assert number == 0 or number >= least
    for one, whole in zip(shared.columns, report.columns, strict=True):
        if one.present is not None:  # then all that adds up to the rows is told, and nothing of it is small
            assert one.present + one.missing + sum(one.violations.values()) == report.rows
            assert one.violations == whole.violations
    if shared.rows is None:
        assert told(shared) == []
    if shared.kept is not None:
        assert report.rows - shared.kept == 0 or report.rows - shared.kept >= least
    if shared.classes is not None:
        assert min(shared.classes.values()) >= least


@pytest.mark.parametrize("least", [3, 4])
def test_whoever_knows_the_rule_cannot_work_out_a_small_count(least):
    """All reports of one target column of so many rows, grouped by what is told of them."""
    rows = 2 * least + 3
    groups = defaultdict(list)
    for zero, one, missing in product(range(rows + 1), repeat=3):
        below = rows - zero - one - missing
        if below >= 0:
            target = column("y", zero + one, missing, below)
            report = DataReport(rows, rows, 0, "y", {"0": zero, "1": one}, (target,))
            groups[repr(for_others(report, least))].append((zero, one, missing, below))
    for alike in groups.values():
        for place, smallest in enumerate((0, 0, 1, 1)):  # an empty class counts as small
            values = {cells[place] for cells in alike}
            assert len(values) > 1 or not smallest <= next(iter(values)) < least or _trivial(alike, place)


def _trivial(alike, place):
    """No target at all, and that is told: then no class has anybody."""
    return place < 2 and all(cells[0] + cells[1] == 0 for cells in alike)


def test_what_is_told_is_worth_telling():
    chol = column("chol", 150, 50, findings=(Finding(Suspicion.HIDDEN_MISSING, 49, "0 in 49 of 150 values"),))
    ca = column("ca", 3, 197, findings=(Finding(Suspicion.CONSTANT, 3, "each of 3 values is 0"),))
    y = column("y", 200, 0)
    shared = for_others(DataReport(200, 200, 1, "y", {"0": 51, "1": 149}, (chol, ca, y)))
    assert (shared.rows, shared.duplicates, shared.classes) == (200, None, {"0": 51, "1": 149})
    assert (shared.columns[0].missing, shared.columns[0].suspicions) == (50, ("hidden missing value",))
    assert (shared.columns[1].present, shared.columns[1].suspicions) == (None, ())


def test_nothing_of_a_value_leaves():
    odd = ColumnReport(
        "a",
        30,
        0,
        made="from geheim, mmol/l to mg/dl",
        violations={"not a number": 30},
        examples={"not a number": ("Anna Muster",)},
        counts={"77": 30},
        low=12.5,
        middle=13.5,
        high=14.5,
        findings=(Finding(Suspicion.UNIT, 30, "30 of 30 values, 12.5 say"),),
    )
    text = repr(for_others(DataReport(60, 60, 0, "y", {}, (odd,))))
    for secret in ("Anna", "geheim", "77", "12.5", "13.5", "14.5"):
        assert secret not in text


@pytest.mark.parametrize("least", [0, 1, 2])
def test_a_limit_that_hides_nothing_is_refused(least):
    with pytest.raises(ConfigError, match="below 3"):
        for_others(DataReport(9, 9, 0, "y", {}, ()), least)


def test_a_refusal_has_counts_in_the_silo_and_only_large_ones_outside():
    report = DataReport(200, 200, 0, "y", {}, (column("a", 188, 0, 12), column("b", 197, 0, 3), column("c", 200, 0)))
    assert refusal("data.x", report) == (
        "data.x: 15 values violate the contract in 200 rows. a: 12 below the minimum; b: 3 below the minimum"
    )
    outside = refusal_for_others(for_others(report))
    assert "a: 12 below the minimum" in outside
    assert "b: fewer than 10 rows of some kind" in outside
    assert "3 below" not in outside


def test_a_sentence_does_not_grow_with_the_columns():
    many = tuple(column(f"c{place}", 0, 0, 30) for place in range(500))
    assert "and 480 more columns" in refusal("data.x", DataReport(30, 30, 0, "y", {}, many))


def test_what_was_dropped_does_not_complete_a_column_that_is_withheld():
    """20 rows violate column a, 3 are missing there: told together with 'a: not told', 20 dropped would say which."""
    withheld = column("a", 177, 3, 20)
    whole = column("y", 200, 0)
    shared = for_others(DataReport(200, 180, 0, "y", {"0": 100, "1": 100}, (withheld, whole)))
    assert (shared.columns[0].violations, shared.kept) == (None, None)
    told_now = for_others(DataReport(200, 180, 0, "y", {"0": 100, "1": 100}, (column("a", 180, 0, 20), whole)))
    assert told_now.kept == 180
