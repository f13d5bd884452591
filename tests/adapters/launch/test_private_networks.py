"""Networks of declared layers in septum's own training: the app's rows in, a trained network out."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.silo.private_app import LAYERS, write_network_app, write_rows

pytest.importorskip("torch")

from septum.adapters.launch.frames import TO_WORKER, Start, ToWorker, receive, send
from septum.adapters.launch.private_rows import X, Y, rows_of
from septum.adapters.launch.private_station import PrivateStation
from septum.adapters.launch.station import Part, Timer
from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.errors import AppError, MessageError, MissingExtraError
from septum.ports.launcher import Loop, Task, WorkerLimits, WorkerSpec
from septum.protocol import tensors
from septum.protocol.codec import from_json, to_json
from septum.protocol.messages import Stage
from septum.protocol.plan import StrategyRef
from septum.sdk import harness, private_loss
from septum.sdk.layers import AvgPool2d, Conv2d, Flatten, Gelu, GroupNorm, Linear, Unflatten
from septum.sdk.package import load_app
from septum.sdk.private_loss import PrivateLoss
from septum.sdk.table import read_csv

pytestmark = pytest.mark.torch
PIXELS = tuple(f"p{at}" for at in range(36))
IMAGES = PrivateLoss(
    "network",
    PIXELS,
    (-1.0,) * 36,
    (1.0,) * 36,
    layers=(
        Unflatten(1, 6, 6),
        Conv2d(4, 3, padding=1),
        GroupNorm(2),
        Gelu(),
        AvgPool2d(3),
        Flatten(),
        Linear(1),
    ),
)
LOOP = Loop(IMAGES, 1.0, 0.3, 0.5, 100.0, steps=40, learning_rate=1.0, weight=200)


def stripes():
    """Images with stripes across are 1, those with stripes down 0: no pixel by itself tells."""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 200)
    across = np.where(np.arange(6)[:, None] % 2 + 0 * np.arange(6), 1.0, -1.0)
    flip = rng.choice([-1, 1], (200, 1, 1))
    images = np.where(y[:, None, None], across, across.T) * flip + rng.normal(0, 0.3, (200, 6, 6))
    return {X: images.reshape(200, 36).astype(np.float32), Y: y.astype(np.float32)}


def test_a_convolutional_network_is_trained_by_the_same_loop():
    rows = stripes()
    seeded = np.random.default_rng(3).bytes  # os.urandom outside of tests
    station = PrivateStation(LOOP, rows, Part("north", 1), seeded)
    model = private_loss.initial(IMAGES, 1)
    left = station.train(Timer(), 1, model).leaving
    trained = {name: model[name] + left[f"update.{name}"] for name in model}
    right = (private_loss.logits(IMAGES, trained, rows[X]) > 0) == (rows[Y] > 0.5)
    assert right.mean() > 0.9


def made(folder, layers=LAYERS):
    loaded = load_app(write_network_app(folder / "app", layers))
    hyper = loaded.app.resolve({})
    return loaded, hyper, harness.prepare(loaded.app, hyper, read_csv(write_rows(folder / "rows.csv"), ("x", "y"), {}))


def test_an_app_with_the_declared_network_hands_its_rows_over(tmp_path):
    loaded, hyper, prepared = made(tmp_path)
    rows = rows_of(loaded.app, hyper, prepared, loaded.manifest.trains)
    np.testing.assert_array_equal(rows[X], prepared.split.train.x)


@pytest.mark.parametrize(
    ("written", "instead", "says"),
    [
        ("relu", "tanh", "its predict gives other numbers than the model that it declares"),
        ("outputs = 4", "outputs = 5", r"its model has the tensors .*0\.weight \[4, 1\]"),
    ],
)
def test_an_app_whose_network_is_another_is_refused(tmp_path, written, instead, says):
    loaded, hyper, prepared = made(tmp_path, LAYERS.replace(written, instead))
    with pytest.raises(AppError, match=says):
        rows_of(loaded.app, hyper, prepared, loaded.manifest.trains)


def spec_of(folder, rows):
    data = folder / "rows"
    data.write_bytes(tensors.encode(rows))
    return WorkerSpec(
        run="r1",
        silo="north",
        app_dir=folder,
        app_digest="",
        data_path=data,
        hyper={},
        seed=1,
        strategy=StrategyRef(),
        run_dir=folder,
        loop=replace(LOOP, steps=2),
    )


def test_a_network_passes_between_agent_and_worker_as_it_was(tmp_path):
    start = Start.of(spec_of(tmp_path, stripes()), WorkerLimits())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours, start)
        assert receive(theirs, ToWorker, TO_WORKER) == start


@pytest.mark.parametrize(
    "changed",
    [{"kind": "batch_norm"}, {"kind": "linear", "outputs": -1}, {"kind": "relu", "x": 1}, {"kind": "linear"}, "linear"],
)
def test_a_layer_that_is_none_is_refused_where_a_frame_is_read(changed):
    body = to_json(LOOP)
    body["private"]["layers"][-1] = changed
    with pytest.raises(MessageError, match=r"layers|relu: unknown field|linear: the field"):
        from_json(Loop, body)


def test_in_a_silo_without_torch_the_loop_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    station = PrivateStation(LOOP, stripes(), Part("north", 1), os.urandom)
    with pytest.raises(MissingExtraError) as caught:
        station.train(Timer(), 1, private_loss.initial(IMAGES, 1))
    assert caught.value.hint == "pip install 'septum[torch]'"


@pytest.mark.processes
def test_a_process_without_an_app_trains_a_network(tmp_path):
    """In the folder of the rows alone: nothing of an app is there to be imported."""
    worker = SubprocessLauncher().start(spec_of(tmp_path, stripes()), WorkerLimits())
    try:
        model = private_loss.initial(IMAGES, 1)
        task = Task(Stage.TRAIN, 1, tensors.encode(model), initial=False, state=None, carry=tmp_path / "carry")
        left = tensors.decode(worker.perform(task, tmp_path / "out").payload)
    finally:
        worker.close()
    assert all(np.abs(left[f"update.{name}"]).max() > 0 for name in model)
    assert all(np.isfinite(left[f"update.{name}"]).all() for name in model)
