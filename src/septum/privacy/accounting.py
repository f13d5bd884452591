"""What do the releases made from one dataset cost together? The mechanisms, and how much noise a target needs.

Unit: one record. Adjacency: one record added or removed (`dp_sgd` says what a record is there, the ledger which unit a
dataset is accounted in). The cost of a list of mechanisms at a delta is an epsilon such that whoever sees all their
outputs, and chose each after seeing the ones before, learns of any record at most what (epsilon, delta)-differential
privacy allows.

The arithmetic is passed in as an `Accountant`; `septum.adapters.accountant` is the one in use. Assumption: each
mechanism was run as it is written here, with parameters that do not depend on the record: how often a record was drawn,
how large its part could be, how much noise was added, how many steps ran. What voids it: a release that is not in the
list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from septum.errors import ConfigError

MIN_DELTA = 1e-9  # below, the rounding of the accountant's Fourier transforms is no longer small beside it
MIN_NOISE = 0.2  # a single release with less noise has an epsilon above 25 at any delta that is worth the name
MAX_NOISE = 1e6
MAX_STEPS = 10_000_000
MAX_EPSILON = 100.0
_DECIMALS = 10_000  # a noise multiplier is told with four decimals, rounded up
_CLOSE = 1e-3  # relative: the search ends where the noise is known this well, on the side of too much


@dataclass(frozen=True, slots=True)
class SampledGaussian:
    """Steps of the Poisson-subsampled Gaussian mechanism: each record is drawn by itself, noise is added to the sum.

    noise_multiplier  standard deviation of the noise, in units of what one record can change of the sum (L2)
    sampling_rate     probability with which each record is drawn in a step
    steps             how many sums were released, or may be
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        _check_noise(self.noise_multiplier)
        if not 0 < self.sampling_rate <= 1:
            raise ConfigError(f"a sampling rate of {self.sampling_rate}; it is above 0 and at most 1")
        _check_count("steps", self.steps)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Releases of sums over all records with Gaussian noise; `noise_multiplier` in units of the L2 sensitivity."""

    noise_multiplier: float
    releases: int = 1

    def __post_init__(self) -> None:
        _check_noise(self.noise_multiplier)
        _check_count("releases", self.releases)


@dataclass(frozen=True, slots=True)
class Laplace:
    """Releases of sums over all records with Laplace noise; `noise_multiplier` is its scale / the L1 sensitivity."""

    noise_multiplier: float
    releases: int = 1

    def __post_init__(self) -> None:
        _check_noise(self.noise_multiplier)
        _check_count("releases", self.releases)


@dataclass(frozen=True, slots=True)
class Stated:
    """Something of which only this is known: it is (epsilon, delta)-differentially private. Rests on who says so."""

    epsilon: float
    delta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= MAX_EPSILON:
            raise ConfigError(f"an epsilon of {self.epsilon}; it is above 0 and at most {MAX_EPSILON:g}")
        if not 0 <= self.delta < 1:
            raise ConfigError(f"a delta of {self.delta}; it is 0 or more, and below 1")


Mechanism: TypeAlias = SampledGaussian | Gaussian | Laplace | Stated
Accountant: TypeAlias = Callable[[Sequence[Mechanism], float], float]
"""The epsilon of mechanisms, together and adaptively composed, at a delta: never less than the true one, infinity when
it is too large to be told. No mechanism costs 0; more steps, more releases and less noise never cost less."""


def noise_for(
    accountant: Accountant,
    target_epsilon: float,
    delta: float,
    sampling_rate: float,
    steps: int,
    beside: Sequence[Mechanism] = (),
) -> float:
    """The noise multiplier with which `steps` steps cost at most `target_epsilon`, rounded up to four decimals.

    `beside` is paid for out of the same target. Each silo calls it with its own sampling rate. What comes back has been
    put through the accountant once more: it is never on the wrong side of the target. It depends on the number of
    records; so does what is published of it.

    Raises:
        ConfigError: a target that no noise in use reaches, or parameters that make no sense.

    >>> zero_concentrated = lambda used, delta: sum(m.steps / m.noise_multiplier**2 for m in used)  # not a real one
    >>> noise_for(zero_concentrated, target_epsilon=4.0, delta=1e-5, sampling_rate=1.0, steps=16)
    2.0
    """
    if not (math.isfinite(target_epsilon) and target_epsilon > 0):
        raise ConfigError(f"a target epsilon of {target_epsilon}; it is a finite number above 0")
    check_delta(delta)

    def cost(noise: float) -> float:
        return accountant([SampledGaussian(noise, sampling_rate, steps), *beside], delta)

    if beside and accountant(beside, delta) >= target_epsilon:
        raise ConfigError(
            f"epsilon {target_epsilon:g} at delta {delta:g} leaves nothing for training beside what else is released",
            hint="a larger epsilon or delta",
        )
    low = high = 1.0
    costs = {1.0: cost(1.0)}
    while costs[low] <= target_epsilon:  # with little noise the accountant works longest: from above, if it must
        if low == MIN_NOISE:
            return MIN_NOISE
        low, high = max(MIN_NOISE, low / 2), low
        costs[low] = cost(low)
    while costs[high] > target_epsilon:
        low, high = high, high * 2
        if high > MAX_NOISE:
            raise ConfigError(
                f"epsilon {target_epsilon:g} at delta {delta:g} cannot be reached: {steps} steps at a sampling rate of"
                f" {sampling_rate:g} need more noise than {MAX_NOISE:g} times the clipping norm",
                hint="fewer steps, a smaller batch, or a larger epsilon",
            )
        costs[high] = cost(high)
    while high - low > _CLOSE * high:  # cost falls as noise grows: low is too little, high is enough
        middle = _between((low, costs[low]), (high, costs[high]), target_epsilon)
        costs[middle] = cost(middle)
        low, high = (low, middle) if costs[middle] <= target_epsilon else (middle, high)
    noise = math.ceil(high * _DECIMALS)
    while cost(noise / _DECIMALS) > target_epsilon:  # in steps of the accountant's own width, cost may rise a little
        noise += 1
    return noise / _DECIMALS


def _between(low: tuple[float, float], high: tuple[float, float], target: float) -> float:
    """A noise between two, near where the cost is the target, for cost is nearly a power of noise; (noise, cost) each.

    It is put a little towards the wider part of the bracket, so that both ends close in.
    """
    middle = math.sqrt(low[0] * high[0])
    if not (math.isfinite(low[1]) and low[1] > high[1] > 0):
        return middle
    part = math.log(low[1] / target) / math.log(low[1] / high[1])
    guess = low[0] * (high[0] / low[0]) ** part
    nudged = guess * (1 + (_CLOSE / 3 if guess < middle else -_CLOSE / 3))
    return nudged if low[0] * (1 + _CLOSE / 4) < nudged < high[0] * (1 - _CLOSE / 4) else middle


def delta_for(records: int) -> float:
    """`delta auto`: a tenth of 1 / records, so that giving away one record at random is ruled out.

    It tells the number of records to whoever knows the rule: publish a bucket, not this.

    >>> delta_for(200)
    0.0005
    """
    if records < 1:
        raise ConfigError(f"{records} records have no delta")
    return max(1 / (10 * records), MIN_DELTA)


def check_delta(delta: float) -> None:
    """Raises ConfigError for a delta that no accountant here can work with."""
    if not MIN_DELTA <= delta < 1:
        raise ConfigError(f"a delta of {delta:g}; it is at least {MIN_DELTA:g} and below 1", hint="1 / (10 * records)")


def _check_noise(noise: float) -> None:
    if not MIN_NOISE <= noise <= MAX_NOISE:
        raise ConfigError(
            f"a noise multiplier of {noise:g}; it is between {MIN_NOISE:g} and {MAX_NOISE:g}",
            hint="with less noise than that there is no privacy to account for",
        )


def _check_count(name: str, count: int) -> None:
    if not 1 <= count <= MAX_STEPS:
        raise ConfigError(f"{count} {name}; it is between 1 and {MAX_STEPS:,}")
