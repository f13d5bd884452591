"""A query with noise: what one row can change, how the noise is spread, and that the told errors are the true ones."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.test_query import CHOL, SEX, people

from septum.errors import ConfigError, TensorError
from septum.privacy.gaussian import noise_multiplier
from septum.privacy.noise import SIGMA
from septum.protocol.answering import answer
from septum.protocol.codec import dumps, from_json, to_json
from septum.protocol.counting import count
from septum.protocol.noisy_answering import noisy_answer
from septum.protocol.noisy_counting import count_with_noise, shares_of, unit_of, units
from septum.protocol.query import Code, Noise, Pair, Query, QueryColumn

AGE = QueryColumn("age", "years", True, 18.0, 110.0, moments=True, quantiles=(0.25, 0.5, 0.75), finest=64)
QUERY = Query((AGE, replace(CHOL, finest=64), SEX), (Pair("sex", "chol"),), 1, Noise(1.0))
EXACT = replace(QUERY, noise=None)
ANY = st.one_of(
    st.floats(width=32), st.sampled_from([18.0, 110.0, 0.0, 1.0, 2.0, 700.0, math.nan, math.inf, -math.inf])
)


def seeded(seed):
    return np.random.default_rng(seed).bytes


def rows_of(*rows):
    return {
        name: np.array([row[place] for row in rows], np.float64) for place, name in enumerate(("age", "chol", "sex"))
    }


# --- what one row can change ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(rows=st.lists(st.tuples(ANY, ANY, ANY), max_size=8), one=st.tuples(ANY, ANY, ANY), epsilon=st.floats(0.05, 20))
def test_a_row_that_is_added_changes_the_numbers_by_no_more_than_the_noise_is_made_for(rows, one, epsilon):
    """Also where it breaks the contract: then no error tells that it is there."""
    query = replace(QUERY, noise=Noise(epsilon))
    changed = units(query, rows_of(*rows, one)) - units(query, rows_of(*rows))
    length = math.sqrt(sum(int(value) ** 2 for value in changed))
    assert length <= unit_of(query) * math.sqrt(shares_of(query)) * (1 + 1e-15)
    assert length / SIGMA <= 1 / noise_multiplier(epsilon, 1e-5)


@given(one=st.tuples(ANY, ANY, ANY))
def test_each_share_by_at_most_a_unit(one):
    changed, unit, start = units(QUERY, rows_of(one)), unit_of(QUERY), 0
    for part, size in QUERY.parts():
        piece = changed[start : start + size].astype(object)
        start += size
        shares = [piece[:1], piece[1:]] if part.kind == "moments" else [piece]
        assert all((share**2).sum() <= unit**2 for share in shares), part


def test_a_row_at_a_bound_changes_every_share_by_a_unit_so_less_noise_would_not_do():
    changed = units(QUERY, rows_of((110.0, 700.0, 1.0))).astype(float)
    assert np.sqrt((changed**2).sum()) == pytest.approx(unit_of(QUERY) * math.sqrt(shares_of(QUERY)), rel=1e-6)


def test_shares_are_counted_by_hand():
    """Rows; age: present, sum, squares, quantiles; chol: these and its groups; sex: present and codes; one table."""
    assert shares_of(QUERY) == 1 + 4 + 5 + 2 + 1


def test_the_unit_worked_out_by_hand():
    """One column of codes has three shares, and epsilon 1 at delta 1e-5 takes 3.7307."""
    assert unit_of(Query((SEX,), (), 1, Noise(1.0))) == int(2**24 / (3.7307 * math.sqrt(3)))


# --- the noise -----------------------------------------------------------------------------------------------------


def test_what_leaves_is_the_sums_with_normal_noise_of_sigma():
    """20,000 draws: the mean is within 5 / sqrt(20,000), quantiles are those of a normal distribution."""
    wide = QueryColumn("chol", minimum=0.0, maximum=700.0, cuts=tuple(float(value) for value in range(200)))
    query, table = Query((wide,), (), 1, Noise(1.0)), {"chol": np.linspace(0, 700, 1000)}
    exact = units(query, table)
    noise = np.concatenate([count_with_noise(query, table, seeded(seed)) - exact for seed in range(100)]) / SIGMA
    assert len(noise) == 100 * 203
    assert abs(noise.mean()) < 0.04
    assert noise.std() == pytest.approx(1, abs=0.03)
    for at, value in ((0.0228, -2), (0.1587, -1), (0.5, 0), (0.8413, 1), (0.9772, 2)):
        assert np.quantile(noise, at) == pytest.approx(value, abs=0.08)


def test_no_two_answers_have_the_same_noise():
    table = people(np.random.default_rng(3), 50)
    one, other = (count_with_noise(QUERY, table, os.urandom) for _ in range(2))
    assert (one != other).all()


def test_a_table_larger_than_a_block_is_counted_as_one():
    table = people(np.random.default_rng(1), 150_000)
    starts = range(0, 150_000, 1000)
    small = [{name: values[start : start + 1000] for name, values in table.items()} for start in starts]
    assert (units(QUERY, table) == sum(units(QUERY, part) for part in small)).all()


# --- the answer ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(60, 300))
def test_without_its_noise_the_answer_would_be_the_exact_one(seed, rows):
    table = people(np.random.default_rng(seed), rows)
    found = noisy_answer(QUERY, ["a"], units(QUERY, table).astype(float))
    told = answer(EXACT, ["a"], rows, count(EXACT, table))
    assert found.rows == told.rows
    for one, other in zip(found.columns, told.columns, strict=True):
        assert (one.present, one.missing, one.groups) == (other.present, other.missing, other.groups)
        if one.mean is not None:
            assert one.mean == pytest.approx(other.mean, rel=1e-4)
        if one.sd is not None:
            assert one.sd == pytest.approx(other.sd, rel=1e-3)
    assert [table.cells for table in found.tables] == [table.cells for table in told.tables]
    assert found.tables[0].chi_square is None


@pytest.fixture(scope="module")
def many():
    """400 answers of two silos together about 2,000 people."""
    table = people(np.random.default_rng(8), 2000)
    halves = [{name: values[half::2] for name, values in table.items()} for half in (0, 1)]
    query = replace(QUERY, noise=Noise(5.0))
    answers = []
    for seed in range(400):
        sums = sum(count_with_noise(query, half, seeded([seed, at])) for at, half in enumerate(halves))
        answers.append(noisy_answer(query, ["a", "b"], sums))
    return table, query, answers


def test_the_error_that_is_told_of_a_count_is_the_true_one_and_that_of_two_silos(many):
    table, query, answers = many
    off = np.array([one.columns[2].groups[0] for one in answers]) - (table["sex"] == 0).sum()
    assert answers[0].count_error == pytest.approx(math.sqrt(2) * SIGMA / unit_of(query), rel=0.01)
    assert off.std() == pytest.approx(answers[0].count_error, rel=0.12)
    assert abs(off.mean()) < 4 * answers[0].count_error / math.sqrt(400)
    missing = np.array([one.columns[1].missing for one in answers]) - np.isnan(table["chol"]).sum()
    assert missing.std() == pytest.approx(math.sqrt(2) * answers[0].count_error, rel=0.12)
    assert missing.min() < 0 < missing.max()


@pytest.mark.parametrize(("place", "name"), [(0, "age"), (1, "chol")])
def test_the_errors_that_are_told_of_means_and_deviations_are_the_true_ones(many, place, name):
    table, _, answers = many
    values = table[name][~np.isnan(table[name])]
    columns = [one.columns[place] for one in answers]
    means = np.array([(one.mean - values.mean()) / one.mean_error for one in columns])
    deviations = np.array([(one.sd - values.std(ddof=1)) / one.sd_error for one in columns])
    for off in (means, deviations):
        assert abs(off.mean()) < 0.3
        assert off.std() == pytest.approx(1, abs=0.15)


def test_a_quantile_lies_within_its_error_in_95_of_100_answers(many):
    table, _, answers = many
    for place, at in enumerate((0.25, 0.5, 0.75)):
        true = np.quantile(table["age"], at, method="inverted_cdf")
        found = [one.columns[0].quantiles[place] for one in answers]
        assert all(one.at == at for one in found)
        assert np.mean([abs(one.value - true) <= one.error for one in found]) >= 0.95
        assert np.median([one.error for one in found]) < 15  # of a range of 92


def test_counts_below_nothing_are_told_as_they_come_out_and_means_of_nobody_are_not():
    found = noisy_answer(QUERY, ["a"], np.full(QUERY.size, -3.0 * unit_of(QUERY)))
    assert found.rows == -3
    age = found.columns[0]
    assert (age.present, age.missing, age.mean, age.sd) == (-3, 0, None, None)
    assert found.columns[2].groups == (-3, -3)


def test_with_no_people_at_all_every_bin_of_a_quantile_stays_possible():
    (median,) = (
        noisy_answer(Query((replace(AGE, quantiles=(0.5,)),), (), 1, Noise(1.0)), ["a"], np.zeros(1 + 1 + 2 + 64))
        .columns[0]
        .quantiles
    )
    assert (median.value, median.error) == (64.0, pytest.approx(46.0))


def test_sums_of_another_query_are_refused():
    with pytest.raises(TensorError, match="shape"):
        noisy_answer(QUERY, ["a"], np.zeros(3))


# --- the query -----------------------------------------------------------------------------------------------------


def test_small_counts_are_hidden_by_noise_or_left_out_and_not_both():
    with pytest.raises(ConfigError, match="not by both"):
        replace(QUERY, min_cell=5)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1e-5), (21.0, 1e-5), (math.nan, 1e-5), (1.0, 0.0), (1.0, 0.5)])
def test_a_cost_that_is_none_is_refused(epsilon, delta):
    with pytest.raises(ConfigError, match="must be between"):
        Noise(epsilon, delta)


def test_a_query_without_noise_has_the_bytes_that_it_had():
    column = QueryColumn("sex", codes=(Code(0.0, "female"),))
    assert dumps(to_json(Query((column,)))) == (
        b'{"columns":[{"codes":[{"meaning":"female","value":0.0}],"cuts":[],"maximum":null,"minimum":null,'
        b'"moments":false,"name":"sex","quantiles":[],"unit":"","whole":false}],"min_cell":5,"tables":[]}'
    )
    assert from_json(Query, to_json(QUERY)) == QUERY
