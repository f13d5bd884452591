"""How is a run's privacy spent in one silo? From what the plan asks for to noise, sampling rate and steps.

A silo's number of train rows N is a secret, and so is what is made from it exactly. So N itself is released first, with
Gaussian noise, and all that follows (sampling rate, delta, noise multiplier, the weight of an update) is made from the
noisy number alone: it tells nothing that was not paid for. Then come the noisy gradients (`dp_sgd`). Together they
cost at most the target.

Unit: one row of the app's prepared train rows. Adjacency: one row added or removed. Assumption: as in `dp_sgd`. What
the noise of the gradients is was chosen after the noisy number was seen; the two are accounted for as if it had been
fixed before.
"""

from __future__ import annotations

from dataclasses import dataclass

from septum.privacy.accounting import Accountant, Gaussian, delta_for, noise_for
from septum.privacy.dp_sgd import Settings
from septum.privacy.noise import SIGMA, RandomBytes, discrete_gaussian
from septum.privacy.wanted import MAX_AUTO_DELTA, Wanted


@dataclass(frozen=True, slots=True)
class Spending:
    """How one silo does it. `rows` is the noisy number; `delta` the one at which the target holds."""

    rows: int
    delta: float
    settings: Settings
    most_steps: int


def noisy_count(rows: int, mechanism: Gaussian, random: RandomBytes) -> int:
    """The number of rows with the mechanism's noise, rounded, at least 1: all integers, as in `dp_sgd`."""
    one_row = int(SIGMA / mechanism.noise_multiplier)  # rounded down: the noise is at least what is accounted for
    noisy = rows * one_row + int(discrete_gaussian(1, random)[0])
    return max(1, round(noisy / one_row))


def derive(wanted: Wanted, rows: int, accountant: Accountant, max_delta: float = MAX_AUTO_DELTA) -> Spending:
    """The spending of a silo with `rows` train rows by its noisy count. Raises ConfigError where no noise is enough.

    `max_delta`: what delta auto is at most. A small target makes the count so noisy that it may come out as 1.
    """
    delta = min(delta_for(rows), max_delta) if wanted.delta is None else wanted.delta
    rate = min(1.0, wanted.batch / rows)
    noise = noise_for(accountant, wanted.target_epsilon, delta, rate, wanted.most_steps, wanted.beside)
    settings = Settings(wanted.clip, noise, rate, expected_batch=rate * rows)
    return Spending(rows, delta, settings, wanted.most_steps)
