"""Units: the charts' figures, both ways, and an error where nobody can know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import ConfigError
from septum.sdk.units import _UNITS, SUBSTANCES, conversion, substance_of, unit_name, units_beside

PAIRS = [(a, b) for a in _UNITS for b in _UNITS if _UNITS[a].dimension == _UNITS[b].dimension]


@pytest.mark.parametrize(
    ("value", "source", "target", "substance", "expected"),
    [
        (1.0, "mmol/l", "mg/dl", "cholesterol", 38.67),
        (5.2, "mmol/l", "mg/dL", "chol", 201.084),
        (201.084, "mg/dl", "mmol/l", "cholesterol", 5.2),
        (1.0, "mmol/l", "mg/dl", "glucose", 18.016),
        (88.42, "umol/l", "mg/dl", "creatinine", 1.0),
        (1.0, "mg/dl", "µmol/L", "creatinine", 88.42),
        (1.0, "mg/dl", "umol/l", "bilirubin", 17.104),
        (1.0, "mmol/l", "g/dl", "haemoglobin", 1.6114),
        (70.0, "kg", "lb", "", 154.32358352941),
        (2.54, "cm", "in", "", 1.0),
        (98.6, "F", "C", "", 37.0),
        (32.0, "[degF]", "Cel", "", 0.0),
        (0.0, "C", "K", "", 273.15),
        (16.0, "kPa", "mm[Hg]", "", 120.0098522),
        (2.0, "a", "mo", "", 24.0),
        (60.0, "/min", "Hz", "", 1.0),
        (4.5, "10*3/uL", "10*9/L", "", 4.5),
        (1.0, "ukat/l", "U/l", "", 60.0),
        (12.0, "%", "fraction", "", 0.12),
    ],
)
def test_numbers_worked_out_by_hand(value, source, target, substance, expected):
    assert conversion(source, target, substance).convert(value) == pytest.approx(expected, rel=1e-9)


@given(st.sampled_from(PAIRS), st.floats(-1e6, 1e6))
def test_there_and_back_is_where_one_was(pair, value):
    one, other = pair
    there = conversion(one, other).convert(value)
    assert conversion(other, one).convert(there) == pytest.approx(value, rel=1e-9, abs=1e-6)


@given(st.sampled_from(sorted(SUBSTANCES)), st.integers(1, 100_000))
def test_a_rounded_round_trip_over_a_substance_is_exact(substance, milli):
    value = milli / 1000
    there = conversion("mmol/l", "mg/dl", substance).convert(value)
    assert round(conversion("mg/dl", "mmol/l", substance).convert(there), 3) == value


@pytest.mark.parametrize(
    ("source", "target", "substance", "says", "hint"),
    [
        ("mmol/l", "mg/dl", "", "mmol/l is amount concentration, mg/dl is mass", "factor = HOW MANY mg/dl ONE mmol/l"),
        ("mmol/l", "mg/dl", "chlesterol", "did you mean 'cholesterol'", "factor"),
        ("kg", "cm", "", "kg is mass, cm is length", "factor"),
        ("mmmol/l", "mg/dl", "glucose", "'mmmol/l' is not in the table; did you mean 'mmol/l'", "factor"),
        ("kg", "stone", "", "'stone' is not in the table", "how many stone one kg is"),
    ],
)
def test_what_cannot_be_converted_names_both_units_and_what_to_write(source, target, substance, says, hint):
    with pytest.raises(ConfigError, match=says) as caught:
        conversion(source, target, substance)
    assert source in caught.value.message
    assert target in caught.value.message
    assert hint in caught.value.hint


def test_one_unit_has_many_spellings():
    assert {unit_name(text) for text in ("mmHg", "mm Hg", "MM[HG]")} == {"mmHg"}
    assert conversion("mg/dL", "mg/dl").convert(1 / 3) == 1 / 3


def test_a_substance_is_taken_from_names_only_if_they_agree():
    assert substance_of("chol", "Gesamtcholesterin") == "cholesterol"
    assert substance_of("hdl_chol", "") == "cholesterol"
    assert substance_of("bun", "urea") == ""


def test_other_units_that_could_have_been_meant_have_other_numbers():
    found = units_beside("mg/dl", ["cholesterol"])
    assert ("mmol/l", "cholesterol") in [(unit, substance) for unit, substance, _ in found]
    assert all(one.convert(1.0) != 1.0 for _, _, one in found)
    assert units_beside("points", []) == []
