"""What may be asked of a silo's data: its own rules, and the contract that was approved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from septum.protocol.query import Code, Noise, Pair, Query, QueryColumn
from septum.sdk.contract import Column, Kind
from septum.silo.policy import Policy
from septum.silo.query_rules import of_contract, of_query

CONTRACT = {
    "age": Column(kind=Kind.INTEGER, unit="years", minimum=18.0, maximum=110.0),
    "sex": Column(kind=Kind.CODE, codes={1.0: "male", 0.0: "female"}),
}
AGE, SEX = (of_contract(name, column) for name, column in CONTRACT.items())
QUERY = Query((replace(AGE, moments=True, cuts=(50.0,)), SEX), (Pair("sex", "age"),))
OPEN = Policy(queries=("heart",))


def rule(policy: Policy, query: Query = QUERY, app: str = "heart") -> str | None:
    denied = of_query(policy, CONTRACT, app, query)
    return None if denied is None else denied.rule


def test_nothing_may_be_asked_until_the_steward_names_the_app():
    assert rule(Policy()) == "policy.queries"
    assert rule(OPEN, app="lungs") == "policy.queries"
    assert rule(OPEN) is None


@pytest.mark.parametrize(
    ("policy", "broken"),
    [
        ({"columns": ("age",)}, "policy.columns"),
        ({"columns": ("age", "sex")}, None),
        ({"releases": ("parameters",)}, "policy.releases"),
        ({"releases": ("statistics",)}, None),
        ({"min_cell": 6}, "policy.min_cell"),
        ({"min_cell": 5}, None),
    ],
)
def test_each_rule_that_a_query_breaks_is_named(policy, broken):
    assert rule(replace(OPEN, **policy)) == broken


def test_a_query_that_tells_every_count_is_refused_unless_the_policy_lets_it():
    assert rule(OPEN, replace(QUERY, min_cell=1)) == "policy.min_cell"
    assert rule(replace(OPEN, min_cell=1), replace(QUERY, min_cell=1)) is None


NOISY = replace(QUERY, min_cell=1, noise=Noise(2.0, 1e-4))


@pytest.mark.parametrize(
    ("policy", "broken"),
    [
        ({}, None),
        ({"require_noise": True, "require_privacy": True, "min_cell": 100}, None),
        ({"max_epsilon": 1.9}, "policy.max_epsilon"),
        ({"max_delta": 1e-5}, "policy.max_delta"),
        ({"columns": ("age",)}, "policy.columns"),
        ({"releases": ("parameters",)}, "policy.releases"),
    ],
)
def test_what_a_query_with_noise_may_cost_is_for_the_policy_to_say(policy, broken):
    assert rule(replace(OPEN, **policy), NOISY) == broken


@pytest.mark.parametrize("key", ["require_noise", "require_privacy"])
def test_a_query_without_noise_is_refused_where_noise_is_asked_for_and_the_refusal_says_how_to_ask(key):
    denied = of_query(replace(OPEN, **{key: True}), CONTRACT, "heart", QUERY)
    assert denied.rule == f"policy.{key}"
    assert "septum stats run --epsilon 1" in denied.reason


@pytest.mark.parametrize(
    "other",
    [
        replace(AGE, maximum=51.0),
        replace(AGE, minimum=17.0),
        replace(AGE, unit="months"),
        replace(AGE, whole=False),
        replace(AGE, name="weight"),
        replace(SEX, codes=(Code(0.0, "female"),)),
        replace(SEX, codes=(Code(0.0, "male"), Code(1.0, "female"))),
    ],
)
def test_a_query_that_says_something_else_than_the_contract_is_refused(other):
    """Narrower bounds would move what is counted; other meanings would be printed beside the counts."""
    assert rule(OPEN, Query((other,))) == "query"


def test_what_is_asked_of_a_column_is_not_compared_with_the_contract():
    asked = Query((replace(AGE, moments=True, quantiles=(0.5,), cuts=(30.0, 60.0)),))
    assert rule(OPEN, asked) is None


def test_codes_are_counted_in_the_order_of_their_values_whatever_the_contract_says_first():
    assert [code.value for code in SEX.codes] == [0.0, 1.0]
    assert QueryColumn("sex", codes=SEX.codes) == SEX
