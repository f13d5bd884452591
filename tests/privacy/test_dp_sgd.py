"""Does a step of DP-SGD keep its promises: sampling, clipping by record, noise, the expected batch, nothing else?"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from septum import losses
from septum.errors import ConfigError
from septum.privacy.accounting import SampledGaussian
from septum.privacy.dp_sgd import Settings, noisy_gradient, train

F = np.float32
EVERYBODY = Settings(clip=2.0, noise_multiplier=1.0, sampling_rate=1.0, expected_batch=4.0)
POINT = {"a": np.zeros(2, F), "b": np.zeros((1, 1), F)}  # three coordinates
NOBODY = np.zeros((0, 3), F)


def seeded(seed=0):
    return np.random.default_rng(seed).bytes


def given_gradient(p, x, y, out):
    """A loss whose gradient is the record itself."""
    out["a"][:] = x[:, :2]
    out["b"][:, 0] = x[:, 2:]


def step(x, settings=EVERYBODY, loss=given_gradient, seed=0, point=POINT):
    x = np.asarray(x, F).reshape(-1, 3)
    found = noisy_gradient(loss, point, x, np.zeros(len(x), F), settings, seeded(seed))
    return np.concatenate([found[name].ravel() for name in sorted(found)])


def noiseless(x, settings=EVERYBODY, **more):
    """What the records add: with the same bytes the noise is the same, and goes out. Only at a rate of 1."""
    return step(x, settings, **more) - step(NOBODY, settings, **more)


def test_a_sum_by_hand():
    # (3, 4, 0) has norm 5 > 2: (1.2, 1.6, 0); (0, 0, 1) is short enough; divided by the expected batch of 4
    assert noiseless([[3, 4, 0], [0, 0, 1]]) == pytest.approx([0.3, 0.4, 0.25], rel=1e-5)


def test_the_norm_is_of_all_tensors_together():
    # "a" has norm 2 and "b" has 2, neither above the clip of 2; together sqrt(8)
    assert noiseless([[2, 0, 2]]) == pytest.approx([math.sqrt(2) / 4, 0, math.sqrt(2) / 4], rel=1e-5)


def test_a_batch_is_divided_by_its_expected_size_whatever_was_drawn():
    row = [0.0, 0.0, 1.0]
    assert noiseless([row])[2] == pytest.approx(0.25, rel=1e-5)
    assert noiseless([row] * 12)[2] == pytest.approx(3.0, rel=1e-5)


coordinate = st.one_of(st.floats(width=32), st.floats(-4, 4, width=32))
rows = arrays(F, st.tuples(st.integers(0, 5), st.just(3)), elements=coordinate)


@given(rows, arrays(F, 3, elements=coordinate), st.sampled_from([0.2, 0.7, 1.0, 33.0]), st.floats(1e-3, 1e3))
def test_one_more_record_changes_the_sum_by_no_more_than_the_clip_whatever_it_is(others, record, noise, clip):
    settings = Settings(clip, noise, 1.0, expected_batch=1.0)
    change = step(np.vstack([others, record]), settings) - step(others, settings)
    # the difference of two doubles of the size of the noise: what is left of their rounding
    assert np.linalg.norm(change) <= clip + 1e-12 * clip * noise * 2**10


def by_slot(p, x, y, out):
    """Gradients that depend on the slot, as the last bits do where kernels treat a block's last rows otherwise."""
    given_gradient(p, x, y, out)
    out["b"][:, 0, 0] += np.arange(len(x)) / 8


@given(rows, arrays(F, 3, elements=coordinate), st.randoms())
def test_in_slots_one_more_record_changes_the_sum_by_its_own_part_wherever_it_comes(others, record, random):
    def total(x):
        found = noisy_gradient(by_slot, POINT, x, np.zeros(len(x), F), EVERYBODY, seeded(), 4)
        return np.concatenate([found[name].ravel() for name in sorted(found)])

    order = list(range(len(others) + 1))
    random.shuffle(order)
    change = total(np.vstack([others, record])[order]) - total(others)
    assert np.linalg.norm(change) <= 2.0 / 4.0 + 1e-9
    np.testing.assert_allclose(change, total(record[None]) - total(NOBODY), rtol=0, atol=1e-12)


@given(rows)
def test_the_order_of_the_records_changes_no_bit(x):
    assert step(x).tobytes() == step(x[::-1]).tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_record_whose_gradient_is_not_finite_has_no_part_and_raises_nothing(bad):
    assert step([[1, 1, 1], [bad, 0, 0]]).tobytes() == step([[1, 1, 1]]).tobytes()


def test_what_a_loss_does_not_write_is_not_the_record_before():
    def forgetful(p, x, y, out):
        if x[0, 0] > 0:
            given_gradient(p, x, y, out)

    assert step([[1, 1, 1], [-1, 1, 1]], loss=forgetful).tobytes() == step([[1, 1, 1]]).tobytes()


def test_a_loss_sees_one_record_and_cannot_leave_a_note_in_the_parameters():
    seen = []

    def curious(p, x, y, out):
        seen.append((x.shape, y.shape))
        p["a"][0] = 1

    with pytest.raises(ValueError, match="read-only"):
        step([[1, 1, 1], [2, 2, 2]], loss=curious)
    assert seen == [((1, 3), (1,))]
    assert POINT["a"].tolist() == [0, 0]


@pytest.mark.parametrize("slots", [2, 3, 64])
def test_several_records_at_once_add_what_they_add_one_by_one(slots):
    x = np.random.default_rng(7).normal(0, 2, (40, 3)).astype(F)
    seen = []

    def noting(p, x, y, out):
        seen.append(x.copy())
        given_gradient(p, x, y, out)

    together = noisy_gradient(noting, POINT, x, np.zeros(40, F), EVERYBODY, seeded(), slots)
    alone = noisy_gradient(given_gradient, POINT, x, np.zeros(40, F), EVERYBODY, seeded())
    assert all(together[name].tobytes() == alone[name].tobytes() for name in alone)
    assert {batch.shape for batch in seen} == {(slots, 3)}  # always full: what is missing are zeros
    assert len(seen) < 40
    passed = np.vstack(seen)
    assert sorted(passed[passed.any(axis=1)].tolist()) == sorted(x.tolist())  # each once
    assert (~passed.any(axis=1)).sum() == len(passed) - 40


def test_which_slot_a_record_is_in_follows_from_the_record_alone():
    places = {}

    def noting(p, x, y, out):
        for slot, record in enumerate(x[:, 0].tolist()):
            if record:
                places.setdefault(record, set()).add(slot)

    x = np.arange(1, 41, dtype=F)[:, None] * np.ones((1, 3), F)
    for rows in (x, x[::-1], x[7:], x[:20], x[::3]):
        noisy_gradient(noting, POINT, rows, np.zeros(len(rows), F), EVERYBODY, seeded(), 8)
    assert {len(slots) for slots in places.values()} == {1}
    assert len({slot for slots in places.values() for slot in slots}) == 8


def test_a_step_that_drew_nobody_is_noise_like_any_other():
    # with sampling the bytes of the draw come first, so the noise is another one: hold its size against the settings
    settings = Settings(clip=3.0, noise_multiplier=2.0, sampling_rate=1e-9, expected_batch=5.0)
    random = seeded(1)
    wide = {"a": np.zeros(2000, F)}

    def loss(p, x, y, out):
        raise AssertionError("nobody was drawn")

    found = noisy_gradient(loss, wide, np.ones((50, 3), F), np.zeros(50, F), settings, random)["a"]
    assert found.std() == pytest.approx(2.0 * 3.0 / 5.0, rel=4 / math.sqrt(4000))
    assert abs(found.mean()) < 4 * 1.2 / math.sqrt(2000)


def test_the_noise_is_at_least_what_the_multiplier_says():
    # a multiplier that does not divide the grid: the limit is rounded down, never up
    from septum.privacy.noise import SIGMA

    for noise in (0.2, 0.3, 1.1, 7.0, 12345.6):
        assert SIGMA / int(SIGMA / noise) >= noise


def test_each_record_takes_part_as_often_as_the_rate_says():
    settings = Settings(clip=100.0, noise_multiplier=0.2, sampling_rate=0.25, expected_batch=1.0)
    calls = []

    def counting(p, x, y, out):
        calls.append(int(x[0, 0]))

    random = seeded(2)
    x = np.arange(8, dtype=F)[:, None] * np.ones((1, 3), F)
    for _ in range(400):
        noisy_gradient(counting, POINT, x, np.zeros(8, F), settings, random)
    counts = np.bincount(calls, minlength=8)
    assert np.all(np.abs(counts - 100) < 4 * math.sqrt(400 * 0.25 * 0.75))
    assert len(set(counts.tolist())) > 1


def test_two_steps_and_two_tensors_never_share_their_noise():
    first, second = (noisy_gradient(given_gradient, POINT, NOBODY, NOBODY[:, 0], EVERYBODY, os.urandom) for _ in "ab")
    values = [*first["a"], *first["b"].ravel(), *second["a"], *second["b"].ravel()]
    assert len(set(values)) == 6


def test_training_is_steps_against_the_noisy_gradient():
    x, y = np.ones((6, 3), F), np.zeros(6, F)
    settings = Settings(1.0, 1.0, 0.5, 3.0)
    random = seeded(4)
    by_hand = POINT
    for _ in range(3):
        gradient = noisy_gradient(given_gradient, by_hand, x, y, settings, random)
        by_hand = {name: (by_hand[name] - 0.1 * gradient[name]).astype(F) for name in by_hand}
    found = train(given_gradient, POINT, x, y, settings, steps=3, learning_rate=0.1, random=seeded(4))
    assert all(found[name].tobytes() == by_hand[name].tobytes() for name in found)
    assert POINT["a"].tolist() == [0, 0]


def test_a_model_is_learned_in_spite_of_the_noise():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 4)).astype(F)
    y = (x @ F([2, -1, 0, 1]) > 0).astype(F)
    start = {"weight": np.zeros((1, 4), F), "bias": np.zeros(1, F)}
    settings = Settings(clip=1.0, noise_multiplier=1.0, sampling_rate=0.1, expected_batch=40.0)
    model = train(losses.logistic, start, x, y, settings, steps=100, learning_rate=1.0, random=seeded(6))
    assert np.mean((x @ model["weight"][0] + model["bias"] > 0) == y) > 0.9


def test_steps_that_cannot_be_accounted_for_are_not_begun():
    def loss(p, x, y, out):
        raise AssertionError("begun")

    with pytest.raises(ConfigError, match="0 steps"):
        train(loss, POINT, np.ones((2, 3), F), np.zeros(2, F), EVERYBODY, steps=0, learning_rate=1, random=os.urandom)


def test_settings_say_what_they_cost():
    assert Settings(1.0, 1.5, 0.25, 8.0).mechanism(7) == SampledGaussian(1.5, 0.25, 7)


@pytest.mark.parametrize(
    "bad", [(0.0, 1, 0.5, 1), (math.inf, 1, 0.5, 1), (1, 0.0, 0.5, 1), (1, 1, 0.0, 1), (1, 1, 1.5, 1), (1, 1, 0.5, 0)]
)
def test_settings_that_protect_nobody_are_refused(bad):
    with pytest.raises(ConfigError):
        Settings(*bad)
