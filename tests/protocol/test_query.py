"""A query: what it may ask, that the answer is that of all rows together, and that small counts are not in it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from septum.errors import ConfigError, DataError, TensorError
from septum.protocol.answering import answer
from septum.protocol.codec import from_json, to_json
from septum.protocol.counting import count, fine_value, steps_of
from septum.protocol.plan import AppRef, EarlyStopping, Masking, Plan, Private, StrategyRef, Vote
from septum.protocol.query import Code, Pair, Query, QueryColumn

AGE = QueryColumn("age", "years", True, 18.0, 110.0, moments=True, quantiles=(0.25, 0.5, 0.75))
CHOL = QueryColumn("chol", "mg/dl", False, 0.0, 700.0, moments=True, quantiles=(0.5,), cuts=(200.0, 240.0))
SEX = QueryColumn("sex", codes=(Code(0.0, "female"), Code(1.0, "male")))
QUERY = Query((AGE, CHOL, SEX), (Pair("sex", "chol"),))
ALL = replace(QUERY, min_cell=1)


def answered(query, *tables):
    """What these silos' tables are answered."""
    rows = sum(len(next(iter(table.values()))) for table in tables)
    silos = [f"silo-{place}" for place in range(len(tables))]
    return answer(query, silos, rows, sum(count(query, table) for table in tables))


def column_of(values):
    return np.array(values, np.float64)


def people(rng, rows):
    chol = rng.normal(220, 60, rows).clip(0, 700).round(1)
    chol[rng.random(rows) < 0.1] = np.nan
    return {
        "age": rng.integers(18, 111, rows).astype(float),
        "chol": chol,
        "sex": rng.integers(0, 2, rows).astype(float),
    }


# --- the answer ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 300), silos=st.integers(1, 6), least=st.sampled_from([1, 5]))
def test_however_rows_are_spread_over_silos_the_answer_is_that_of_all_together_to_the_bit(seed, rows, silos, least):
    rng = np.random.default_rng(seed)
    pooled, owner = people(rng, rows), rng.integers(0, silos, rows)
    parts = [{name: values[owner == silo] for name, values in pooled.items()} for silo in range(silos)]
    query = replace(QUERY, min_cell=least)
    together = answered(query, pooled)
    apart = answered(query, *parts)
    assert replace(apart, silos=()) == replace(together, silos=())


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 400))
def test_the_answer_is_what_numpy_says_of_all_rows(seed, rows):
    table = people(np.random.default_rng(seed), rows)
    found = {one.name: one for one in answered(ALL, table).columns}
    ages, chols = table["age"], table["chol"][~np.isnan(table["chol"])]
    assert (found["age"].present, found["age"].missing) == (rows, 0)
    assert (found["chol"].present, found["chol"].missing) == (len(chols), rows - len(chols))
    assert found["age"].mean == math.fsum(ages) / rows
    assert found["age"].sd == pytest.approx(ages.std(ddof=1), rel=1e-12, abs=1e-12)
    for quantile in found["age"].quantiles:
        assert quantile.value == np.quantile(ages, quantile.at, method="inverted_cdf")
        assert quantile.error == 0
    if len(chols) > 1:
        half = steps_of(CHOL).step / 2
        assert found["chol"].mean == pytest.approx(chols.mean(), abs=half, rel=1e-13)
        assert found["chol"].sd == pytest.approx(chols.std(ddof=1), abs=4 * half, rel=1e-9)
        (median,) = found["chol"].quantiles
        assert abs(median.value - np.quantile(chols, 0.5, method="inverted_cdf")) <= median.error * (1 + 1e-9)
        groups = [(chols <= 200).sum(), ((chols > 200) & (chols <= 240)).sum(), (chols > 240).sum()]
        assert list(found["chol"].groups) == groups


def test_a_small_answer_worked_out_by_hand():
    """Ages 20, 30, 40, 50: mean 35, squares about it 225 25 25 225, so sd is sqrt(500/3)."""
    table = {
        "age": column_of([20, 30, 40, 50]),
        "chol": column_of([180, 240, np.nan, 241]),
        "sex": column_of([0, 0, 1, 1]),
    }
    told = answered(ALL, table)
    age, chol, sex = told.columns
    assert (told.rows, age.mean, age.sd) == (4, 35.0, math.sqrt(500 / 3))
    assert [quantile.value for quantile in age.quantiles] == [20.0, 30.0, 40.0]
    assert (chol.present, chol.missing, chol.groups) == (3, 1, (1, 1, 1))
    assert sex.groups == (2, 2)
    (by_chol,) = told.tables
    assert by_chol.cells == ((1, 1, 0, 0), (0, 0, 1, 1), (0, 0, 0, 0))
    assert (by_chol.chi_square, by_chol.degrees) == (pytest.approx(3.0, rel=1e-14), 2)


def test_a_variance_does_not_drown_in_a_large_mean():
    """Sums of squares in float64 would give 0 or nonsense here: 10^9 +- 1."""
    column = QueryColumn("t", minimum=1e9 - 10, maximum=1e9 + 10, moments=True)
    (told,) = answered(Query((column,), min_cell=1), {"t": column_of([1e9 - 1, 1e9 + 1])}).columns
    assert (told.mean, told.sd) == (1e9, math.sqrt(2))


def test_a_table_larger_than_a_block_is_counted_as_one():
    table = people(np.random.default_rng(1), 200_000)
    starts = range(0, 200_000, 1000)
    small = [{name: values[start : start + 1000] for name, values in table.items()} for start in starts]
    assert (count(QUERY, table) == sum(count(QUERY, part) for part in small)).all()


@pytest.mark.parametrize("value", [17.0, 111.0, np.inf])
def test_a_value_beyond_the_contracts_bounds_is_refused(value):
    with pytest.raises(DataError, match="age"):
        count(Query((AGE,)), {"age": column_of([20, value])})


def test_a_value_that_is_no_code_is_refused():
    with pytest.raises(DataError, match="sex"):
        count(Query((SEX,)), {"sex": column_of([0, 2])})


def test_whole_numbers_are_looked_for_by_value_and_others_in_bins_of_a_known_width():
    assert AGE.fine_bins == 93
    assert fine_value(AGE, 0) == (18.0, 0.0)
    assert CHOL.fine_bins == 2048
    assert fine_value(CHOL, 2047) == (700 - 700 / 4096, 700 / 4096)


# --- what is not told ----------------------------------------------------------------------------------------------


def table_of(ages, sexes):
    return {"age": column_of(ages), "sex": column_of(sexes)}


def test_fewer_people_than_the_least_are_told_nothing_at_all():
    query = Query((replace(AGE, cuts=(50.0,)), SEX), (Pair("sex", "age"),))
    told = answered(query, table_of([20, 30, 60, 70], [0, 1, 0, 1]))
    assert told.rows is None
    for column in told.columns:
        assert {column.present, column.missing, column.mean, column.sd, *column.groups} == {None}
        assert {quantile.value for quantile in column.quantiles} <= {None}
    assert {cell for row in told.tables[0].cells for cell in row} == {None}
    assert told.tables[0].chi_square is None


def test_where_it_is_hidden_how_many_have_a_value_the_mean_is_too_for_its_denominator_shows():
    query = Query((AGE,))
    (told,) = answered(query, {"age": column_of([*range(20, 60), np.nan, np.nan])}).columns
    assert (told.present, told.missing, told.mean, told.sd) == (None, None, None, None)
    assert [quantile.value for quantile in told.quantiles] == [None, None, None]


def test_beside_hidden_groups_there_are_no_quantiles():
    query = Query((replace(AGE, cuts=(30.0, 60.0)),))
    (told,) = answered(query, {"age": column_of([*[25] * 3, *range(31, 61), *[70] * 30])}).columns
    assert told.groups == (None, None, None)  # three are small, and thirty are in each of the others
    assert [quantile.value for quantile in told.quantiles] == [None, None, None]
    assert told.mean is not None


def test_beside_hidden_groups_of_one_whole_number_there_is_no_mean():
    """With it and the counts that are told, two unknown counts would be two equations."""
    narrow = QueryColumn("ca", whole=True, minimum=0.0, maximum=3.0, moments=True, cuts=(0.0, 1.0, 2.0))
    values = {"ca": column_of([0] * 50 + [1] * 20 + [2] * 9 + [3] * 2)}
    (told,) = answered(Query((narrow,)), values).columns
    assert told.groups == (50, 20, None, None)
    assert (told.present, told.mean, told.sd) == (81, None, None)
    (open_,) = answered(Query((narrow,)), {"ca": column_of([0] * 50 + [1] * 20 + [2] * 9 + [3] * 5)}).columns
    assert open_.mean == pytest.approx((20 + 18 + 15) / 84)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.lists(st.integers(1, 99), min_size=1, max_size=9, unique=True))
def test_no_two_quantiles_that_are_told_have_fewer_than_the_least_between_them(seed, rows, percents):
    at = tuple(sorted(percent / 100 for percent in percents))
    column = replace(AGE, quantiles=at)
    ages = np.random.default_rng(seed).integers(18, 111, rows).astype(float)
    (told,) = answered(Query((column,)), {"age": ages}).columns
    ranks = [0, *(math.ceil(one.at * rows) for one in told.quantiles if one.value is not None), rows]
    assert len(ranks) == 2 or all(after - before >= 5 for before, after in pairwise(ranks))


def test_a_test_of_independence_is_not_told_beside_hidden_cells():
    ages, sexes = [20] * 30 + [60] * 30, [0] * 28 + [1] * 2 + [0] * 10 + [1] * 20
    query = Query((replace(AGE, cuts=(50.0,)), SEX), (Pair("sex", "age"),))
    (told,) = answered(query, table_of(ages, sexes)).tables
    assert told.cells[1][0] is None
    assert (told.chi_square, told.p_value, told.odds_ratio) == (None, None, ())
    (shown,) = answered(replace(query, min_cell=1), table_of(ages, sexes)).tables
    assert shown.odds_ratio[0] == 28 * 20 / (10 * 2)


# --- what cannot be ------------------------------------------------------------------------------------------------


def spoilt(query, rows, change):
    sums = count(query, people(np.random.default_rng(2), rows))
    change(sums)
    return answer(query, ["a"], rows, sums)


@pytest.mark.parametrize("place", range(4))
def test_sums_that_cannot_be_are_refused(place):
    def change(sums):
        match place:
            case 0:
                sums[0] += 1
            case 1:
                sums[0] -= 0.5
            case 2:
                sums[-1] -= 1
            case _:
                sums[-1] = -1

    with pytest.raises(TensorError):
        spoilt(QUERY, 50, change)


def test_a_result_of_another_length_is_refused():
    with pytest.raises(TensorError, match=str(QUERY.size)):
        answer(QUERY, ["a"], 1, np.zeros(QUERY.size + 1))


# --- the question --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: replace(SEX, moments=True), "codes have no mean"),
        (lambda: QueryColumn("x", moments=True), "takes the min and max"),
        (lambda: QueryColumn("x", minimum=5.0, maximum=5.0, quantiles=(0.5,)), "takes the min and max"),
        (lambda: replace(AGE, quantiles=(0.5, 0.25)), "increasing"),
        (lambda: replace(AGE, quantiles=(0.0,)), "between 0 and 1"),
        (lambda: replace(AGE, cuts=(1.0, 1.0)), "increasing"),
        (lambda: replace(AGE, cuts=(math.nan,)), "cuts"),
        (lambda: replace(AGE, cuts=tuple(map(float, range(256)))), "257 groups"),
        (lambda: Query(()), "1 to 64 columns"),
        (lambda: Query((SEX, AGE)), "sorted by name"),
        (lambda: Query((AGE, AGE)), "each of them once"),
        (lambda: Query((SEX,), min_cell=2), "min_cell is 2"),
        (lambda: Query((AGE, SEX), (Pair("sex", "age"),)), "takes groups"),
        (lambda: Query((SEX,), (Pair("sex", "sex"),)), "by itself"),
        (lambda: Query((SEX,), (Pair("sex", "cp"),)), "not in the query"),
        (lambda: Query((CHOL, SEX), (Pair("sex", "chol"), Pair("chol", "sex"))), "twice"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused_where_it_is_made(made, says):
    with pytest.raises(ConfigError, match=says):
        made()


PLAN = Plan("p", AppRef("a", "1", "sha256:aa"), {}, ("a", "b", "c"), rounds=1, masking=Masking(), query=QUERY)


def test_a_plan_without_a_query_has_the_digest_that_it_always_had():
    assert "query" not in to_json(replace(PLAN, query=None))
    assert from_json(Plan, to_json(PLAN)) == PLAN


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"masking": None}, "under masks alone"),
        ({"rounds": 2}, "rounds is of training"),
        ({"hyper": {"lr": 0.1}}, "hyper is of training"),
        ({"strategy": StrategyRef("fedadam")}, "strategy is of training"),
        ({"early_stopping": EarlyStopping()}, "early_stopping is of training"),
        ({"clip_norm": 1.0}, "clip_norm is of training"),
        ({"vote": Vote()}, "vote is of training"),
        ({"private": Private(personalise=1)}, "private is of training"),
        ({"silos": ("a",)}, "2 to 200 silos"),
    ],
)
def test_a_plan_that_asks_trains_nothing_and_is_masked(change, says):
    with pytest.raises(ConfigError, match=says):
        replace(PLAN, quorum=0, **change)
