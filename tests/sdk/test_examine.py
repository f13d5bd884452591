"""What a steward is told of her data: complete counts, and the traps that published data are full of."""

from __future__ import annotations

import numpy as np
import pytest

from septum.sdk.contract import Column, Kind, Role
from septum.sdk.data_report import Suspicion
from septum.sdk.examine import examine
from septum.sdk.harmonise import harmonise
from septum.sdk.mapping import ColumnMapping, OnViolation, plan_columns

ILL = Column(role=Role.TARGET, kind=Kind.CODE, codes={0.0: "", 1.0: ""})
CHOL = Column(unit="mg/dl", minimum=50.0, maximum=700.0)
USUAL = [180.0 + place for place in range(40)]


def report(column, cells, mapping=None, ill=None, on_violation=OnViolation.MISSING):
    contract = {"chol": column, "ill": ILL}
    plans = plan_columns("x", contract, {"chol": mapping} if mapping else {})
    batch = {"chol": cells, "ill": ill if ill is not None else [place % 2 for place in range(len(cells))]}
    return examine(harmonise("x", [batch], plans), on_violation, "ill")


def findings(*arguments, **settings):
    found = report(*arguments, **settings).columns[0].findings
    return {finding.what: (finding.rows, finding.message) for finding in found}


def test_every_row_is_counted_once_and_the_values_are_summed_up():
    found = report(CHOL, ["60", "70", "95", "?", "", "0"])
    assert (found.rows, found.kept) == (6, 6)
    chol = found.columns[0]
    assert (chol.present, chol.missing, chol.violations) == (3, 1, {"not a number": 1, "below the minimum": 1})
    assert (chol.low, chol.middle, chol.high) == (60.0, 70.0, 95.0)
    assert chol.examples == {"not a number": ("?",), "below the minimum": ("0",)}
    assert found.columns[1].counts == found.classes == {"0": 3, "1": 3}
    assert report(CHOL, ["60", "0"], on_violation=OnViolation.DROP).kept == 1


def test_repeated_rows_are_counted_also_where_values_are_missing():
    assert report(CHOL, [60, None, 60, None, None, 61], ill=[1, 1, 1, 1, 0, 1]).duplicates == 2


def test_numbers_of_another_unit_are_recognised_by_the_bounds():
    rows, message = findings(CHOL, [value / 38.67 for value in USUAL] + USUAL)[Suspicion.UNIT]
    assert rows == 40
    assert '"mmol/l"' in message
    assert Suspicion.UNIT not in findings(CHOL, [*USUAL, 0, 0, 0])


def test_numbers_of_another_unit_are_recognised_without_a_lower_bound_too():
    wide = Column(unit="mg/dl", minimum=0.0, maximum=700.0)
    rows, message = findings(wide, [0.0, 0.0, *(value / 38.67 for value in USUAL)])[Suspicion.UNIT]
    assert rows == 40
    assert '"mmol/l"' in message
    assert Suspicion.UNIT not in findings(wide, [0.0, 0.0, *USUAL])
    assert Suspicion.UNIT not in findings(Column(maximum=700.0), [value / 38.67 for value in USUAL])


@pytest.mark.parametrize("mark", [0, -9, 999, 9999])
def test_a_stand_in_far_from_all_others_is_noticed(mark):
    rows, message = findings(Column(), [*USUAL, mark, mark])[Suspicion.HIDDEN_MISSING]
    assert rows == 2
    assert f'missing = ["{mark}"]' in message
    assert "180 to 219" in message


def test_a_stand_in_is_noticed_where_it_is_the_only_value_and_before_it_was_converted():
    assert findings(Column(minimum=0.0), [0] * 123)[Suspicion.HIDDEN_MISSING][0] == 123
    cold = Column(unit="C", minimum=30.0, maximum=45.0)
    fevers = [96 + place / 10 for place in range(40)]
    assert findings(cold, [*fevers, 0, 0], ColumnMapping(unit="F"))[Suspicion.HIDDEN_MISSING][0] == 2


def test_zeros_among_small_numbers_are_zeros():
    depressions = [0.0] * 30 + [place / 10 for place in range(1, 40)]
    assert Suspicion.HIDDEN_MISSING not in findings(Column(), depressions)
    assert Suspicion.HIDDEN_MISSING not in findings(Column(), [*USUAL, 9999.5])


def test_columns_that_say_nothing_are_named():
    assert Suspicion.CONSTANT in findings(CHOL, [100] * 5)
    assert Suspicion.EMPTY in findings(CHOL, [None] * 5)
    assert findings(CHOL, [None] * 3 + [60, 61])[Suspicion.SPARSE][0] == 3
    assert findings(CHOL, USUAL) == {}


def test_a_target_of_one_class_and_codes_that_never_occur_are_named():
    found = {finding.what for finding in report(CHOL, USUAL, ill=[1] * 40).columns[1].findings}
    assert found == {Suspicion.ONE_CLASS, Suspicion.UNUSED_CODES}


def test_many_numbers_outside_the_bounds_do_not_take_long():
    found = report(CHOL, np.linspace(1, 18, 50_000).tolist())
    assert found.columns[0].findings[0].what is Suspicion.UNIT
