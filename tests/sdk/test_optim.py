"""Local training: numbers worked out by hand, batches, weight decay, the proximal term."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum import Context, Data, Parameters, losses, optim
from septum.errors import AppError
from septum.sdk import harness

ONE_ROW = Data.of({"a": [0.0]}, [0.0])


def context(base: Parameters, mu: float = 0.0) -> Context:
    return Context(harness.rng(1, "a", 1), 1, "a", base=base, proximal_mu=mu)


def slopes(*gradients: float) -> losses.Loss:
    """A loss whose gradient in every coordinate is the next of `gradients` at each step."""
    remaining = list(gradients)

    def loss(p: Parameters, x: np.ndarray, y: np.ndarray, out: Mapping[str, np.ndarray]) -> None:
        slope = remaining.pop(0)
        for tensor in out.values():
            tensor[...] = slope

    return loss


def at(value: float) -> dict[str, np.ndarray]:
    return {"w": np.array([value], np.float32)}


def test_two_adam_steps_by_hand() -> None:
    # g = 1:    m = .1, v = .001, corrected 1 and 1                        -> step .1
    # g = -.5:  m = .09 - .05 = .04, v = .000999 + .00025 = .001249
    #           corrected .04 / .19 = .2105263, .001249 / .001999 = .6248124 -> step .1 * .2105263 / .7904508 = .0266337
    steps = optim.Steps(epochs=2, batch_size=1, lr=0.1)
    found = optim.adam(at(0.0), slopes(1.0, -0.5), ONE_ROW, context(at(0.0)), steps)
    assert found["w"][0] == pytest.approx(-0.1266337, abs=1e-6)


def test_one_sgd_step_by_hand_with_weight_decay() -> None:
    steps = optim.Steps(batch_size=1, lr=0.5, weight_decay=0.1)
    found = optim.sgd(at(2.0), slopes(1.0), ONE_ROW, context(at(2.0)), steps)
    assert found["w"][0] == pytest.approx(2 - 0.5 * (1 + 0.1 * 2))


def test_the_proximal_term_pulls_towards_the_rounds_base_by_hand() -> None:
    steps = optim.Steps(epochs=2, batch_size=1, lr=0.1)
    found = optim.sgd(at(0.0), slopes(1.0, 1.0), ONE_ROW, context(at(0.0), mu=0.5), steps)
    assert found["w"][0] == pytest.approx(-0.1 - 0.1 * (1 + 0.5 * -0.1))


def test_the_anchor_stays_the_global_model_when_train_calls_twice() -> None:
    steps = optim.Steps(batch_size=1, lr=0.1)
    base = context(at(0.0), mu=0.5)
    once = optim.sgd(at(0.0), slopes(1.0), ONE_ROW, base, steps)
    twice = optim.sgd(once, slopes(1.0), ONE_ROW, base, steps)
    assert twice["w"][0] == pytest.approx(-0.195)


@pytest.mark.parametrize("optimizer", [optim.adam, optim.sgd])
def test_tensors_of_any_shape_move_and_keep_their_names_and_the_callers_stay(optimizer) -> None:
    given_ = {name: np.ones(shape, np.float32) for name, shape in [("s", ()), ("m", (2, 3)), ("t", (2, 1, 2))]}
    found = optimizer(given_, slopes(1.0), ONE_ROW, context(given_), optim.Steps(batch_size=1, lr=0.25))
    assert {name: tensor.shape for name, tensor in found.items()} == {"s": (), "m": (2, 3), "t": (2, 1, 2)}
    for name, tensor in found.items():
        assert tensor.dtype == np.float32
        np.testing.assert_allclose(tensor, 0.75, rtol=1e-6)
        assert (given_[name] == 1).all()


def test_a_step_uses_the_mean_over_its_batch_also_in_the_smaller_last_one() -> None:
    data = Data.of({"a": [3.0, 3.0, 3.0]}, [1.0, 1.0, 1.0])
    zeros = {"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    found = optim.sgd(zeros, losses.logistic, data, context(zeros), optim.Steps(batch_size=2, lr=1e-4))
    # at zero the residual is -1/2, and 1e-4 steps do not move it: two steps of 1e-4 * 1/2 * (3, 1)
    assert found["weight"][0, 0] == pytest.approx(3e-4, rel=1e-3)
    assert found["bias"][0] == pytest.approx(1e-4, rel=1e-3)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 3))
def test_every_epoch_visits_every_row_once_in_full_batches(rows: int, size: int, epochs: int) -> None:
    found = list(optim.batches(rows, optim.Steps(epochs=epochs, batch_size=size), harness.rng(0)))
    per_epoch = -(-rows // size)
    assert len(found) == epochs * per_epoch
    for epoch in range(epochs):
        mine = found[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(np.concatenate(mine).tolist()) == list(range(rows))
        assert all(len(batch) == size for batch in mine[:-1])


def test_the_order_of_the_rows_comes_from_the_contexts_generator() -> None:
    first, again, other = (
        np.concatenate(list(optim.batches(50, optim.Steps(), harness.rng(seed)))) for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"lr": np.nan}, {"weight_decay": -1}])
def test_steps_that_cannot_be_are_an_error(wrong: dict[str, float]) -> None:
    with pytest.raises(AppError, match=next(iter(wrong))):
        optim.Steps(**wrong)


@given(st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3), st.integers(0, 1))
def test_the_logistic_gradient_is_the_slope_of_the_log_loss(inputs: list[float], label: int) -> None:
    x, y = np.array([inputs[:2]], np.float32), np.array([label], np.float32)
    p = {"weight": np.array([[0.02, -0.03]], np.float32), "bias": np.array([inputs[2] / 10], np.float32)}
    out = {"weight": np.empty((1, 1, 2), np.float32), "bias": np.empty((1, 1), np.float32)}
    losses.logistic(p, x, y, out)

    def loss(bias: float) -> float:
        logit = float(x.astype(np.float64)[0] @ p["weight"].astype(np.float64)[0]) + bias
        return float(np.logaddexp(0.0, -logit if label else logit))

    at_bias = float(p["bias"][0])
    slope = (loss(at_bias + 1e-5) - loss(at_bias - 1e-5)) / 2e-5
    assert out["bias"][0, 0] == pytest.approx(slope, abs=1e-5)
    np.testing.assert_allclose(out["weight"][0, 0], out["bias"][0, 0] * x[0], rtol=1e-6)


def test_a_saturated_logit_overflows_nothing() -> None:
    p = {"weight": np.array([[1e30]], np.float32), "bias": np.zeros(1, np.float32)}
    out = {"weight": np.empty((2, 1, 1), np.float32), "bias": np.empty((2, 1), np.float32)}
    losses.logistic(p, np.array([[1], [-1]], np.float32), np.array([0, 1], np.float32), out)
    assert out["bias"].tolist() == [[1.0], [-1.0]]
