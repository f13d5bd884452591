"""Gradients of single records from declared layers: those of autograd, of numpy's losses, of nobody else."""

from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from septum import losses  # noqa: E402  after the skip
from septum.errors import MissingExtraError  # noqa: E402
from septum.sdk import network  # noqa: E402
from septum.sdk.layers import (  # noqa: E402
    AvgPool2d,
    Conv2d,
    Flatten,
    Gelu,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool2d,
    Relu,
    Tanh,
    Unflatten,
    check_layers,
    tensors_of,
)

pytestmark = pytest.mark.torch
nn = torch.nn
F = np.float32

DENSE = (Linear(7), Tanh(), LayerNorm(), Linear(6), GroupNorm(3), Gelu(), Linear(1))
IMAGES = (
    Unflatten(2, 6, 6),
    Conv2d(4, 3, 1, 1),
    GroupNorm(2),
    Relu(),
    MaxPool2d(2),
    Conv2d(3, 2, 1),
    LayerNorm(),
    AvgPool2d(2),
    Flatten(),
    Linear(1),
)
# the same as torch writes them
BY_TORCH = {
    DENSE: lambda: nn.Sequential(
        nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 6), nn.GroupNorm(3, 6), nn.GELU(), nn.Linear(6, 1)
    ),
    IMAGES: lambda: nn.Sequential(
        nn.Unflatten(1, (2, 6, 6)),
        nn.Conv2d(2, 4, 3, 1, 1),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 2),
        nn.LayerNorm((3, 2, 2)),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(3, 1),
    ),
}
FEATURES = {DENSE: 5, IMAGES: 72}
each = pytest.mark.parametrize("layers", [DENSE, IMAGES], ids=["dense", "images"])


def drawn(layers, rows, seed=1):
    """Some parameters, also of norms and biases, and records."""
    rng = np.random.default_rng(seed)
    shapes = tensors_of(layers, FEATURES[layers])
    parameters = {name: rng.normal(0, 0.5, shape).astype(F) for name, shape in shapes.items()}
    return parameters, rng.normal(size=(rows, FEATURES[layers])).astype(F), rng.integers(0, 2, rows).astype(F)


def gradients(layers, parameters, x, y):
    out = {name: np.zeros((len(x), *tensor.shape), tensor.dtype) for name, tensor in parameters.items()}
    network.gradients(layers)(parameters, x, y, out)
    return out


@each
def test_each_gradient_is_that_of_autograd_for_the_record_alone(layers):
    check_layers(layers, FEATURES[layers])
    parameters, x, y = drawn(layers, 9)
    # in double, so that rounding hides no wrong gradient
    parameters, x, y = {name: tensor.astype("d") for name, tensor in parameters.items()}, x.astype("d"), y.astype("d")
    found = gradients(layers, parameters, x, y)
    module = BY_TORCH[layers]().double()
    module.load_state_dict({name: torch.tensor(tensor) for name, tensor in parameters.items()})
    for row in range(9):
        module.zero_grad()
        logit = module(torch.tensor(x[row : row + 1]))[:, 0]
        nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor(y[row : row + 1])).backward()
        for name, tensor in module.named_parameters():
            np.testing.assert_allclose(found[name][row], tensor.grad.numpy(), rtol=1e-9, atol=1e-12)
            assert np.abs(found[name][row]).max() > 0


@each
def test_the_logits_are_those_of_the_module(layers):
    parameters, x, _ = drawn(layers, 4)
    module = BY_TORCH[layers]()
    module.load_state_dict({name: torch.tensor(tensor) for name, tensor in parameters.items()})
    with torch.no_grad():
        expected = module(torch.tensor(x))[:, 0].numpy()
    np.testing.assert_allclose(network.logits(layers, parameters, x), expected, rtol=1e-5, atol=1e-6)


@each
@pytest.mark.parametrize("slots", [1, 5, 32])
def test_what_stands_in_other_slots_changes_no_bit(layers, slots):
    parameters, x, y = drawn(layers, slots)
    before = gradients(layers, parameters, x, y)
    for slot in range(0, slots, 3):
        others = np.arange(slots) != slot
        for change in (0.0, np.nan, np.inf, 1e30, "drawn"):
            changed, labels = x.copy(), y.copy()
            changed[others] = drawn(layers, slots, 2)[1][others] if change == "drawn" else change
            labels[others] = 1 - labels[others]
            after = gradients(layers, parameters, changed, labels)
            assert all(after[name][slot].tobytes() == before[name][slot].tobytes() for name in before), (slot, change)


def test_the_logistic_loss_and_the_perceptron_of_numpy_give_the_same():
    rng = np.random.default_rng(3)  # in double, as above
    x, y = rng.normal(size=(20, 6)) * 4, rng.integers(0, 2, 20).astype("d")
    weight, bias = rng.normal(size=(1, 6)), rng.normal(size=1)
    ours = gradients((Linear(1),), {"0.weight": weight, "0.bias": bias}, x, y)
    out = {"weight": np.zeros((20, 1, 6)), "bias": np.zeros((20, 1))}
    losses.logistic({"weight": weight, "bias": bias}, x, y, out)
    for name in out:
        np.testing.assert_allclose(ours[f"0.{name}"], out[name], rtol=1e-9, atol=1e-12)

    p = {"layers.0.weight": rng.normal(size=(4, 6)), "layers.0.bias": rng.normal(size=4)}
    p |= {"layers.1.weight": rng.normal(size=(1, 4)), "layers.1.bias": rng.normal(size=1)}
    out = {name: np.zeros((20, *tensor.shape)) for name, tensor in p.items()}
    losses.perceptron(p, x, y, out)
    places = {"layers.0": "0", "layers.1": "2"}
    renamed = {name: f"{places[name[:8]]}{name[8:]}" for name in p}
    ours = gradients((Linear(4), Tanh(), Linear(1)), {renamed[name]: tensor for name, tensor in p.items()}, x, y)
    for name in out:
        np.testing.assert_allclose(ours[renamed[name]], out[name], rtol=1e-9, atol=1e-12)


def test_no_logit_is_too_large():
    p = {"0.weight": np.full((1, 1), 1e6, F), "0.bias": np.zeros(1, F)}
    found = gradients((Linear(1),), p, F([[1], [-1], [1], [-1]]), F([1, 1, 0, 0]))
    assert found["0.bias"][:, 0].tolist() == [0.0, -1.0, 1.0, 0.0]


@each
def test_the_initial_network_is_that_of_the_seed_and_its_norms_change_nothing(layers):
    one, same, other = (network.initial(layers, FEATURES[layers], np.random.default_rng(s)) for s in (1, 1, 2))
    assert {name: tensor.shape for name, tensor in one.items()} == tensors_of(layers, FEATURES[layers])
    assert all(one[name].tobytes() == same[name].tobytes() for name in one)
    at = len(layers) - 1
    assert one[f"{at}.weight"].tobytes() != other[f"{at}.weight"].tobytes()
    assert not any(tensor.any() for name, tensor in one.items() if name.endswith("bias"))
    norms = [f"{at}.weight" for at, layer in enumerate(layers) if isinstance(layer, GroupNorm | LayerNorm)]
    assert all((one[name] == 1).all() for name in norms)


def test_one_thread_computes():
    torch.set_num_threads(2)
    network.gradients((Linear(1),))
    assert torch.get_num_threads() == 1


def test_without_torch_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for call in (
        lambda: network.gradients((Linear(1),)),
        lambda: network.logits((Linear(1),), {}, np.zeros((1, 1), F)),
    ):
        with pytest.raises(MissingExtraError, match="trained by torch, which is not installed") as caught:
            call()
        assert caught.value.hint == "pip install 'septum[torch]'"
    assert network.initial((Linear(1),), 1, np.random.default_rng(1))["0.bias"].tolist() == [0.0]
