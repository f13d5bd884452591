"""Is the epsilon that the accountant tells right? Held against closed forms, another bound, and published figures."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from septum.adapters.accountant import epsilon_of
from septum.errors import ConfigError
from septum.privacy.accounting import (
    MAX_STEPS,
    Gaussian,
    Laplace,
    SampledGaussian,
    Stated,
    delta_for,
    noise_for,
)

pytestmark = pytest.mark.laws


def above(x):
    """P(N(0, 1) > x)."""
    return math.erfc(x / math.sqrt(2)) / 2


def solved(delta_at, delta):
    """The epsilon at which a falling function of epsilon is `delta`."""
    low, high = 0.0, 200.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_at(middle) > delta else (low, middle)
    return high


def gaussian(mu, delta):
    """Balle & Wang 2018, theorem 8: the delta of the Gaussian mechanism with sensitivity / deviation = mu."""
    return solved(lambda e: above(e / mu - mu / 2) - math.exp(e) * above(e / mu + mu / 2), delta)


def sampled_once(noise, rate, delta):
    """One step, a record removed: (1 - q) N(0) + q N(1) against N(0); the set of outputs above x tells most."""

    def delta_at(epsilon):
        if math.exp(epsilon) <= 1 - rate:
            return 1.0
        x = noise**2 * math.log((math.exp(epsilon) - 1 + rate) / rate) + 0.5
        return (1 - rate) * above(x / noise) + rate * above((x - 1) / noise) - math.exp(epsilon) * above(x / noise)

    return solved(delta_at, delta)


def renyi(noise, rate, steps, delta):
    """Mironov, Talwar, Zhang 2019, section 3.3, at whole orders; to epsilon by Balle et al. 2020, theorem 21."""

    def log_moment(order):
        terms = [
            math.lgamma(order + 1) - math.lgamma(k + 1) - math.lgamma(order - k + 1)
            + (k * math.log(rate) + (order - k) * math.log1p(-rate) if rate < 1 else (0.0 if k == order else -math.inf))
            + (k * k - k) / (2 * noise**2)
            for k in range(order + 1)
        ]  # fmt: skip
        largest = max(terms)
        return largest + math.log(math.fsum(math.exp(term - largest) for term in terms))

    return min(
        steps * log_moment(order) / (order - 1)
        + math.log1p(-1 / order)
        - (math.log(delta) + math.log(order)) / (order - 1)
        for order in range(2, 65)
    )


@pytest.mark.parametrize(("noise", "releases"), [(1.0, 1), (0.5, 1), (4.0, 16), (30.0, 100), (50.0, 1)])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-8])
def test_the_plain_gaussian_costs_what_its_closed_form_says(noise, releases, delta):
    exact = gaussian(math.sqrt(releases) / noise, delta)
    assert epsilon_of([Gaussian(noise, releases)], delta) == pytest.approx(exact, rel=1e-4, abs=1e-4)
    assert epsilon_of([SampledGaussian(noise, 1.0, releases)], delta) == pytest.approx(exact, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("noise", "rate"), [(1.0, 0.01), (0.6, 0.1), (2.0, 0.3), (0.5, 0.9)])
def test_one_sampled_step_costs_what_its_closed_form_says(noise, rate):
    told = epsilon_of([SampledGaussian(noise, rate, 1)], 1e-5)
    exact = sampled_once(noise, rate, 1e-5)
    assert exact * (1 - 1e-9) <= told <= exact + 1e-4


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_one_laplace_release_costs_what_its_closed_form_says(scale):
    # delta(epsilon) = 1 - exp((epsilon - 1/b) / 2), so epsilon = 1/b + 2 log(1 - delta)
    exact = 1 / scale + 2 * math.log1p(-1e-3)
    assert epsilon_of([Laplace(scale)], 1e-3) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("steps", [100, 10_000])
def test_many_steps_by_transform_cost_no_less_than_their_closed_form(steps):
    # almost all drawn: what the transforms of many steps make of it may not fall below the case they cannot exceed
    told = epsilon_of([SampledGaussian(math.sqrt(steps), 1 - 1e-12, steps)], 1e-9)
    assert gaussian(1.0, 1e-9) <= told <= gaussian(1.0, 1e-9) * 1.01


@settings(max_examples=20, deadline=None)
@given(st.floats(0.8, 8), st.floats(1e-3, 0.3), st.integers(1, 500), st.sampled_from([1e-3, 1e-5, 1e-7]))
def test_another_valid_bound_is_never_lower(noise, rate, steps, delta):
    bound = renyi(noise, rate, steps, delta)
    assume(bound < 10)  # beyond, the ranges are wide and the test slow
    assert epsilon_of([SampledGaussian(noise, rate, steps)], delta) <= bound + 1e-3


def test_another_bound_is_higher_by_no_more_than_it_is_known_to_be():
    told = epsilon_of([SampledGaussian(1.0, 0.02, 1500)], 1e-3)
    assert 1.05 < renyi(1.0, 0.02, 1500, 1e-3) / told < 1.3


@pytest.mark.parametrize(
    ("rows", "real"),
    [(199, 1.47), (172, 1.61), (30, 4.50), (85, 2.41)],
    ids=["cleveland", "hungary", "switzerland", "va"],
)
def test_flambys_nominal_epsilon_of_one_is_more_when_the_steps_that_ran_are_counted(rows, real):
    # batches of 4, delta 1e-3; 15 epochs were accounted for, 1,500 steps ran. The published search for the noise was
    # satisfied within 1 % of epsilon, hence the tolerance.
    rate = 1 / math.ceil(rows / 4)
    noise = noise_for(epsilon_of, 1.0, 1e-3, rate, steps=int(15 / rate))
    assert epsilon_of([SampledGaussian(noise, rate, 1500)], 1e-3) == pytest.approx(real, rel=0.02)


@pytest.mark.parametrize(("target", "rate", "steps"), [(1.0, 0.05, 200), (0.3, 1.0, 5)])
def test_the_noise_that_is_found_is_enough_and_hardly_more(target, rate, steps):
    noise = noise_for(epsilon_of, target, 1e-5, rate, steps)
    assert 0.99 * target <= epsilon_of([SampledGaussian(noise, rate, steps)], 1e-5) <= target
    assert noise == round(noise, 4)


def test_the_least_noise_is_kept_where_it_is_enough_already():
    assert noise_for(epsilon_of, 99.0, 1e-3, 1e-4, 1) == 0.2


def test_a_target_out_of_reach_says_so():
    with pytest.raises(ConfigError, match=r"epsilon 1e-06 at delta 1e-09 cannot be reached: 10000000 steps"):
        noise_for(lambda _used, _delta: 2e-6, 1e-6, 1e-9, 1.0, MAX_STEPS)


USED = (SampledGaussian(1.5, 0.02, 300), SampledGaussian(4.0, 0.1, 50), Gaussian(9.0), Laplace(9.0), Stated(0.1))


def test_mechanisms_compose_in_any_order():
    told = {epsilon_of(order, 1e-5) for order in itertools.islice(itertools.permutations(USED), 0, 120, 31)}
    assert len(told) == 1


def test_together_they_cost_more_than_each_alone_and_less_than_their_sum():
    alone = [epsilon_of([one], 1e-5 / len(USED)) for one in USED]
    assert max(alone) < epsilon_of(USED, 1e-5) < sum(alone)


def test_a_run_in_two_halves_costs_what_it_costs_in_one():
    halves = [SampledGaussian(1.0, 0.02, 100), SampledGaussian(1.0, 0.02, 200)]
    assert epsilon_of(halves, 1e-5) == epsilon_of([SampledGaussian(1.0, 0.02, 300)], 1e-5)


def test_nothing_costs_nothing():
    assert epsilon_of([], 1e-5) == 0.0


def test_a_stated_delta_counts_against_the_delta():
    assert epsilon_of([Stated(1.0, 1e-6)], 1e-5) == pytest.approx(1.0, abs=1e-3)
    assert epsilon_of([Stated(1.0, 1e-6)], 1e-7) == math.inf


def test_what_cannot_be_accounted_is_infinite_and_not_wrong():
    assert epsilon_of([SampledGaussian(0.2, 1.0, 10_000)], 1e-5) == math.inf


@pytest.mark.parametrize(
    "bad",
    [
        lambda: SampledGaussian(0.1, 0.5, 1),
        lambda: SampledGaussian(math.nan, 0.5, 1),
        lambda: SampledGaussian(1.0, 0.0, 1),
        lambda: SampledGaussian(1.0, 1.1, 1),
        lambda: SampledGaussian(1.0, 0.5, 0),
        lambda: Gaussian(math.inf),
        lambda: Laplace(1.0, 0),
        lambda: Stated(0.0),
        lambda: Stated(math.inf),
        lambda: Stated(1.0, 1.0),
        lambda: epsilon_of([Gaussian(1.0)], 1e-12),
        lambda: epsilon_of([], math.nan),
        lambda: noise_for(epsilon_of, 0.0, 1e-5, 0.1, 1),
        lambda: delta_for(0),
    ],
)
def test_parameters_that_make_no_sense_are_refused(bad):
    with pytest.raises(ConfigError):
        bad()


def test_delta_auto_is_a_tenth_of_a_record_and_never_too_small_to_account_with():
    assert delta_for(303) == pytest.approx(1 / 3030)
    assert delta_for(10**12) == 1e-9


@pytest.mark.processes
def test_without_the_extra_the_command_that_installs_it_is_told():
    program = (
        "import sys; sys.modules['dp_accounting.pld'] = None\n"
        "from septum.adapters.accountant import epsilon_of\n"
        "from septum.errors import MissingExtraError\n"
        "from septum.privacy.accounting import Gaussian\n"
        "try: epsilon_of([Gaussian(1.0)], 1e-5)\n"
        "except MissingExtraError as error: print(error.hint, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'septum[dp]' False"
