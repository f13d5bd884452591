"""A silo's noise is made from a noisy number of rows, and its run costs no more than it was asked to."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from septum.adapters.accountant import epsilon_of
from septum.errors import ConfigError
from septum.privacy.accounting import Gaussian, SampledGaussian, noise_for
from septum.privacy.spending import derive, noisy_count
from septum.privacy.wanted import SPARE_ROUNDS, Wanted, count_noise

pytestmark = pytest.mark.laws

WANTED = Wanted(target_epsilon=5.0, delta=None, clip=1.0, batch=64, steps=2, rounds=10)
SEEDED = np.random.default_rng(5).bytes  # os.urandom outside of tests


def concentrated(used, delta):
    """A stand-in with which numbers can be worked out by hand: zero-concentrated privacy, sampling without effect."""
    assert delta > 0
    return math.fsum(
        (one.steps if isinstance(one, SampledGaussian) else one.releases) / one.noise_multiplier**2 for one in used
    )


def test_count_and_training_together_cost_the_target_and_no_more():
    spent = derive(WANTED, 640, concentrated)
    # the count costs 1 / 2.25^2 = 0.1975, which leaves 24 / sigma^2 = 4.8025: sigma = 2.2355
    assert spent.settings.noise_multiplier == pytest.approx(2.2354, rel=2e-3)
    assert spent.settings.noise_multiplier >= 2.2354
    assert (spent.settings.sampling_rate, spent.settings.expected_batch) == (0.1, 64.0)
    assert spent.delta == 1 / 6400


def test_spare_rounds_are_paid_for():
    assert derive(WANTED, 640, concentrated).most_steps == (10 + SPARE_ROUNDS) * 2


@pytest.mark.laws
@pytest.mark.parametrize("rows", [30, 199])
def test_by_the_accountant_in_use_the_target_holds_for_all_steps_and_is_nearly_used(rows):
    spent = derive(replace(WANTED, target_epsilon=1.0), rows, epsilon_of)
    cost = epsilon_of([count_noise(1.0), spent.settings.mechanism(spent.most_steps)], spent.delta)
    assert 0.99 < cost <= 1.0


def test_a_small_silo_draws_every_row_and_divides_by_its_own_noisy_number():
    spent = derive(WANTED, 30, concentrated)
    assert (spent.settings.sampling_rate, spent.settings.expected_batch) == (1.0, 30.0)


def test_a_delta_of_the_plan_is_taken_as_it_is():
    assert derive(replace(WANTED, delta=1e-6), 640, concentrated).delta == 1e-6


@pytest.mark.parametrize(("rows", "most", "delta"), [(1, 0.01, 0.01), (640, 1e-5, 1e-5), (640, 0.01, 1 / 6400)])
def test_delta_auto_is_never_above_what_the_silo_allows(rows, most, delta):
    assert derive(WANTED, rows, concentrated, most).delta == delta


def test_where_the_other_releases_cost_it_all_nothing_is_trained():
    with pytest.raises(ConfigError, match="leaves nothing for training"):
        noise_for(concentrated, 1.0, 1e-5, 1.0, 10, beside=(Gaussian(1.0),))


def test_the_count_has_the_noise_that_is_accounted_for():
    mechanism = Gaussian(3.0)
    drawn = np.array([noisy_count(1000, mechanism, SEEDED) for _ in range(4000)])
    assert abs(drawn.mean() - 1000) < 0.25  # 5 standard errors
    assert drawn.std() == pytest.approx(3.0, rel=0.06)


def test_a_noisy_count_is_never_below_one():
    assert min(noisy_count(1, Gaussian(50.0), SEEDED) for _ in range(200)) == 1
