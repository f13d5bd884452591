"""Networks as data: what is read, the shapes that follow, and what is refused with the layer's number."""

from __future__ import annotations

from typing import get_args

import pytest

from septum.errors import ConfigError
from septum.protocol.codec import kind_of
from septum.sdk.layers import (
    KINDS,
    MAX_LAYERS,
    Conv2d,
    Flatten,
    GroupNorm,
    Layer,
    Linear,
    MaxPool2d,
    Relu,
    Tanh,
    Unflatten,
    check_layers,
    output_shape,
    read_layers,
    slots_of,
    tensors_of,
)

LAST = {"kind": "linear", "outputs": 1}
IMAGE = {"kind": "unflatten", "channels": 1, "height": 4, "width": 4}
CONVOLUTION = (Unflatten(1, 8, 8), Conv2d(4, 3, padding=1), GroupNorm(2), Relu(), MaxPool2d(2), Flatten(), Linear(1))


def refused(features: int, *layers: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        check_layers(read_layers("layers", list(layers)), features)
    return caught.value


def test_a_list_of_tables_is_the_network_in_its_order():
    found = read_layers("layers", [{"kind": "linear", "outputs": 3}, {"kind": "tanh"}, LAST])
    assert found == (Linear(3), Tanh(), Linear(1))
    assert read_layers("layers", [{"kind": "conv2d", "channels": 2, "kernel": 3}]) == (
        Conv2d(2, 3, stride=1, padding=0),
    )


def test_the_shapes_by_hand():
    shape = (64,)
    seen = [shape := output_shape(layer, shape) for layer in CONVOLUTION]
    assert seen == [(1, 8, 8), (4, 8, 8), (4, 8, 8), (4, 8, 8), (4, 4, 4), (64,), (1,)]
    assert tensors_of(CONVOLUTION, 64) == {
        "1.weight": (4, 1, 3, 3),
        "1.bias": (4,),
        "2.weight": (4,),
        "2.bias": (4,),
        "6.weight": (1, 64),
        "6.bias": (1,),
    }
    check_layers(CONVOLUTION, 64)


def test_every_kind_has_the_name_that_it_has_on_the_wire():
    assert {kind_of(kind): kind for kind in get_args(Layer)} == KINDS


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("linear", "layers is no list of tables"),
        ([["linear", 1]], "layers is no list of tables"),
        ([{"outputs": 1}], r"layers\[0\]: kind is None"),
        ([{"kind": ["linear"]}], r"layers\[0\]: kind is \['linear'\]"),
        ([LAST, {"kind": "lineal", "outputs": 1}], r"layers\[1\]: kind is 'lineal'; did you mean 'linear'"),
        ([{"kind": "batch_norm2d"}], r"layers\[0\]: batch_norm2d cannot be: it mixes the records of a batch"),
        ([{"kind": "dropout"}], r"layers\[0\]: kind is 'dropout'; known: "),
        ([{"kind": "linear"}], r"layers\[0\] \(linear\): outputs is missing"),
        ([{**LAST, "output": 1}], r"layers\[0\] \(linear\): unknown key 'output'; did you mean 'outputs'"),
        ([{"kind": "tanh", "__class__": 1}], r"layers\[0\] \(tanh\): unknown key '__class__'"),
        ([{"kind": "linear", "outputs": True}], r"outputs is True; a whole number from 1"),
        ([{"kind": "linear", "outputs": 1.0}], r"outputs is 1\.0"),
        ([{"kind": "linear", "outputs": "1"}], r"outputs is '1'"),
        ([{"kind": "linear", "outputs": 0}], r"outputs is 0"),
        ([{"kind": "linear", "outputs": 10**30}], r"outputs is 1000"),
        ([{"kind": "conv2d", "channels": 1, "kernel": 1, "stride": 0}], r"stride is 0"),
        ([{"kind": "conv2d", "channels": 1, "kernel": 1, "padding": -1}], r"padding is -1; a whole number from 0"),
        ([LAST] * (MAX_LAYERS + 1), "layers has 65 layers, at most 64"),
    ],
)
def test_what_is_no_layer_is_refused_with_its_place(value, says):
    with pytest.raises(ConfigError, match=says):
        read_layers("layers", value)


@pytest.mark.parametrize(
    ("features", "layers", "says"),
    [
        (4, [{"kind": "linear", "outputs": 2}], r"gives a record the shape \[2\], and one number"),
        (1, [{"kind": "tanh"}], r"gives a record the shape \[1\], and one number"),
        (16, [IMAGE, LAST], r"layers\[1\] \(linear\): a flat record is needed, \[1, 4, 4\] comes to it"),
        (15, [IMAGE], r"layers\[0\] \(unflatten\): 1 x 4 x 4 is not the \[15\]"),
        (4, [{"kind": "conv2d", "channels": 1, "kernel": 1}], r"layers\[0\] \(conv2d\): an image is needed, \[4\]"),
        (16, [IMAGE, {"kind": "conv2d", "channels": 1, "kernel": 5}], r"layers\[1\] \(conv2d\): a window of 5 over 4"),
        (16, [IMAGE, {"kind": "avg_pool2d", "size": 5}], r"layers\[1\] \(avg_pool2d\): a window of 5 over 4"),
        (6, [{"kind": "group_norm", "groups": 4}], r"layers\[0\] \(group_norm\): 4 groups of 6 channels"),
        (6, [{"kind": "group_norm", "groups": 6}], r"6 groups of 6 channels, or of one number each"),
        (4000, [{"kind": "linear", "outputs": 5000}], r"layers\[0\] \(linear\): .* more than 16777216 parameters"),
        (
            16,
            [IMAGE, {"kind": "conv2d", "channels": 9, "kernel": 1, "padding": 60_000}],
            r"layers\[1\] \(conv2d\): a record becomes more than 16777216 numbers",
        ),
    ],
)
def test_what_is_no_network_is_refused_with_the_layer(features, layers, says):
    with pytest.raises(ConfigError, match=says):
        check_layers(read_layers("layers", layers), features)


def test_what_a_kind_needs_before_it_is_said_as_it_is_written():
    assert "flatten" in refused(16, IMAGE, LAST).hint
    assert "unflatten" in refused(4, {"kind": "max_pool2d", "size": 2}).hint


@pytest.mark.parametrize(
    ("layers", "features"),
    [((Linear(4096), Tanh(), Linear(1)), 4000), (CONVOLUTION, 64), ((Linear(1),), 3), ((Linear(700), Linear(1)), 300)],
)
def test_what_passes_at_once_stays_within_64_mib_or_is_one_record(layers, features):
    slots = slots_of(layers, features)
    widest = sum(size for _, size in _sizes(layers, features))
    assert 1 <= slots <= 128
    assert slots == 1 or slots * widest * 4 * 4 <= 2**26


def _sizes(layers, features):
    """Each tensor and each layer's input, counted by hand."""
    shape = (features,)
    for at, layer in enumerate(layers):
        total = 1
        for side in shape:
            total *= side
        yield at, total
        shape = output_shape(layer, shape)
    for name, tensor in tensors_of(layers, features).items():
        total = 1
        for side in tensor:
            total *= side
        yield name, total
