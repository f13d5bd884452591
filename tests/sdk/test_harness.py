"""The harness: what an app may return, what reaches it, and that a round can be asked for again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from septum import App, Context, Data, Split, Table
from septum.algorithms.roc_auc import binned_auc
from septum.errors import AppError, DataError
from septum.sdk import harness

Replace = Callable[..., App]


@pytest.fixture
def with_function(app: App) -> Replace:
    """The small app with one of its functions replaced."""

    def replace(part: str, function: Callable[..., object]) -> App:
        app._parts[part] = function
        return app

    return replace


def ready(app: App, table: Table) -> harness.Prepared:
    prepared = harness.prepare(app, app.resolve(), table)
    return harness.with_statistics(app, prepared, harness.summands(app, prepared))


def train(app: App, table: Table, **task: object) -> harness.TrainResult:
    prepared = ready(app, table)
    parameters = {"weight": np.ones((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    return harness.train(
        app, app.resolve(), prepared, parameters, harness.Task(**{"round": 1, "seed": 7, "silo": "va", **task})
    )


# --- preparing ------------------------------------------------------------------------------------------------------


def test_prepare_splits_the_table_and_knows_the_shape(app: App, table: Table) -> None:
    prepared = harness.prepare(app, app.resolve(), table)
    assert (len(prepared.split.train), len(prepared.split.test)) == (4, 4)
    assert prepared.shape.features == ("a", "b")


def test_an_error_in_the_data_names_file_and_target_column(app: App, table: Table) -> None:
    columns = {**table.columns, "label": np.ones(8)}
    with pytest.raises(DataError, match=r"^hospital.csv, target column 'label': the target has one class, 1"):
        harness.prepare(app, app.resolve(), Table(columns, table.source, table.target))
    del columns["label"]
    with pytest.raises(DataError, match=r"^hospital.csv: no column 'label'"):
        harness.prepare(app, app.resolve(), Table(columns, table.source))


def test_a_table_without_rows_is_an_error_before_the_app_runs(with_function: Replace) -> None:
    app = with_function("data", lambda _table, _h: pytest.fail("the app ran"))
    with pytest.raises(DataError, match=r"empty.csv: no rows"):
        harness.prepare(app, app.resolve(), Table({"a": np.empty(0)}, "empty.csv"))


def test_a_data_function_that_returns_something_else_is_named(with_function: Replace, table: Table) -> None:
    app = with_function("data", lambda _table, _h: (1, 2))
    with pytest.raises(AppError, match="data: returned tuple, a Split is needed"):
        harness.prepare(app, app.resolve(), table)


def test_what_an_app_raises_is_wrapped_and_kept(with_function: Replace, table: Table) -> None:
    app = with_function("data", lambda _table, _h: 1 / 0)
    with pytest.raises(AppError, match="app 'small': data raised ZeroDivisionError: division by zero") as caught:
        harness.prepare(app, app.resolve(), table)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# --- statistics -----------------------------------------------------------------------------------------------------


def test_summands_are_those_of_the_train_rows_by_statistic_and_field(app: App, table: Table) -> None:
    prepared = harness.prepare(app, app.resolve(), table)
    assert {name: value.tolist() for name, value in harness.summands(app, prepared).items()} == {
        "mean_and_std.count": [4.0],
        "mean_and_std.sum": [10.0, 12.0],
        "mean_and_std.sum_of_squares": [30.0, 52.0],
    }


def test_results_reach_both_parts(app: App, table: Table) -> None:
    prepared = ready(app, table)
    for part in (prepared.split.train, prepared.split.test):
        assert part.statistics["mean_and_std"]["mean"].tolist() == [2.5, 3.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean_and_std.sum": np.zeros(3)}, r"sum 'mean_and_std.sum' has shape \(3,\), \(2,\) is needed"),
        ({"mean_and_std.sum": np.zeros(2, np.float32)}, "'mean_and_std.sum' is an array of float32, float64"),
        ({"mean_and_std.sum": np.array([np.nan, 0])}, "'mean_and_std.sum' holds NaN or infinity in 1 of 2"),
        ({"other.sum": np.zeros(2)}, "needs the sums"),
    ],
)
def test_sums_that_do_not_fit_are_named(app: App, table: Table, change: Mapping[str, np.ndarray], message: str) -> None:
    prepared = harness.prepare(app, app.resolve(), table)
    with pytest.raises(AppError, match=message):
        harness.with_statistics(app, prepared, {**harness.summands(app, prepared), **change})


def test_pooled_rows_are_all_rows_and_silos_with_other_features_are_refused(app: App, table: Table) -> None:
    prepared = ready(app, table)
    pooled = harness.pool([prepared, prepared])
    assert (len(pooled.split.train), len(pooled.split.test)) == (8, 8)
    assert harness.summands(app, pooled)["mean_and_std.sum"].tolist() == [20.0, 24.0]
    other = Data.of({"c": [1, 2]}, [0, 1])
    with pytest.raises(DataError, match="features differ"):
        harness.pool([prepared, harness.Prepared(Split(other, other))])


# --- parameters -----------------------------------------------------------------------------------------------------

WRONG_TENSORS = [
    (None, "returned NoneType, a mapping"),
    ({}, "returned no tensor"),
    ({"a b": np.zeros(1, np.float32)}, "tensor name 'a b'"),
    ({"": np.zeros(1, np.float32)}, "tensor name ''"),
    ({3: np.zeros(1, np.float32)}, "tensor name 3"),
    ({"statistics.x": np.zeros(1, np.float32)}, "tensor name 'statistics.x': septum keeps"),
    ({"w": np.zeros(1)}, "tensor 'w' is an array of float64, float32 is needed"),
    ({"w": [0.0]}, "tensor 'w' is list, float32 is needed"),
    ({"w": np.array([np.nan, 1], np.float32)}, "tensor 'w' holds NaN or infinity in 1 of 2 places"),
    ({"w": np.array([np.inf], np.float32)}, "tensor 'w' holds NaN or infinity in 1 of 1 places"),
]


@pytest.mark.parametrize(("made", "message"), WRONG_TENSORS)
@pytest.mark.parametrize("function", ["initial", "train"])
def test_parameters_that_cannot_travel_are_named(
    with_function: Replace, table: Table, function: str, made: object, message: str
) -> None:
    app = with_function(function, lambda *_: made)
    shape = ready(app, table).shape
    call = {"train": lambda: train(app, table), "initial": lambda: harness.initial(app, app.resolve(), shape, seed=7)}
    with pytest.raises(AppError, match=f"app 'small': {function}: {message}"):
        call[function]()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"weight": np.zeros((1, 2), np.float32)}, "did not return tensor 'bias'"),
        (
            {"weight": np.zeros((2, 1), np.float32), "bias": np.zeros(1, np.float32)},
            r"tensor 'weight' has shape \(2, 1\), the model has \(1, 2\)",
        ),
        (
            {name: np.zeros((1, 2), np.float32) for name in ("weight", "bias", "wieght")},
            r"returned tensor 'wieght', the model has none; did you mean 'weight'\?",
        ),
    ],
)
def test_a_trained_model_of_another_layout_is_named(
    with_function: Replace, table: Table, made: object, message: str
) -> None:
    with pytest.raises(AppError, match=f"train: {message}"):
        train(with_function("train", lambda *_: made), table)


def test_an_update_that_overflows_is_named(with_function: Replace, table: Table) -> None:
    app = with_function("train", lambda p, _data, _h, _ctx: {name: -tensor for name, tensor in p.items()})
    prepared = ready(app, table)
    huge = {"w": np.array([3e38], np.float32)}
    with pytest.raises(AppError, match="tensor 'w' holds NaN or infinity"):
        harness.train(app, app.resolve(), prepared, huge, harness.Task(1, 7, "va"))


def test_the_initial_model_depends_on_the_seed_and_on_nothing_else(app: App, table: Table) -> None:
    shape = ready(app, table).shape
    one, again, other = (harness.initial(app, app.resolve(), shape, seed)["weight"].tobytes() for seed in (7, 7, 8))
    assert one == again
    assert one != other


# --- training -------------------------------------------------------------------------------------------------------


def test_the_update_is_new_minus_base_and_its_weight_the_train_rows(with_function: Replace, table: Table) -> None:
    app = with_function("train", lambda p, _data, _h, _ctx: {name: tensor + 2 for name, tensor in p.items()})
    result = train(app, table)
    assert {name: delta.tolist() for name, delta in result.update.items()} == {"weight": [[2.0, 2.0]], "bias": [2.0]}
    assert all(delta.dtype == np.float32 for delta in result.update.values())
    assert result.weight == 4
    assert list(result.update) == ["bias", "weight"]


def test_an_app_that_trains_in_place_gives_the_same_update_and_leaves_the_model_alone(
    with_function: Replace, table: Table
) -> None:
    def in_place(p, data, h, ctx):
        p["weight"] += 2
        return p

    app = with_function("train", in_place)
    base = {"weight": np.ones((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    result = harness.train(app, app.resolve(), ready(app, table), base, harness.Task(1, 7, "va"))
    assert result.update["weight"].tolist() == [[2.0, 2.0]]
    assert base["weight"].tolist() == [[1.0, 1.0]]


def test_a_round_asked_for_again_gives_the_same_bits_and_another_seed_silo_or_round_does_not(
    app: App, table: Table
) -> None:
    def update(**task: object) -> bytes:
        return train(app, table, **task).update["weight"].tobytes()

    assert update() == update()
    assert len({update(), update(seed=8), update(silo="cleveland"), update(round=2)}) == 4


def test_the_order_in_which_a_model_names_its_tensors_does_not_matter(app: App, table: Table) -> None:
    tensors = {"weight": np.ones((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    task = harness.Task(1, 7, "va")
    one, other = (
        harness.train(app, app.resolve(), ready(app, table), dict(items), task).update
        for items in (tensors.items(), reversed(tensors.items()))
    )
    assert [(name, tensor.tobytes()) for name, tensor in one.items()] == [
        (name, tensor.tobytes()) for name, tensor in other.items()
    ]


def test_the_context_holds_the_order_and_the_base(with_function: Replace, table: Table) -> None:
    seen: list[Context] = []
    app = with_function("train", lambda p, _data, _h, ctx: (seen.append(ctx), p)[1])
    train(app, table, round=5, proximal_mu=0.25)
    assert (seen[0].round, seen[0].silo, seen[0].proximal_mu) == (5, "va", 0.25)
    assert seen[0].base["weight"].tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match="read-only"):
        seen[0].base["weight"][...] = 0


def test_fedprox_reaches_the_update(app: App, table: Table) -> None:
    def moved(mu: float) -> float:
        return float(np.abs(train(app, table, proximal_mu=mu).update["weight"]).sum())

    assert moved(1000.0) < moved(0.0)


def test_state_goes_in_and_comes_out_and_the_caller_keeps_its_own(with_function: Replace, table: Table) -> None:
    def count(p, data, h, ctx):
        seen = ctx.state.setdefault("count", np.zeros(1, np.int64))
        seen += 1
        return p

    app = with_function("train", count)
    first = train(app, table)
    assert first.state["count"].tolist() == [1]
    second = train(app, table, state=first.state)
    assert second.state["count"].tolist() == [2]
    assert first.state["count"].tolist() == [1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("m", [1.0], "state 'm' is list"),
        ("m", np.array(["a"]), "state 'm' is an array of <U1"),
        ("m", np.array([{}]), "state 'm' is an array of object"),
        ("m m", np.zeros(1), "state name 'm m'"),
    ],
)
def test_state_that_cannot_be_kept_is_named(
    with_function: Replace, table: Table, name: str, value: object, message: str
) -> None:
    def keep(p, data, h, ctx):
        ctx.state[name] = value
        return p

    with pytest.raises(AppError, match=f"train: {message}"):
        train(with_function("train", keep), table)


def test_rng_is_keyed_by_each_of_its_arguments() -> None:
    keys = [(1, "a", 1), (2, "a", 1), (1, "b", 1), (1, "a", 2), (1, "", 0)]
    first = [int(harness.rng(*key).integers(2**62)) for key in keys]
    assert len(set(first)) == len(keys)
    assert first == [int(harness.rng(*key).integers(2**62)) for key in keys]
    # golden: a change here changes every model that was ever trained with a seed
    assert harness.rng(42, "cleveland", 1).permutation(8).tolist() == [2, 6, 5, 3, 1, 7, 0, 4]


# --- evaluating -----------------------------------------------------------------------------------------------------


def logits_of(values: list[float]) -> Callable[..., np.ndarray]:
    return lambda _p, data: np.array(values[: len(data)])


def test_metrics_by_hand(with_function: Replace, table: Table) -> None:
    app = with_function("predict", logits_of([2.0, 1.0, -1.0, 0.0]))
    prepared = ready(app, table)
    assert prepared.split.test.y.tolist() == [0.0, 1.0, 1.0, 0.0]
    found = harness.evaluate(app, prepared, {"w": np.zeros(1, np.float32)})
    assert found.rows == 4
    assert found.correct == 2  # 2.0 is wrong, 1.0 right, -1.0 wrong, 0.0 is not above 0: right
    assert found.roc_auc == 0.25  # of the pairs (1, 2) (1, 0) (-1, 2) (-1, 0) one is in order
    expected = np.log1p(np.exp(2)) + np.log1p(np.exp(-1)) + np.log1p(np.exp(1)) + np.log(2)
    assert found.log_loss_sum == pytest.approx(expected, rel=1e-12)
    assert found.bins[:, 1:].sum(axis=0).tolist() == [2, 2]
    assert binned_auc(found.bins) == (0.25, 0.0)


def test_the_train_part_can_be_evaluated_too(with_function: Replace, table: Table) -> None:
    app = with_function("predict", logits_of([-1.0, 1.0, -1.0, 1.0]))
    assert harness.evaluate(app, ready(app, table), {"w": np.zeros(1, np.float32)}, "train").correct == 4
    assert harness.evaluate(app, ready(app, table), {"w": np.zeros(1, np.float32)}, "test").correct == 2


def test_one_class_in_the_test_rows_has_no_roc_auc(app: App) -> None:
    train_rows, test_rows = Data.of({"a": [1, 2], "b": [1, 2]}, [0, 1]), Data.of({"a": [1], "b": [1]}, [1])
    prepared = harness.Prepared(Split(train_rows, test_rows))
    prepared = harness.with_statistics(app, prepared, harness.summands(app, prepared))
    parameters = {"weight": np.ones((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    assert harness.evaluate(app, prepared, parameters).roc_auc is None


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros(3), r"returned shape \(3,\), one logit a row is needed: \(4,\)"),
        (np.zeros((4, 1)), r"returned shape \(4, 1\)"),
        (np.array([0.0, 1.0, np.nan, 2.0]), "tensor 'logits' holds NaN or infinity in 1 of 4"),
        (np.zeros(4, np.int64), "returned an array of int64"),
        ([0.0] * 4, "returned list"),
    ],
)
def test_logits_that_are_none_are_named(with_function: Replace, table: Table, returned: object, message: str) -> None:
    app = with_function("predict", lambda *_: returned)
    with pytest.raises(AppError, match=f"predict: {message}"):
        harness.evaluate(app, ready(app, table), {"w": np.zeros(1, np.float32)})


def test_a_base_that_can_still_be_written_to_is_copied_and_one_that_cannot_be_is_not():
    data = np.zeros(4, np.float32).tobytes()
    for_good = np.frombuffer(data, np.float32)
    in_passing = np.zeros(4, np.float32)
    in_passing.flags.writeable = False  # its owner can take that back
    assert harness._frozen(for_good) is for_good
    assert np.shares_memory(harness._frozen(for_good.reshape(2, 2)), for_good)
    for tensor in (
        in_passing,
        in_passing.view(),
        np.zeros(4, np.float32),
        np.frombuffer(b"." + data, np.float32, 4, 1),
    ):
        frozen = harness._frozen(tensor)
        assert not np.shares_memory(frozen, tensor)
        with pytest.raises(ValueError, match="read-only"):
            frozen[0] = 1


# --- rows that nobody trained on --------------------------------------------------------------------------------------


def both(table: Table, h: object) -> dict[str, np.ndarray]:
    del h
    return {name: table[name] for name in ("a", "b")}


def with_inputs(app: App, function: Callable[..., object]) -> App:
    app.inputs(function)  # type: ignore[arg-type]  # of whatever kind
    return app


def test_what_is_predicted_for_new_rows_is_what_is_predicted_for_rows_of_the_split(app, table):
    with_inputs(app, both)
    plain = ready(app, table)
    parameters = {"weight": np.float32([[0.5, -2.0]]), "bias": np.float32([0.25])}
    sums = harness.summands(app, plain)
    scored = harness.score(app, app.resolve(), table, parameters, sums)
    for part in (plain.split.train, plain.split.test):
        for logit in harness.predict(app, part, parameters):
            assert np.isclose(scored, logit, rtol=1e-6).any()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ([1.0], "mapping"),
        ({"age": [1.0]}, "one number a row"),
        ({"age": ["old"] * 4}, "one number a row"),
    ],
)
def test_inputs_of_another_kind_are_named(app, table, made, says):
    with pytest.raises(AppError, match=says):
        harness.inputs(with_inputs(app, lambda table, h: made), app.resolve(), table)  # noqa: ARG005  its answer is fixed


def test_inputs_of_other_features_than_the_data_function_gives_are_refused_before_training(app, table):
    with pytest.raises(AppError, match="inputs"):
        harness.prepare(
            with_inputs(app, lambda table, h: {"other": table["a"]}),  # noqa: ARG005
            app.resolve(),
            table,
        )


def test_rows_without_a_feature_are_named_ten_at_most(app, table):
    with_inputs(app, both)
    lacking = Table({name: np.full(12, np.nan) for name in table.columns})
    with pytest.raises(DataError, match=r"row 1: feature .* and 14 more"):
        harness.score(app, app.resolve(), lacking, {}, {})
