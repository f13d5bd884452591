"""A model in ONNX gives what its app predicts, whatever kinds of layers it declares; else there is no file."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest

from septum import App, stats
from septum.adapters.export import onnx_file
from septum.errors import AppError
from septum.sdk import private_loss
from septum.sdk.layers import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Gelu,
    GroupNorm,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2d,
    Relu,
    Tanh,
    Unflatten,
)
from septum.sdk.package import load_app
from septum.sdk.private_loss import PrivateLoss

HEART = Path(__file__).parents[3] / "examples" / "heart_disease"
NAMES = tuple(f"f{n}" for n in range(16))
IMAGE = (
    Unflatten(1, 4, 4),
    Conv2d(4, kernel=3, padding=1),
    GroupNorm(2),
    Relu(),
    MaxPool2d(2),
    Conv2d(2, kernel=2, stride=2),
    Gelu(),
    AvgPool2d(1),
    Flatten(),
    LayerNorm(),
    Linear(3),
    Tanh(),
    Linear(1),
)
LOSSES = {
    "logistic": PrivateLoss("logistic", NAMES, (0.0,) * 16, (2.0,) * 16),
    "perceptron": PrivateLoss("perceptron", NAMES, (0.0,) * 16, (2.0,) * 16, hidden=(8, 4)),
    "network": PrivateLoss("network", NAMES, (0.0,) * 16, (2.0,) * 16, layers=IMAGE),
}


def app_of(loss, *, scaled=True):
    """An app whose predict is what it declares."""
    app = App("declared")
    scale = app.statistics(stats.mean_and_std()) if scaled else lambda data: data

    @app.predict
    def predict(p, data):
        return private_loss.logits(loss, p, scale(data).x)

    return app


def model_of(loss):
    generator = np.random.default_rng(3)
    made = private_loss.initial(loss, seed=1)
    return {name: generator.normal(0, 0.5, tensor.shape).astype(np.float32) for name, tensor in made.items()}


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("kind", LOSSES)
def test_every_declared_model_gives_the_same_logits_in_onnx(kind, scaled):
    loss = LOSSES[kind]
    sums = private_loss.summands(loss) if scaled else {}
    made = onnx_file.export(app_of(loss, scaled=scaled), loss, model_of(loss), sums, {"run": "r-1"})
    assert made.difference < onnx_file.CLOSE
    x = np.random.default_rng(9).uniform(-1, 3, (7, 16)).astype(np.float32)
    inner = private_loss.scaled(loss, x) if scaled else x
    expected = private_loss.logits(loss, model_of(loss), inner)
    assert np.allclose(onnx_file.run(made.data, x), expected, rtol=1e-4, atol=1e-4)
    read = onnx.load_from_string(made.data)
    found = {prop.key: prop.value for prop in read.metadata_props}
    assert (found["run"], found["features"].split("\n")) == ("r-1", list(NAMES))
    assert [one.name for one in read.graph.output] == ["logit", "probability"]


def test_the_network_has_every_kind_of_layer():
    assert {type(layer) for layer in IMAGE} == set(get_args(Layer))


@pytest.mark.parametrize("example", ["heart_disease", "heart_disease_network"])
def test_the_examples_are_exported(example):
    loaded = load_app(Path(__file__).parents[3] / "examples" / example)
    loss = loaded.manifest.trains
    made = onnx_file.export(loaded.app, loss, model_of(loss), private_loss.summands(loss), {})
    assert made.difference < onnx_file.CLOSE


def test_an_app_that_predicts_otherwise_than_it_declares_is_not_exported():
    loss, app = LOSSES["logistic"], App("other")

    @app.predict
    def predict(p, data):
        return data.x @ p["weight"][0] + p["bias"] + 1

    with pytest.raises(AppError, match="differ by 1"):
        onnx_file.export(app, loss, model_of(loss), {}, {})


@pytest.mark.parametrize("declared", [None, PrivateLoss("own", NAMES, (0.0,) * 16, (2.0,) * 16)])
def test_an_app_that_declares_no_model_is_refused_with_another_way(declared):
    with pytest.raises(AppError, match="does not declare") as refused:
        onnx_file.export(app_of(LOSSES["logistic"]), declared, {}, {}, {})
    assert "safetensors" in refused.value.hint


def test_a_model_of_other_tensors_is_refused():
    loss = LOSSES["logistic"]
    with pytest.raises(AppError, match="has no tensor 'weight'"):
        onnx_file.export(app_of(loss, scaled=False), loss, {"v": np.ones(1, np.float32)}, {}, {})
