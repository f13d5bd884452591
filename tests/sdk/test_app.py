"""The app object: registers once, names what is missing."""

from __future__ import annotations

import pytest

from septum import App, Data, hyper, stats
from septum.errors import AppError


def test_a_function_registered_twice_is_an_error_that_names_both(app: App) -> None:
    with pytest.raises(AppError, match=r"@app\.train is used twice, on train and again"):

        @app.train
        def again(p, data, h, ctx):
            return p


def test_a_second_hyper_class_is_an_error(app: App) -> None:
    with pytest.raises(AppError, match=r"@app\.hyper is used twice"):

        @app.hyper
        class Other:
            rounds: int = hyper(1)


def test_an_incomplete_app_names_every_missing_part() -> None:
    app = App("half")

    @app.hyper
    class Hyper:
        rounds: int = hyper(1)

    with pytest.raises(AppError, match=r"app 'half' has no @app.data, @app.initial, @app.train, @app.predict"):
        app.check()
    with pytest.raises(AppError, match=r"@app.train"):
        _ = app.train_function


def test_a_complete_app_passes(app: App) -> None:
    app.check()
    assert app.seed(app.resolve()) == 7


def test_two_statistics_need_two_names(app: App) -> None:
    with pytest.raises(AppError, match="statistic 'mean_and_std' is registered twice") as caught:
        app.statistics(stats.mean_and_std())
    assert 'name="mean_and_std_2"' in caught.value.hint
    app.statistics(stats.mean_and_std(), name="another")
    assert [handle.name for handle in app.statistic_handles] == ["another", "mean_and_std"]


@pytest.mark.parametrize("name", ["", "a.b", "a b", "1"])
def test_a_statistic_name_that_could_not_be_a_key_is_an_error(name: str) -> None:
    app = App("named")
    if name:
        with pytest.raises(AppError, match="must be an identifier"):
            app.statistics(stats.mean_and_std(), name=name)
    else:
        assert app.statistics(stats.mean_and_std(), name=name).name == "mean_and_std"


def test_a_statistic_applied_before_the_sums_are_known_says_when_it_is_there() -> None:
    scale = App("early").statistics(stats.mean_and_std())
    with pytest.raises(AppError, match="statistic 'mean_and_std' was applied to data that has none"):
        scale(Data.of({"a": [1, 2]}, [0, 1]))


def test_values_of_another_class_are_refused(app: App) -> None:
    with pytest.raises(AppError, match="is not an instance of its hyper-parameter class"):
        app.hyper_values(object())


@pytest.mark.parametrize("name", ["", "a/b", "a b", "../x"])
def test_an_app_name_that_is_no_name_is_an_error(name: str) -> None:
    with pytest.raises(AppError, match="app name"):
        App(name)
