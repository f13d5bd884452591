"""What an app hands to septum's own training: its rows, if its model is the one that it declares."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from tests.silo.private_app import write_private_app, write_rows

from septum.adapters.launch.private_rows import TEST_X, TEST_Y, X, Y, rows_of
from septum.adapters.launch.private_station import PrivateStation
from septum.adapters.launch.station import Part, Timer
from septum.errors import AppError, TensorError
from septum.ports.launcher import Loop
from septum.sdk import harness, private_loss
from septum.sdk.package import load_app
from septum.sdk.private_loss import PrivateLoss
from septum.sdk.table import read_csv


@pytest.fixture
def made(tmp_path):
    """An app that declares its model, its hyper-parameters, and its rows."""
    loaded = load_app(write_private_app(tmp_path / "app"))
    hyper = loaded.app.resolve({})
    table = read_csv(write_rows(tmp_path / "rows.csv"), ("x", "y"), {})
    return loaded, hyper, harness.prepare(loaded.app, hyper, table)


def loop_of(private, **changed):
    settings = {"clip": 1.0, "noise_multiplier": 1.0, "sampling_rate": 0.5, "expected_batch": 30.0}
    return replace(Loop(private, **settings, steps=20, learning_rate=0.5, weight=57), **changed)


def test_train_and_test_rows_leave_the_app_unscaled_and_no_other(made):
    loaded, hyper, prepared = made
    rows = rows_of(loaded.app, hyper, prepared, loaded.manifest.trains)
    assert sorted(rows) == [TEST_X, TEST_Y, X, Y]
    np.testing.assert_array_equal(rows[X], prepared.split.train.x)
    np.testing.assert_array_equal(rows[Y], prepared.split.train.y)
    np.testing.assert_array_equal(rows[TEST_X], prepared.split.test.x)
    np.testing.assert_array_equal(rows[TEST_Y], prepared.split.test.y)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (PrivateLoss("logistic", ("z",), (0.0,), (10.0,)), "its rows have the features x"),
        (PrivateLoss("perceptron", ("x",), (0.0,), (10.0,), (3,)), r"its model has the tensors bias \[1\], weight"),
    ],
)
def test_an_app_whose_code_is_not_what_its_manifest_says_is_refused(made, declared, says):
    loaded, hyper, prepared = made
    with pytest.raises(AppError, match=says):
        rows_of(loaded.app, hyper, prepared, declared)


def test_whether_an_app_is_what_it_declares_does_not_follow_from_a_row(tmp_path):
    """Its predict cuts inputs at the range's ends, so it differs from the declared model on the row at 1000 alone."""
    cut = 'np.clip(scale(data).x, -1, 1) @ p["weight"][0] + p["bias"]'
    loaded = load_app(write_private_app(tmp_path / "app", predict=cut))
    hyper = loaded.app.resolve({})
    rows = write_rows(tmp_path / "rows.csv")
    rows.write_text(rows.read_text().replace("0,0\n", "1000,0\n", 1))
    prepared = harness.prepare(loaded.app, hyper, read_csv(rows, ("x", "y"), {}))
    assert prepared.split.train.x[0, 0] == 1000
    assert rows_of(loaded.app, hyper, prepared, loaded.manifest.trains)[X][0, 0] == 1000


@pytest.mark.parametrize(
    "model", [{"weight": (1, 1)}, {"weight": (1, 1), "bias": (2,)}, {"weight": (1, 2), "bias": (1,)}]
)
def test_a_model_that_is_not_the_declared_one_fails_whether_or_not_a_row_was_drawn(model):
    """Else a coordinator that sends one would learn, without noise, whether a batch was empty."""
    private = PrivateLoss("logistic", ("x",), (0.0,), (10.0,))
    rows = {X: np.ones((1, 1), np.float32), Y: np.ones(1, np.float32)}
    rows |= {TEST_X: rows[X], TEST_Y: rows[Y]}
    never = loop_of(private, sampling_rate=1e-12, steps=1, metrics_noise=1.0)
    station = PrivateStation(never, rows, Part("north", 1), os.urandom)
    sent = {name: np.zeros(shape, np.float32) for name, shape in model.items()}
    for work in (lambda: station.train(Timer(), 1, sent), lambda: station.evaluate(Timer(), sent)):
        with pytest.raises(TensorError, match="the model that came has the tensors"):
            work()


def test_rows_that_are_not_as_declared_are_refused_by_the_loop():
    private = PrivateLoss("logistic", ("x",), (0.0,), (10.0,))
    two_wide = {X: np.zeros((4, 2), np.float32), Y: np.zeros(4, np.float32)}
    with pytest.raises(TensorError, match="1 features each"):
        PrivateStation(loop_of(private), two_wide, Part("north", 1), os.urandom)
    with pytest.raises(TensorError, match=r"train\.x and train\.y are needed"):
        PrivateStation(loop_of(private), {}, Part("north", 1), os.urandom)


def test_the_loop_learns_and_the_app_predicts_with_its_model(made):
    loaded, hyper, prepared = made
    private = loaded.manifest.trains
    rows = rows_of(loaded.app, hyper, prepared, private)
    seeded = np.random.default_rng(3).bytes  # os.urandom outside of tests
    station = PrivateStation(loop_of(private, noise_multiplier=0.5), rows, Part("north", 1), seeded)
    model = private_loss.initial(private, 1)
    for round_ in range(5):
        left = station.train(Timer(), round_ + 1, model).leaving
        model = {name: model[name] + left[f"update.{name}"] for name in model}
    ready = harness.with_statistics(loaded.app, prepared, private_loss.summands(private))
    assert harness.evaluate(loaded.app, ready, model).roc_auc > 0.9


def test_a_perceptron_is_trained_by_the_same_loop():
    private = PrivateLoss("perceptron", ("x",), (-1.0,), (1.0,), (4,))
    x = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
    rows = {X: x, Y: (np.abs(x[:, 0]) > 0.5).astype(np.float32)}  # no straight line tells these apart
    seeded = np.random.default_rng(3).bytes
    loop = loop_of(private, noise_multiplier=0.2, sampling_rate=0.5, expected_batch=100.0, steps=300, learning_rate=2.0)
    station = PrivateStation(loop, rows, Part("north", 1), seeded)
    model = private_loss.initial(private, 1)
    left = station.train(Timer(), 1, model).leaving
    trained = {name: model[name] + left[f"update.{name}"] for name in model}
    right = (private_loss.logits(private, trained, x) > 0) == (rows[Y] > 0.5)
    assert right.mean() > 0.85


def test_an_update_has_the_noise_that_was_asked_for():
    """Of rows that pull nowhere: what is left is noise, learning rate x multiplier x clip / expected batch."""
    private = PrivateLoss("logistic", ("x",), (-1.0,), (1.0,))
    rows = {X: np.zeros((2, 1), np.float32), Y: np.float32([0, 1])}
    loop = loop_of(private, noise_multiplier=50.0, clip=2.0, sampling_rate=1.0, expected_batch=40.0, steps=1)
    station = PrivateStation(loop, rows, Part("north", 1), np.random.default_rng(3).bytes)
    model = private_loss.initial(private, 1)
    drawn = [station.train(Timer(), 1, model).leaving["update.bias"][0] for _ in range(600)]
    assert np.std(drawn) == pytest.approx(0.5 * 50 * 2 / 40, rel=0.12)
