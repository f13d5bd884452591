"""What the options of `septum stats` ask for, and how an answer is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from septum.cli.asking import Asked, noise_of, query_of
from septum.errors import ConfigError
from septum.protocol import facts
from septum.protocol.facts import StatisticsMade
from septum.protocol.messages import Outcome
from septum.protocol.query import (
    NOISY_BINS,
    ColumnAnswer,
    Noise,
    Pair,
    Quantile,
    Query,
    QueryAnswer,
    QueryColumn,
    TableAnswer,
)
from septum.protocol.views import RunStatus
from septum.sdk.contract import Column, Kind

pytestmark = pytest.mark.served

CONTRACT = {
    "age": Column(kind=Kind.INTEGER, unit="years", minimum=18.0, maximum=110.0),
    "chol": Column(unit="mg/dl", minimum=0.0, maximum=700.0),
    "free": Column(),
    "sex": Column(kind=Kind.CODE, codes={1.0: "male", 0.0: "female"}),
}
AGE = QueryColumn("age", "years", True, 18.0, 110.0, moments=True, quantiles=(0.5,), cuts=(40.0, 60.0))
SEX = query_of(CONTRACT, Asked(columns="sex")).columns[0]
QUERY = Query((AGE, SEX), (Pair("sex", "age"),))
ANSWER = QueryAnswer(
    100,
    ("austin", "boston"),
    (
        ColumnAnswer("age", 100, 0, 52.5, 9.25, (Quantile(0.5, 54.0, 0.0),), (20, 50, 30)),
        ColumnAnswer("sex", None, None, groups=(None, 60)),
    ),
    (TableAnswer("sex", "age", ((10, 20, 10, 0), (10, 30, None, 0), (0, 0, None, 0))),),
)


# --- from options to a query ---------------------------------------------------------------------------------------


def test_options_about_one_column_come_together():
    query = query_of(
        CONTRACT,
        Asked(columns="age, sex", quantiles=("age:0.9/0.1",), cuts=("age:60/40",), tables=("sex,age",), min_cell=7),
    )
    assert [column.name for column in query.columns] == ["age", "sex"]
    age, sex = query.columns
    assert (age.moments, age.quantiles, age.cuts) == (True, (0.1, 0.9), (40.0, 60.0))
    assert (sex.moments, [code.meaning for code in sex.codes]) == (False, ["female", "male"])
    assert (query.tables, query.min_cell) == ((Pair("sex", "age"),), 7)


def test_quantiles_are_quartiles_unless_said():
    (age,) = query_of(CONTRACT, Asked(quantiles=("age",))).columns
    assert age.quantiles == (0.25, 0.5, 0.75)


def test_a_histogram_has_groups_of_equal_width_over_the_contracts_range():
    (chol,) = query_of(CONTRACT, Asked(histograms=("chol:7",))).columns
    assert chol.cuts == (100.0, 200.0, 300.0, 400.0, 500.0, 600.0)


def test_a_histogram_of_whole_numbers_ends_its_groups_at_whole_numbers():
    (age,) = query_of(CONTRACT, Asked(histograms=("age:5",))).columns
    assert age.cuts == (36.0, 55.0, 73.0, 92.0)  # 18 + 18.4, 36.8, 55.2, 73.6


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Asked(), "nothing is asked"),
        (Asked(columns="agee"), "--columns: the app has no column 'agee'; did you mean 'age'"),
        (Asked(quantiles=("ago",)), "--quantiles: the app has no column 'ago'"),
        (Asked(tables=("sex,cp",)), "--table: the app has no column 'cp'"),
        (Asked(tables=("sex",)), "two columns are needed"),
        (Asked(tables=("sex,age",)), "a table takes groups"),
        (Asked(histograms=("age",)), "how many groups"),
        (Asked(histograms=("age:1",)), "how many groups"),
        (Asked(histograms=("age:200",)), "no whole number in some"),
        (Asked(histograms=("sex:2",)), "has codes"),
        (Asked(histograms=("free:9",)), "gives free no min and max"),
        (Asked(histograms=("age:5",), cuts=("age:40",)), "has groups already"),
        (Asked(cuts=("age",)), "where do groups end"),
        (Asked(cuts=("age:forty",)), "are no numbers"),
        (Asked(columns="free"), "takes the min and max"),
        (Asked(columns="age", min_cell=2), "min_cell is 2"),
        (Asked(columns="age", min_cell=5, noise=Noise(1.0)), "not by both"),
    ],
)
def test_what_cannot_be_asked_says_which_option(asked, says):
    with pytest.raises(ConfigError, match=says):
        query_of(CONTRACT, asked)


def test_with_noise_nothing_is_hidden_and_quantiles_are_looked_for_in_fewer_bins():
    query = query_of(CONTRACT, Asked(quantiles=("age",), noise=noise_of(2.0, 1e-6)))
    assert (query.min_cell, query.noise) == (1, Noise(2.0, 1e-6))
    assert query.columns[0].fine_bins == NOISY_BINS
    plain = query_of(CONTRACT, Asked(quantiles=("age",)))
    assert (plain.min_cell, plain.noise, plain.columns[0].fine_bins) == (5, None, 93)


def test_a_delta_without_an_epsilon_says_what_is_missing():
    assert noise_of(None, 1e-5) is None
    with pytest.raises(ConfigError, match="--delta belongs to --epsilon"):
        noise_of(None, 1e-6)


# --- commands ------------------------------------------------------------------------------------------------------


def answered(coordinator):
    coordinator.facts = [
        facts.SiloJoined("boston"),
        StatisticsMade(QUERY, ANSWER),
        facts.RunEnded(Outcome.FINISHED, ""),
    ]


def test_run_submits_a_masked_plan_without_training_and_shows_the_answer(coordinator, septum, example):
    answered(coordinator)
    done = septum("stats", "run", example, "--silos", "boston,austin", "--columns", "age", "--json")
    assert done.code == 0, done.err
    plan = coordinator.plans["run-1"]
    assert (plan.silos, plan.rounds, plan.hyper, plan.app.name) == (("austin", "boston"), 1, {}, "heart-disease")
    assert plan.masking is not None
    assert plan.query.columns[0].moments
    assert done.envelope["data"]["rows"] == 100


def test_a_run_that_fails_names_the_silos_and_their_reasons(coordinator, septum, example):
    coordinator.status, coordinator.reason = RunStatus.FAILED, "no quorum"
    coordinator.problems = {"boston": "refused by its rule 'policy.queries': not here"}
    done = septum("stats", "run", example, "--silos", "austin,boston", "--columns", "age", "--json")
    assert done.code != 0
    assert "boston: refused by its rule 'policy.queries'" in done.envelope["error"]["message"]


def test_list_has_the_runs_that_ask_and_no_others(coordinator, septum, example):
    assert "nothing was asked yet: septum stats run APP --columns A,B" in septum("stats", "list").out
    septum("run", "submit", example, "--silos", "austin,boston")
    assert septum("stats", "list", "--json").envelope["data"]["runs"] == []
    septum("stats", "run", example, "--silos", "austin,boston", "--columns", "age")
    assert [one["id"] for one in septum("stats", "list", "--json").envelope["data"]["runs"]] == ["run-2"]
    assert septum("stats", "list").out.splitlines()[1].split()[:2] == ["run-2", "heart-disease"]


def test_show_prints_units_meanings_and_what_is_hidden(coordinator, septum, example):
    septum("stats", "run", example, "--silos", "austin,boston", "--columns", "age")
    answered(coordinator)
    lines = septum("stats", "show", "run-1").out.splitlines()
    assert "rows      100, of austin, boston together" in lines
    assert "hidden    counts of 1 to 4, and what would give them back" in lines
    table = [line.split() for line in lines]
    assert ["age", "years", "100", "0", "52.5", "9.25"] in table
    assert ["sex", "code", "hidden", "hidden", "-", "-"] in table
    assert ["0.5", "54", "exact"] in table
    assert ["above", "40", "to", "60", "50"] in table
    assert ["1", "(male)", "10", "30", "hidden", "0"] in table
    assert "chi-square: none, for counts are hidden or fewer than two groups have people" in lines


def test_run_show_says_that_it_asks_and_where_the_answer_is(coordinator, septum, example):
    septum("stats", "run", example, "--silos", "austin,boston", "--columns", "age")
    said = septum("run", "show", "run-1").out
    assert "asks      for statistics, attempt 1, of 2 of 2 silos at least" in said
    assert "answer    septum stats show run-1" in said
    assert "model " not in said


def test_a_run_that_trains_has_no_statistics(coordinator, septum, example):
    septum("run", "submit", example, "--silos", "austin,boston")
    done = septum("stats", "show", "run-1", "--json")
    assert "does not ask for statistics" in done.envelope["error"]["message"]


def test_simulate_answers_from_files_as_the_silos_would(septum, example):
    done = septum("stats", "simulate", example, "--columns", "age", "--cut", "num:0", "--table", "sex,num", "--json")
    assert done.code == 0, done.err
    data = done.envelope["data"]
    assert (data["rows"], data["silos"]) == (920, ["cleveland", "hungary", "long-beach-va", "switzerland"])
    table = data["tables"][0]
    assert [row[:2] for row in table["cells"][:2]] == [[144, 50], [267, 459]]
    assert (table["degrees"], round(table["chi_square"], 2), round(table["odds_ratio"][0], 3)) == (1, 86.87, 4.951)
    assert table["row_groups"] == ["0 (female)", "1 (male)", "missing"]
    assert table["column_groups"] == ["up to 0", "above 0", "missing"]


NOISY = replace(QUERY, min_cell=1, noise=Noise(1.0))
NOISY_ANSWER = replace(
    ANSWER,
    columns=(
        replace(ANSWER.columns[0], mean_error=1.25, sd=None, quantiles=(Quantile(0.5, 54.0, 3.5),)),
        ColumnAnswer("sex", 101, -1, groups=(41, 60)),
    ),
    tables=(TableAnswer("sex", "age", ((10, 20, 10, -2), (10, 30, 20, 0), (0, 0, 1, 0))),),
    count_error=7.461,
)


def test_show_prints_the_noise_its_errors_and_what_a_negative_count_is(coordinator, septum, example):
    septum("stats", "run", example, "--silos", "austin,boston", "--columns", "age", "--epsilon", "1")
    assert coordinator.plans["run-1"].query.noise == Noise(1.0)
    coordinator.facts = [StatisticsMade(NOISY, NOISY_ANSWER), facts.RunEnded(Outcome.FINISHED, "")]
    lines = septum("stats", "show", "run-1").out.splitlines()
    said = (
        "epsilon 1 at delta 1e-05 for each row of a silo; it moves each count by 7.46 (standard error), a missing one"
    )
    assert f"noise     {said} by 10.6" in lines
    assert "          a count below 0 is noise: few people, or none" in lines
    table = [line.split() for line in lines]
    assert ["age", "years", "100", "0", "52.5", "+-", "1.2", "in", "the", "noise"] in table
    assert ["sex", "code", "101", "-1", "-", "-"] in table
    assert ["0.5", "54", "+-", "3.5"] in table
    assert "chi-square: none, it takes counts without noise" in lines
    data = septum("stats", "show", "run-1", "--json").envelope["data"]
    assert data["noise"] == {"epsilon": 1.0, "delta": 1e-5, "count_error": 7.461}
    assert data["columns"][0]["mean_error"] == 1.25


def test_simulate_with_noise_is_near_the_answer_without_and_another_each_time(septum, example):
    asked = ("stats", "simulate", example, "--columns", "age,sex", "--json")
    exact, *noisy = (septum(*asked, *more).envelope["data"] for more in ((), *[("--epsilon", "10")] * 2))
    assert exact["noise"] is None
    ages = [one["columns"][0]["mean"] for one in (exact, *noisy)]
    assert len({*ages}) == 3
    for one in noisy:
        assert abs(one["rows"] - 920) < 6 * one["noise"]["count_error"]
        assert abs(one["columns"][0]["mean"] - ages[0]) < 6 * one["columns"][0]["mean_error"]
