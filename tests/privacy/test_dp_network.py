"""DP-SGD over a network by torch: what one record adds to the integer sum follows from it alone, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.privacy import canary

pytest.importorskip("torch")

from septum.privacy.dp_sgd import Settings, noisy_gradient
from septum.privacy.noise import SIGMA
from septum.sdk import network
from septum.sdk.layers import Conv2d, Flatten, GroupNorm, Linear, Relu, Tanh, Unflatten

pytestmark = pytest.mark.torch
F = np.float32

# with 5 slots torch gives a record of the first network other bits in some slots than in others
DENSE = (Linear(33), Tanh(), Linear(33), Tanh(), Linear(1))
IMAGES = (Unflatten(1, 5, 5), Conv2d(4, 3), GroupNorm(2), Relu(), Flatten(), Linear(1))
NETS = {"dense": (DENSE, 13, 5), "images": (IMAGES, 25, 4)}
LOSSES = {name: network.gradients(layers) for name, (layers, _, _) in NETS.items()}
EXACT = Settings(clip=1.0, noise_multiplier=1.0, sampling_rate=1.0, expected_batch=1.0)  # a sum / 2^24: no rounding


def integers(name, x, y):
    """What the records add: with the same bytes the noise is the same, and goes out."""
    layers, features, slots = NETS[name]
    point = network.initial(layers, features, np.random.default_rng(4))

    def step(x, y):
        random = np.random.default_rng(5).bytes
        found = noisy_gradient(LOSSES[name], point, x, y, EXACT, random, slots)
        return np.concatenate([found[tensor].ravel() for tensor in sorted(found)])

    change = (step(x, y) - step(x[:0], y[:0])) * SIGMA
    assert (change == np.rint(change)).all()
    return change.astype(np.int64)


def people(name, seed, count):
    rng = np.random.default_rng([8, seed])
    x = rng.normal(size=(count, NETS[name][1])).astype(F)
    x[rng.random(count) < 0.1] *= 1e30  # some are not like the others
    return x, rng.integers(0, 2, count).astype(F)


@pytest.mark.laws
@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(NETS)), st.integers(0, 10_000), st.integers(0, 14), st.integers(0, 14), st.randoms())
def test_one_more_record_adds_its_own_part_within_the_clip_and_moves_no_other_bit(name, seed, count, at, shuffled):
    x, y = people(name, seed, count + 1)
    others = [row for row in range(count + 1) if row != min(at, count)]
    alone = integers(name, x[[min(at, count)]], y[[min(at, count)]])
    assert int(np.dot(alone, alone)) <= SIGMA**2
    order = list(range(count + 1))
    shuffled.shuffle(order)
    change = integers(name, x[order], y[order]) - integers(name, x[others], y[others])
    assert change.tolist() == alone.tolist()


# --- by attack, as in test_canary.py, with the shipped gradients of a network ----------------------------------------

ONE_LAYER = (Linear(1),)
STILL = {"0.weight": np.zeros((1, canary.CANARIES), F), "0.bias": np.zeros(1, F)}


def by_network(step):
    """Canaries as inputs of a network: each pulls its own weight, and is as long as it likes."""
    loss = network.gradients(ONE_LAYER)

    def torch_step(_, point, x, y, settings, random):
        del point
        found = step(loss, STILL, x, y, settings, random, 64)
        return {"w": found["0.weight"][0]}

    return canary.least_epsilon(torch_step)


@pytest.mark.laws
def test_what_a_canary_in_a_network_shows_is_within_what_is_accounted_and_not_nothing():
    assert 0.3 * canary.accounted() < by_network(canary.dp_sgd.noisy_gradient) <= canary.accounted()


@pytest.mark.laws
@pytest.mark.parametrize("missing", canary.MUTATIONS)
def test_a_network_without_a_part_of_the_step_is_found_out(missing):
    changes = [canary.MUTATIONS[missing]]
    if missing == "no clipping":
        changes.append(canary.LIMIT_OFF)
    assert by_network(canary.mutated(*changes)) > canary.accounted()


def test_gradients_that_are_not_each_records_own_are_found_out():
    """Every slot given the batch's sum, as a loss without vmap would: one record turns the part of all the others."""
    shipped = network.gradients(ONE_LAYER)

    def summed(p, x, y, out):
        shipped(p, x, y, out)
        for tensor in out.values():
            tensor[...] = tensor.sum(axis=0)

    x, y = F([[1 + row / 8, 0] for row in range(5)] + [[-100, 0]]), np.zeros(6, F)
    point = {"0.weight": np.zeros((1, 2), F), "0.bias": np.zeros(1, F)}

    def change(loss):
        all_six, five = (
            noisy_gradient(loss, point, x[:rows], y[:rows], EXACT, np.random.default_rng(5).bytes, 64)["0.weight"]
            for rows in (6, 5)
        )
        return np.linalg.norm(all_six - five)

    assert change(shipped) <= 1.0
    assert change(summed) > 2.0
