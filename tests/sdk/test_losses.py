"""Are the per-example gradients those of the loss, and each example's its own?"""

from __future__ import annotations

import numpy as np
import pytest

from septum import losses

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3)).astype(np.float32)
Y = np.float32([0, 1, 1, 0, 1])
LINEAR = {"weight": RNG.normal(size=(1, 3)).astype(np.float32), "bias": np.float32([0.3])}
NETWORK = {
    f"layers.{k}.{kind}": RNG.normal(size=shape).astype(np.float32)
    for k, (outputs, inputs) in enumerate([(4, 3), (2, 4), (1, 2)])
    for kind, shape in (("weight", (outputs, inputs)), ("bias", (outputs,)))
}


def softplus(z):
    return np.logaddexp(0, z)


def linear_value(p, x, y):
    return softplus(-(x @ p["weight"][0] + p["bias"]) * (2 * y - 1))


def squared_value(p, x, y):
    return (x @ p["weight"][0] + p["bias"] - y) ** 2 / 2


def network_value(p, x, y):
    hidden = x
    for k in range(2):
        hidden = np.tanh(hidden @ p[f"layers.{k}.weight"].T + p[f"layers.{k}.bias"])
    return softplus(-(hidden @ p["layers.2.weight"][0] + p["layers.2.bias"]) * (2 * y - 1))


CASES = [
    (losses.logistic, linear_value, LINEAR),
    (losses.squared, squared_value, LINEAR),
    (losses.perceptron, network_value, NETWORK),
]


def gradients(loss, p, x, y):
    out = {name: np.full((len(x), *tensor.shape), np.nan, np.float32) for name, tensor in p.items()}
    loss(p, x, y, out)
    return out


@pytest.mark.parametrize(("loss", "value", "p"), CASES)
def test_gradients_are_those_of_small_differences(loss, value, p):
    found = gradients(loss, p, X, Y)
    exact = {name: tensor.astype(np.float64) for name, tensor in p.items()}
    for name, tensor in exact.items():
        for place in np.ndindex(tensor.shape):
            around = []
            for change in (1e-5, -1e-5):
                moved = tensor.copy()
                moved[place] += change
                around.append(value({**exact, name: moved}, X.astype(np.float64), Y.astype(np.float64)))
            slope = (around[0] - around[1]) / 2e-5
            assert found[name][(slice(None), *place)] == pytest.approx(slope, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("loss", "_value", "p"), CASES)
def test_an_examples_gradient_is_the_same_without_the_others(loss, _value, p):
    together = gradients(loss, p, X, Y)
    for i in range(len(X)):
        alone = gradients(loss, p, X[i : i + 1], Y[i : i + 1])
        for name in p:
            assert alone[name][0] == pytest.approx(together[name][i], rel=1e-5, abs=1e-6)


def test_a_layers_gradient_has_the_norm_of_its_input_times_that_of_its_error():
    # Goodfellow 2015: the gradient of a dense layer is an outer product
    found = gradients(losses.perceptron, NETWORK, X, Y)
    norms = np.linalg.norm(found["layers.0.weight"], axis=(1, 2))
    assert norms == pytest.approx(np.linalg.norm(X, axis=1) * np.linalg.norm(found["layers.0.bias"], axis=1), rel=1e-5)
