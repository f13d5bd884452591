"""How does a model become an ONNX file? From what its app declares: a network, perceptron or logistic loss as data.

No code of the app is traced: the graph is built from `[privacy]` of its septum.toml (docs/decisions/0018) and from the
model's own tensors, then onnxruntime and the app's own predict are compared on random rows. An app whose predict is
another function than it declares, or that declares none, is refused.

The graph takes `x`, float32 (rows, features), in the order that its metadata names, as the app's data function makes
them: the scaling by the federation's statistics is in it. It gives `logit` and `probability`, (rows,).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from septum.adapters.export.extra import imported
from septum.errors import AppError
from septum.sdk import harness, stats
from septum.sdk.app import App
from septum.sdk.data import Array, Data, Float32, Float64, Parameters
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
from septum.sdk.private_loss import STATISTIC, PrivateLoss

OPSET = 21  # GroupNormalization as torch has it
IR_VERSION = 10  # of ONNX files that runtimes since 2024 read
EPSILON = 1e-5  # torch's, of its norms
TRIED_ROWS = 64
CLOSE = 1e-4  # of logits about 1, in float32 in another order


@dataclass(frozen=True, slots=True)
class Exported:
    """An ONNX file's bytes. `difference`: of its logits from the app's at most, on the rows that were tried."""

    data: bytes
    difference: float


def export(
    app: App,
    declared: PrivateLoss | None,
    parameters: Parameters,
    sums: Mapping[str, Float64],
    about: Mapping[str, str],
) -> Exported:
    """The model as an ONNX file, compared with the app's own predict. `about`: what its metadata say besides.

    Raises AppError for an app that cannot be exported, MissingExtraError.
    """
    loss = _fit(app, declared)
    graph = _Graph(parameters)
    data = graph.file(loss, _scaling(app, sums), about)
    x = _rows(loss)
    found, wanted = run(data, x), _wanted(app, loss, parameters, sums, x)
    difference = float(np.abs(found - wanted).max())
    if not np.allclose(found, wanted, rtol=CLOSE, atol=CLOSE):
        raise AppError(
            f"app {app.name!r}: its predict and the model that its septum.toml declares differ by {difference:.3g} in "
            "their logits, so no ONNX file is written",
            hint="its author makes [privacy] and predict say the same; --format safetensors and mlflow need neither",
        )
    return Exported(data, difference)


def run(data: bytes, x: Float32) -> Float64:
    """The logits of an ONNX file, by onnxruntime, (rows,). Raises MissingExtraError."""
    runtime = _extra("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    found: Float64 = np.asarray(session.run(["logit"], {"x": x})[0], np.float64)
    return found


def _fit(app: App, declared: PrivateLoss | None) -> PrivateLoss:
    if declared is None or declared.by_app:
        raise AppError(
            f"app {app.name!r} does not declare its model as data, so it cannot be exported to ONNX",
            hint="[privacy] with loss and layers in its septum.toml does; or --format safetensors, or mlflow",
        )
    names = [handle.name for handle in app.statistic_handles]
    if names not in ([], [STATISTIC]):
        raise AppError(
            f"app {app.name!r} has the statistics {', '.join(names)}; ONNX files are made with {STATISTIC} or none"
        )
    return declared


def _scaling(app: App, sums: Mapping[str, Float64]) -> Mapping[str, Float64] | None:
    if not app.statistic_handles:
        return None
    fields = {name.partition(".")[2]: value for name, value in sums.items()}
    return stats.mean_and_std().result(fields)


def _rows(loss: PrivateLoss) -> Float32:
    """Rows between the ends of the declared ranges, and some beyond: no record has a part in this."""
    low, high = np.array(loss.low), np.array(loss.high)
    generator = np.random.default_rng(0)
    x: Float32 = generator.uniform(low - (high - low), high + (high - low), (TRIED_ROWS, len(low))).astype(np.float32)
    return x


def _wanted(app: App, loss: PrivateLoss, parameters: Parameters, sums: Mapping[str, Float64], x: Float32) -> Array:
    data = Data(x, np.zeros(len(x), np.float32), loss.features, harness.results(app, sums))
    return harness.predict(app, data, parameters)


@dataclass(slots=True)
class _Graph:
    """A graph under construction. `at`: the newest value."""

    parameters: Parameters
    nodes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)
    at: str = "x"

    def file(self, loss: PrivateLoss, scaling: Mapping[str, Float64] | None, about: Mapping[str, str]) -> bytes:
        """The whole file, checked by ONNX's own checker."""
        onnx = _extra("onnx")
        helper, floats = importlib.import_module("onnx.helper"), onnx.TensorProto.FLOAT
        if scaling is not None:
            self._scale(scaling)
        self._model(loss)
        self._add("Reshape", self._constant("flat", np.array([-1], np.int64)), named="logit")
        self._add("Sigmoid", named="probability")
        graph = helper.make_graph(
            self.nodes,
            "septum",
            [helper.make_tensor_value_info("x", floats, ["rows", len(loss.features)])],
            [helper.make_tensor_value_info(name, floats, ["rows"]) for name in ("logit", "probability")],
            self.tensors,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="septum")
        made.ir_version = IR_VERSION
        helper.set_model_props(made, {**about, "features": "\n".join(loss.features)})
        onnx.checker.check_model(made, full_check=True)
        return bytes(made.SerializeToString(deterministic=True))

    def _scale(self, scaling: Mapping[str, Float64]) -> None:
        """In float64, as `stats.mean_and_std` does."""
        types = _extra("onnx").TensorProto
        self._add("Cast", to=types.DOUBLE)
        self._add("Sub", self._constant("mean", scaling["mean"]))
        self._add("Div", self._constant("std", scaling["std"]))
        self._add("Cast", to=types.FLOAT)

    def _model(self, loss: PrivateLoss) -> None:
        if loss.layers:
            for number, layer in enumerate(loss.layers):
                self._layer(str(number), layer)
        elif loss.loss == "logistic":
            self._linear("")
        else:
            for number in range(len(loss.hidden)):
                self._linear(f"layers.{number}.")
                self._add("Tanh")
            self._linear(f"layers.{len(loss.hidden)}.")

    def _layer(self, number: str, layer: Layer) -> None:
        own = [f"{number}.weight", f"{number}.bias"]
        match layer:
            case Linear():
                self._linear(f"{number}.")
            case Unflatten(channels, height, width):
                shape = np.array([-1, channels, height, width], np.int64)
                self._add("Reshape", self._constant(f"{number}.shape", shape))
            case Conv2d(_, kernel, stride, padding):
                sides, steps, edges = [kernel] * 2, [stride] * 2, [padding] * 4
                self._add("Conv", *map(self._parameter, own), kernel_shape=sides, strides=steps, pads=edges)
            case MaxPool2d(size):
                self._add("MaxPool", kernel_shape=[size] * 2, strides=[size] * 2)
            case AvgPool2d(size):
                self._add("AveragePool", kernel_shape=[size] * 2, strides=[size] * 2)
            case GroupNorm(groups):
                self._add("GroupNormalization", *map(self._parameter, own), num_groups=groups, epsilon=EPSILON)
            case LayerNorm():
                self._add("LayerNormalization", *map(self._parameter, own), axis=1, epsilon=EPSILON)
            case Flatten():
                self._add("Flatten", axis=1)
            case Relu():
                self._add("Relu")
            case Tanh():
                self._add("Tanh")
            case Gelu():
                self._add("Gelu")

    def _linear(self, prefix: str) -> None:
        self._add("Gemm", self._parameter(f"{prefix}weight"), self._parameter(f"{prefix}bias"), transB=1)

    def _parameter(self, name: str) -> str:
        if name not in self.parameters:
            raise AppError(
                f"the model has no tensor {name!r}, which its app's septum.toml declares; it has "
                f"{', '.join(self.parameters)}"
            )
        return self._constant(name, np.asarray(self.parameters[name], np.float32))

    def _constant(self, name: str, value: Float32 | Float64 | np.ndarray[Any, np.dtype[np.int64]]) -> str:
        numpy_helper = importlib.import_module("onnx.numpy_helper")
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _add(self, kind: str, *inputs: str, named: str = "", **attributes: object) -> None:
        helper = importlib.import_module("onnx.helper")
        made = named or f"value.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.at, *inputs], [made], **attributes))
        self.at = made


def _extra(name: str) -> Any:  # noqa: ANN401  a library without types
    return imported(name, "ONNX files", "onnx")
