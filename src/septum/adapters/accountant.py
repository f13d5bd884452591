"""How is the cost of mechanisms computed? By Google's dp-accounting, from privacy loss distributions (the `dp` extra).

Sommer, Meiser, Mohammadi 2019 compose privacy loss distributions; Koskela, Jälkö, Honkela 2020 do it by Fourier
transform; Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022 ("Connect the Dots") discretise them so that the result is
an upper bound at any step width. That bound is over real numbers; `_ROUNDING` is set aside for doubles.

dp-accounting brings SciPy and takes some 0.7 s and 100 MB to load, so it is imported by the first call.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from septum.errors import MissingExtraError
from septum.privacy.accounting import Gaussian, Laplace, Mechanism, SampledGaussian, Stated, check_delta

if TYPE_CHECKING:
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

_ROUNDING = 1e-11  # of delta; the transforms of 10,000 steps were seen to lose 2e-13
_FINE, _COARSE = 1e-4, 1e-3  # width of a step of the privacy loss
_FINE_RANGE, _LARGEST_RANGE = 100.0, 2000.0  # of the privacy loss; above, the memory of the transforms is the limit


def epsilon_of(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """The epsilon of all mechanisms together at `delta`, one record added or removed; `septum.privacy`'s `Accountant`.

    Adaptive composition is covered. Infinity where the privacy loss is too large to be accounted: far beyond any
    epsilon that protects anybody.

    Raises:
        ConfigError: a delta that is too small.
        MissingExtraError: dp-accounting is not installed.
    """
    check_delta(delta)
    used = _merged(mechanisms)
    if not used:
        return 0.0
    widest = sum(_range(one) for one in used)
    if widest > _LARGEST_RANGE:
        return math.inf
    width = _FINE if widest <= _FINE_RANGE else _COARSE
    composed: PrivacyLossDistribution | None = None
    for one in used:
        loss = _loss(one, width)
        composed = loss if composed is None else composed.compose(loss)
    assert composed is not None
    return float(composed.get_epsilon_for_delta(delta - _ROUNDING))


def _merged(mechanisms: Sequence[Mechanism]) -> list[Mechanism]:
    """The same in fewer parts: equal ones are one with a count, in an order that does not depend on theirs."""
    counts: Counter[Mechanism] = Counter()
    stated: list[Mechanism] = []
    for one in mechanisms:
        match one:
            case SampledGaussian(noise, rate, steps) if rate < 1:
                counts[SampledGaussian(noise, rate, 1)] += steps
            case SampledGaussian(noise, _, count) | Gaussian(noise, count):
                counts[Gaussian(noise)] += count
            case Laplace(noise, count):
                counts[Laplace(noise)] += count
            case Stated():
                stated.append(one)
    return sorted([*_counted(counts), *stated], key=repr)


def _counted(counts: Counter[Mechanism]) -> Iterator[Mechanism]:
    for one, count in counts.items():
        match one:
            case SampledGaussian(noise, rate, _):
                yield SampledGaussian(noise, rate, count)
            case Gaussian(noise):
                yield Gaussian(noise, count)
            case Laplace(noise):
                yield Laplace(noise, count)


def _range(mechanism: Mechanism) -> float:
    """About how far the privacy loss reaches: what decides over memory, not over the result.

    For Gaussian noise it is mu^2 / 2 + 10 mu with mu = sqrt(steps) / noise; sampled, the central limit theorem of Bu,
    Dong, Long, Su 2020 has mu = rate sqrt(steps (exp(1 / noise^2) - 1)), if that is less.
    """
    match mechanism:
        case SampledGaussian(noise, rate, steps):
            sampled = rate * math.sqrt(steps * math.expm1(1 / noise**2))
            single = 0.5 / noise**2 + 10 / noise
            return single + _gaussian_range(min(math.sqrt(steps) / noise, sampled))
        case Gaussian(noise, releases):
            return _gaussian_range(math.sqrt(releases) / noise)
        case Laplace(noise, releases):
            return min(releases / noise, 1 / noise + _gaussian_range(math.sqrt(2 * releases) / noise))
        case Stated(epsilon):
            return epsilon


def _gaussian_range(mu: float) -> float:
    return mu**2 / 2 + 10 * mu


def _loss(mechanism: Mechanism, width: float) -> PrivacyLossDistribution:
    try:
        from dp_accounting.pld import privacy_loss_distribution as pld  # an optional extra, 0.7 s
    except ImportError as error:
        raise MissingExtraError(
            "epsilon is computed by dp-accounting, which is not installed", hint="pip install 'septum[dp]'"
        ) from error
    match mechanism:
        case SampledGaussian(noise, rate, steps):
            one = pld.from_gaussian_mechanism(noise, sampling_prob=rate, value_discretization_interval=width)
            return one if steps == 1 else one.self_compose(steps)
        case Gaussian(noise, releases):  # exact: n releases are one with noise / sqrt(n)
            return pld.from_gaussian_mechanism(noise / math.sqrt(releases), value_discretization_interval=width)
        case Laplace(noise, releases):
            one = pld.from_laplace_mechanism(noise, value_discretization_interval=width)
            return one if releases == 1 else one.self_compose(releases)
        case Stated(epsilon, delta):
            parameters = pld.common.DifferentialPrivacyParameters(epsilon, delta)
            return pld.from_privacy_parameters(parameters, value_discretization_interval=width)
