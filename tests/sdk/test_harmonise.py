"""From a source's cells to the contract's values: each cell of the source has one fate, and each fate is counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import DataError
from septum.sdk import harmonise as module
from septum.sdk.cells import Quantity
from septum.sdk.contract import Column, Kind, Role
from septum.sdk.data_report import Violation
from septum.sdk.harmonise import harmonise, settle
from septum.sdk.mapping import ColumnMapping, OnViolation, plan_columns

CHOL = Column(unit="mg/dl", minimum=50.0, maximum=700.0, missing=("?", -1.0))
SEX = Column(kind=Kind.CODE, codes={0.0: "female", 1.0: "male"}, missing=(9.0,))
AGE = Column(kind=Kind.INTEGER, minimum=0.0)
ILL = Column(role=Role.TARGET, kind=Kind.CODE, codes={0.0: "", 1.0: ""})


def made(column, cells, mapping=None, batches=1):
    plans = plan_columns("x", {"chol": column}, {"chol": mapping} if mapping else {})
    parts = np.array_split(np.arange(len(cells)), batches)
    source = plans[0].source
    return harmonise("source", [{source: [cells[i] for i in part]} for part in parts], plans).columns["chol"]


def same(left, right):
    np.testing.assert_array_equal(np.asarray(left, float), np.asarray(right, float))


@pytest.mark.parametrize(
    ("column", "mapping", "cell", "value"),
    [
        (CHOL, None, " 233.0 ", 233.0),
        (CHOL, None, 233, 233.0),
        (CHOL, None, "", math.nan),
        (CHOL, None, None, math.nan),
        (CHOL, None, math.nan, math.nan),
        (CHOL, None, "?", math.nan),
        (CHOL, None, "-1.0", math.nan),
        (CHOL, ColumnMapping(missing=("0",)), 0.0, math.nan),
        (CHOL, ColumnMapping(missing=("0",)), "0.00", math.nan),
        (CHOL, ColumnMapping(missing=("n/a",)), "n/a", math.nan),
        (CHOL, ColumnMapping(unit="mmol/l", decimals=0), "6.03", 233.0),
        (CHOL, ColumnMapping(unit="mmol/l"), Quantity(5.0, "mmol/L"), 193.35),
        (CHOL, ColumnMapping(unit="mmol/l"), Quantity(233.0, "mg/dL"), 233.0),
        (CHOL, ColumnMapping(unit="mmol/l"), Quantity(5.0, ""), 193.35),
        (CHOL, None, Quantity(5.0, "mmol/l"), 193.35),
        (CHOL, ColumnMapping(factor=2.0, offset=10.0), "100", 210.0),
        (CHOL, ColumnMapping(codes={"high": 600.0}), "high", 600.0),
        (SEX, None, "1.0", 1.0),
        (SEX, None, 9, math.nan),
        (SEX, ColumnMapping(codes={"M": 1.0, "2": 0.0}), "M", 1.0),
        (SEX, ColumnMapping(codes={"M": 1.0, "2": 0.0}), 2.0, 0.0),
        (SEX, ColumnMapping(codes={"M": 1.0, "9": 0.0}), "9", 0.0),
        (AGE, ColumnMapping(unit="", factor=1.0), "63", 63.0),
    ],
)
def test_what_a_cell_becomes(column, mapping, cell, value):
    column = made(column, [cell], mapping)
    same(column.values, [value])
    assert not column.violations()


@pytest.mark.parametrize(
    ("column", "mapping", "cell", "what"),
    [
        (CHOL, None, "high", Violation.NOT_A_NUMBER),
        (CHOL, None, "nan", Violation.NOT_A_NUMBER),
        (CHOL, None, "1_000", Violation.NOT_A_NUMBER),
        (CHOL, None, math.inf, Violation.NOT_A_NUMBER),
        (CHOL, None, "49.9", Violation.BELOW),
        (CHOL, None, "701", Violation.ABOVE),
        (CHOL, None, Quantity(5.0, "furlong"), Violation.UNIT),
        (CHOL, None, Quantity(5.0, "kg"), Violation.UNIT),
        (AGE, None, "63.5", Violation.NOT_WHOLE),
        (SEX, None, "2", Violation.UNMAPPED),
        (SEX, None, "M", Violation.UNMAPPED),
        (SEX, ColumnMapping(codes={"M": 1.0}), "1", Violation.UNMAPPED),
        (SEX, ColumnMapping(codes={"M": 1.0}), "m", Violation.UNMAPPED),
    ],
)
def test_each_class_of_violation_is_told_apart_and_quoted(column, mapping, cell, what):
    column = made(column, [cell, cell, None], mapping)
    assert column.violations() == {what: 2}
    assert list(column.examples) == [what]
    assert len(column.examples[what]) == 1
    same(column.values, [math.nan] * 3)


def table(cells, on_violation, ill=None):
    contract = {"age": AGE, "ill": ILL}
    plans = plan_columns("x", contract, {})
    found = harmonise("source", [{"age": cells, "ill": ill or [0] * len(cells)}], plans)
    return settle(found, on_violation, "ill")


def test_refused_missing_and_dropped_are_three_things():
    cells = [63, -1, 41]
    with pytest.raises(DataError, match="source: 1 rows violate the contract"):
        table(cells, OnViolation.REFUSE)
    same(table(cells, OnViolation.MISSING)["age"], [63.0, math.nan, 41.0])
    same(table(cells, OnViolation.DROP)["age"], [63.0, 41.0])
    with pytest.raises(DataError, match="each of the 1 rows violates the contract"):
        table([-1], OnViolation.DROP)


def test_no_rows_and_a_column_that_is_not_there_are_errors():
    plans = plan_columns("x", {"age": AGE}, {})
    with pytest.raises(DataError, match="source: no rows"):
        harmonise("source", [], plans)
    with pytest.raises(DataError, match=r"no column 'age'; did you mean 'agee'\?"):
        harmonise("source", [{"agee": [1]}], plans)


def test_more_cells_than_fit_are_refused_while_reading(monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 10)
    endless = ({"age": [1, 2, 3]} for _ in iter(int, 1))
    with pytest.raises(DataError, match="more than 10 rows of 1 columns"):
        harmonise("source", endless, plan_columns("x", {"age": AGE}, {}))


CELLS = st.one_of(
    st.none(), st.sampled_from(["?", "", "x", "0", "-0.0", "60", "1e3"]), st.integers(-5, 800), st.floats(-5, 800)
)


@given(st.lists(CELLS, min_size=1, max_size=40), st.integers(1, 5))
def test_batches_change_nothing_and_every_row_has_one_state(cells, batches):
    whole, parts = made(CHOL, cells), made(CHOL, cells, batches=batches)
    for name in ("values", "numbers", "states"):
        same(getattr(whole, name), getattr(parts, name))
    present = int(np.isfinite(whole.values).sum())
    missing = int((whole.states == module.MISSING).sum())
    assert present + missing + sum(whole.violations().values()) == len(cells)
    assert all(CHOL.allows(value) for value in whole.values[np.isfinite(whole.values)])


@given(st.floats(50, 700))
def test_a_text_and_the_number_it_says_are_the_same_value(number):
    column = made(CHOL, [number, repr(number)])
    assert column.values[0] == column.values[1] == number


def test_there_is_one_zero():
    assert not np.signbit(made(Column(), ["-0.0", -0.0]).values).any()
