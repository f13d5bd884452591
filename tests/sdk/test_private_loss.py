"""What a manifest may declare for runs with differential privacy, and the model that follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from septum.errors import ConfigError
from septum.sdk.layers import Linear, Tanh
from septum.sdk.private_loss import PrivateLoss, initial, logits, read_private_loss, scaled, summands
from septum.sdk.stats import mean_and_std

NETWORK = {
    "loss": "network",
    "layers": [{"kind": "linear", "outputs": 3}, {"kind": "tanh"}, {"kind": "linear", "outputs": 1}],
    "ranges": {"b": [0, 1], "a": [40, 70]},
}
GOOD = {"loss": "logistic", "ranges": {"b": [0, 1], "a": [40, 70]}}


def test_features_stay_in_the_order_of_the_file():
    assert read_private_loss("f", GOOD) == PrivateLoss("logistic", ("b", "a"), (0.0, 40.0), (1.0, 70.0))


def test_without_the_section_an_app_declares_nothing():
    assert read_private_loss("f", {}) is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"loss": "logistics"}, "loss is 'logistics'; did you mean 'logistic'"),
        ({"ranges": {}}, "names no feature"),
        ({"ranges": {"a": [1]}}, "ranges is"),
        ({"ranges": {"a": [True, 2]}}, "ranges is"),
        ({"ranges": {"a": [2, 2]}}, "the range of 'a' is 2 to 2"),
        ({"ranges": {"a": [float("nan"), 2]}}, "the range of 'a'"),
        ({"hidden": [4]}, "belongs to a perceptron"),
        ({"loss": "perceptron"}, "belongs to a perceptron"),
        ({"loss": "perceptron", "hidden": [0]}, "layers of 1 to 4096"),
        ({"loss": "perceptron", "hidden": ["4"]}, "hidden is"),
        ({"lose": 1}, "lose"),
        ({"loss": "network"}, r"f, \[privacy\]: 0 layers for loss 'network'"),
        ({"layers": NETWORK["layers"]}, "3 layers for loss 'logistic'; they belong to a network"),
        ({**NETWORK, "hidden": [4]}, "belongs to a perceptron"),
        ({**NETWORK, "layers": {"kind": "linear"}}, r"f, \[privacy\]: layers is no list of tables"),
        ({**NETWORK, "layers": [{"kind": "batch_norm1d"}]}, r"\[privacy\]: layers\[0\]: batch_norm1d cannot be"),
        ({**NETWORK, "layers": NETWORK["layers"][:2]}, r"\[privacy\]: layers gives a record the shape \[3\]"),
        (
            {**NETWORK, "ranges": {"a": [0, 1]}, "layers": [{"kind": "unflatten"}]},
            r"\(unflatten\): channels is missing",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(changed, says):
    with pytest.raises(ConfigError, match=says):
        read_private_loss("f", {**GOOD, **changed})


def test_the_statistics_of_no_row_scale_a_range_to_one_on_both_sides():
    private = PrivateLoss("logistic", ("a", "b"), (0.0, 40.0), (10.0, 70.0))
    sums = {name.partition(".")[2]: value for name, value in summands(private).items()}
    result = mean_and_std().result(sums)
    assert result["mean"].tolist() == [5.0, 55.0]
    assert result["std"] == pytest.approx([5.0, 15.0])
    assert scaled(private, np.float32([[0, 70], [5, 55]])).tolist() == [[-1.0, 1.0], [0.0, 0.0]]


def test_a_perceptron_begins_by_the_seed_and_gives_one_logit_a_row():
    private = PrivateLoss("perceptron", ("a", "b"), (0.0, 0.0), (1.0, 1.0), (3,))
    one, same, other = (initial(private, seed) for seed in (1, 1, 2))
    assert {name: tensor.shape for name, tensor in one.items()} == {
        "layers.0.weight": (3, 2),
        "layers.0.bias": (3,),
        "layers.1.weight": (1, 3),
        "layers.1.bias": (1,),
    }
    assert one["layers.0.weight"].tolist() == same["layers.0.weight"].tolist() != other["layers.0.weight"].tolist()
    assert logits(private, one, np.zeros((5, 2), np.float32)).shape == (5,)


def test_a_network_is_read_as_it_is_listed_and_begins_by_the_seed():
    private = read_private_loss("f", NETWORK)
    assert private == PrivateLoss("network", ("b", "a"), (0, 40), (1, 70), layers=(Linear(3), Tanh(), Linear(1)))
    assert (private.by_torch, private.slots) == (True, 128)
    one, same, other = (initial(private, seed) for seed in (1, 1, 2))
    assert {name: tensor.shape for name, tensor in one.items()} == {
        "0.weight": (3, 2),
        "0.bias": (3,),
        "2.weight": (1, 3),
        "2.bias": (1,),
    }
    assert one["0.weight"].tolist() == same["0.weight"].tolist() != other["0.weight"].tolist()


def test_losses_of_numpy_take_one_record_at_a_time_and_need_no_torch():
    private = read_private_loss("f", GOOD)
    assert (private.by_torch, private.slots) == (False, 1)
