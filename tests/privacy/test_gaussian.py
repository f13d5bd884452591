"""The noise of one release: published numbers, the accountant's word, and that less would not do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.accountant import epsilon_of
from septum.errors import ConfigError
from septum.privacy.accounting import MIN_NOISE, Gaussian
from septum.privacy.gaussian import delta_of, noise_multiplier


def test_a_delta_worked_out_by_hand():
    """Noise 1, epsilon 0: Phi(1/2) - Phi(-1/2) = 0.3829, the total variation of two normals one apart."""
    assert delta_of(1.0, 0.0) == pytest.approx(0.38292492)
    assert delta_of(1.0, 1.0) == pytest.approx(0.12693674)  # Balle and Wang 2018, figure 1


@given(epsilon=st.floats(0.01, 20), exponent=st.floats(-8, -2))
def test_a_release_with_that_noise_costs_no_more_and_with_a_little_less_it_would(epsilon, exponent):
    noise = noise_multiplier(epsilon, 10**exponent)
    assert delta_of(noise, epsilon) <= 10**exponent
    assert noise == MIN_NOISE or delta_of(noise - 3e-4, epsilon) > 10**exponent * 0.99


@given(epsilon=st.floats(0.01, 19), more=st.floats(0.01, 1))
def test_a_smaller_cost_takes_more_noise(epsilon, more):
    assert noise_multiplier(epsilon, 1e-5) >= noise_multiplier(epsilon + more, 1e-5)


@pytest.mark.laws
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-3])
def test_the_accountant_finds_the_same_cost(epsilon, delta):
    """So a budget of exactly that much pays for it."""
    found = epsilon_of([Gaussian(noise_multiplier(epsilon, delta))], delta)
    assert 0.999 * epsilon < found <= epsilon


@pytest.mark.laws
def test_two_releases_cost_less_than_twice_as_much():
    one = Gaussian(noise_multiplier(1.0, 1e-5))
    both = epsilon_of([one, one], 1e-5)
    assert 1.0 < both < 2.0
    assert both == pytest.approx(epsilon_of([Gaussian(one.noise_multiplier / math.sqrt(2))], 1e-5), rel=1e-3)


def test_no_delta_is_refused():
    with pytest.raises(ConfigError, match="delta"):
        noise_multiplier(1.0, 0.0)
