"""Made-up rows that meet a contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import ConfigError
from septum.sdk.contract import Column, Kind, Role
from septum.sdk.package import read_manifest
from septum.sdk.synthetic import synthetic_table

EXAMPLE = Path(__file__).parents[2] / "examples" / "heart_disease"
CONTRACT = read_manifest(EXAMPLE).columns

bound = st.one_of(st.none(), st.floats(-1e6, 1e6))


@st.composite
def columns(draw) -> Column:
    if draw(st.booleans()):
        codes = draw(st.dictionaries(st.floats(-100, 100), st.just(""), min_size=1, max_size=5))
        return Column(kind=Kind.CODE, codes=codes)
    ends = sorted([draw(st.integers(-1000, 1000)), draw(st.integers(-1000, 1000))])
    low, high = (float(end) if draw(st.booleans()) else None for end in ends)
    return Column(kind=draw(st.sampled_from([Kind.NUMBER, Kind.INTEGER])), minimum=low, maximum=high)


@given(st.dictionaries(st.text("abcdef", min_size=1), columns(), min_size=1, max_size=4), columns(), st.integers(0, 99))
def test_every_value_is_one_that_the_contract_allows(features, target, seed) -> None:
    contract = {
        **features,
        "target": Column(Role.TARGET, target.kind, "", target.minimum, target.maximum, target.codes),
    }
    table = synthetic_table(contract, rows=20, missing=0.2, seed=seed)
    for name, column in contract.items():
        known = table[name][~np.isnan(table[name])]
        assert all(column.allows(float(value)) for value in known), (name, column)
    assert not np.isnan(table["target"]).any()


def test_the_heart_disease_contract_gives_both_classes_gaps_and_every_code() -> None:
    table = synthetic_table(CONTRACT)
    assert {0.0} < set(table["num"])
    assert set(table["cp"][~np.isnan(table["cp"])]) == {1.0, 2.0, 3.0, 4.0}
    gaps = sum(int(np.isnan(table[name]).sum()) for name in CONTRACT)
    assert 0 < gaps < 0.1 * len(table) * len(CONTRACT)
    assert len(table.complete(CONTRACT)) > len(table) / 3
    assert (table["age"] == np.floor(table["age"])).all() or np.isnan(table["age"]).any()


def test_no_value_is_missing_where_none_is_wanted() -> None:
    assert len(synthetic_table(CONTRACT, missing=0.0).complete(CONTRACT)) == len(synthetic_table(CONTRACT))


def test_a_plain_target_is_0_or_1() -> None:
    assert set(synthetic_table({"x": Column(), "y": Column(role=Role.TARGET)})["y"]) == {0.0, 1.0}


def test_the_same_contract_gives_the_same_rows_and_a_seed_others() -> None:
    first, again, other = synthetic_table(CONTRACT), synthetic_table(CONTRACT), synthetic_table(CONTRACT, seed=1)
    for name in CONTRACT:
        np.testing.assert_array_equal(first[name], again[name])
    assert any(not np.array_equal(first[name], other[name], equal_nan=True) for name in CONTRACT)


@pytest.mark.parametrize("added", ["a", "z"])
def test_a_column_that_is_added_changes_no_other(added: str) -> None:
    before = synthetic_table(CONTRACT)
    after = synthetic_table({added: Column(), **CONTRACT})
    for name in CONTRACT:
        np.testing.assert_array_equal(before[name], after[name])


def test_bounds_between_which_there_is_no_whole_number_are_told() -> None:
    with pytest.raises(ConfigError, match=r"no whole number from 0.2 to 0.8"):
        synthetic_table({"x": Column(kind=Kind.INTEGER, minimum=0.2, maximum=0.8)})


def test_two_columns_of_one_kind_have_values_of_their_own() -> None:
    table = synthetic_table({"a": Column(), "b": Column(), "y": Column(role=Role.TARGET)}, missing=0.0)
    assert not np.array_equal(table["a"], table["b"])
