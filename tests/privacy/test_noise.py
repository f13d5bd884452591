"""Do draws and noise have exactly the distribution that the accounting is about? Seeded, so that it is repeatable."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from scipy import stats

from septum.privacy.noise import SIGMA, discrete_gaussian, poisson_sample


def seeded(seed):
    return np.random.default_rng(seed).bytes


@pytest.mark.parametrize("sigma", [1, 2, 8])
def test_small_noise_has_the_discrete_gaussian_probabilities(sigma):
    draws = discrete_gaussian(200_000, seeded(sigma), sigma)
    reach = 4 * sigma
    values = np.arange(-reach, reach + 1)
    weights = np.exp(-(values**2) / (2 * sigma**2))
    inside = draws[np.abs(draws) <= reach]
    counts = np.array([np.count_nonzero(inside == value) for value in values])
    assert inside.size > 199_900
    assert stats.chisquare(counts, weights / weights.sum() * inside.size).pvalue > 1e-4


def test_noise_of_the_size_in_use_is_gaussian():
    draws = discrete_gaussian(300_000, seeded(7)) / SIGMA
    assert stats.kstest(draws, "norm").pvalue > 1e-4
    assert draws.mean() == pytest.approx(0, abs=4 / math.sqrt(300_000))
    assert draws.std() == pytest.approx(1, rel=4 / math.sqrt(600_000))
    assert np.corrcoef(draws[:-1], draws[1:])[0, 1] == pytest.approx(0, abs=4 / math.sqrt(300_000))


def test_the_low_bits_of_noise_are_all_there():
    # of a double with its gaps, some would never be seen
    low = discrete_gaussian(100_000, seeded(8)) & 255
    assert stats.chisquare(np.bincount(low, minlength=256)).pvalue > 1e-4


@pytest.mark.parametrize("count", [0, 1, 2, 999, 200_000])
def test_as_much_noise_comes_back_as_was_asked_for(count):
    assert discrete_gaussian(count, os.urandom).shape == (count,)


def test_noise_of_the_operating_system_is_never_the_same():
    assert not np.array_equal(discrete_gaussian(10, os.urandom), discrete_gaussian(10, os.urandom))


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.999])
def test_records_are_drawn_each_by_itself(rate):
    random = seeded(3)
    sizes = [poisson_sample(1000, rate, random).size for _ in range(400)]
    deviation = math.sqrt(1000 * rate * (1 - rate))  # of one batch; a batch of fixed size would have none
    assert np.mean(sizes) == pytest.approx(1000 * rate, abs=4 * deviation / 20)
    assert np.std(sizes) == pytest.approx(deviation, rel=4 / math.sqrt(800))
    where = np.concatenate([poisson_sample(10, rate, random) for _ in range(4000)])
    assert stats.chisquare(np.bincount(where, minlength=10)).pvalue > 1e-4


def test_every_record_is_drawn_at_a_rate_of_one_and_none_without_records():
    assert poisson_sample(5, 1.0, os.urandom).tolist() == [0, 1, 2, 3, 4]
    assert poisson_sample(0, 0.5, os.urandom).size == 0


def test_a_record_is_drawn_exactly_when_its_word_is_below_the_rate():
    words = np.array([0, 2**62 - 1, 2**62, 2**64 - 1], "<u8").tobytes()
    assert poisson_sample(4, 0.25, lambda size: words[:size]).tolist() == [0, 1]
