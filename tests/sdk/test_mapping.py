"""A mapping is held against the contract before any row: what conflicts is named."""

from __future__ import annotations

import pytest

from septum.errors import ConfigError
from septum.sdk.contract import Column, Kind
from septum.sdk.mapping import ColumnMapping, plan_columns

CONTRACT = {
    "chol": Column(unit="mg/dl", minimum=50.0),
    "sex": Column(kind=Kind.CODE, codes={0.0: "female", 1.0: "male"}),
    "score": Column(),
}


def plans(**mapping):
    return {plan.name: plan for plan in plan_columns("[data.x.columns]", CONTRACT, mapping)}


def test_without_a_mapping_everything_is_as_the_contract_has_it():
    found = plans()
    assert [plan.source for plan in found.values()] == list(CONTRACT)
    assert {plan.words() for plan in found.values()} == {""}


def test_what_is_done_is_said():
    plan = plans(chol=ColumnMapping("ldl_c", "mmol/l", decimals=1))["chol"]
    assert plan.words() == "from ldl_c, mmol/l to mg/dl of cholesterol, rounded to 1 decimals"


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"cholest": ColumnMapping()}, "'cholest' is no column of the app's contract; did you mean 'chol'"),
        (
            {"sex": ColumnMapping(unit="kg")},
            "sex: the contract says it is one of 0 .female., 1 .male.; a code has no unit",
        ),
        ({"sex": ColumnMapping(decimals=0)}, "a code has no unit, factor or decimals"),
        ({"sex": ColumnMapping(codes={"M": 2.0})}, "the code 'M' becomes 2, which the contract does not allow"),
        ({"sex": ColumnMapping(codes={"1": 1.0, "1.0": 0.0})}, "'1.0' is there twice, with different values"),
        ({"sex": ColumnMapping(codes={"9": 1.0}, missing=("9",))}, "'9' is in `codes` and in `missing`"),
        ({"chol": ColumnMapping(codes={"low": 10.0})}, "'low' becomes 10, which the contract does not allow"),
        ({"chol": ColumnMapping(unit="kg")}, "chol: kg is mass, mg/dl is mass concentration"),
        ({"chol": ColumnMapping(unit="mmol/l", factor=38.67)}, "factor and offset stand instead of unit"),
        ({"chol": ColumnMapping(factor=0.0)}, "factor and offset stand instead of unit"),
        ({"score": ColumnMapping(unit="kg")}, "the contract gives score no unit"),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_place(mapping, says):
    with pytest.raises(ConfigError, match=says) as caught:
        plans(**mapping)
    assert "[data.x.columns]" in caught.value.message
    assert caught.value.hint or "twice" in says


def test_two_codes_of_the_source_may_be_one_of_the_contract():
    plan = plans(sex=ColumnMapping(codes={"M": 1.0, "male": 1.0, "F": 0.0, "2": 0.0}))["sex"]
    assert (plan.codes, plan.coded_numbers) == ({"M": 1.0, "male": 1.0, "F": 0.0}, {2.0: 0.0})
