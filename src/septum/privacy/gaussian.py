"""How much noise does one release need? The Gaussian mechanism in closed form: Balle and Wang 2018, theorem 8.

A plan says what a release may cost, and everyone who reads the plan has to come to the same noise: silos that add it
and whoever says how large it is. So this takes no accountant. What all releases of a dataset cost together is the
ledger's business, and that is computed by the accountant (`accounting`).

Unit and adjacency are those of the caller, who says what one record can change; here it is one unit in L2.
"""

from __future__ import annotations

import math

from septum.privacy.accounting import MAX_NOISE, MIN_NOISE, check_delta

_DECIMALS = 10_000
_ROUNDING = 1e-11  # of delta, which the accountant sets aside for doubles: so it does not find a larger epsilon


def delta_of(noise_multiplier: float, epsilon: float) -> float:
    """The delta at which one Gaussian release with this noise costs `epsilon`: equation (6) with Delta = 1."""
    shift, reach = 0.5 / noise_multiplier, epsilon * noise_multiplier
    return _below(shift - reach) - math.exp(epsilon) * _below(-shift - reach)


def noise_multiplier(epsilon: float, delta: float) -> float:
    """The least noise, rounded up to four decimals, with which one release costs at most (epsilon, delta).

    Raises ConfigError for a delta that is too small, or none.

    >>> noise_multiplier(1.0, 1e-5)
    3.7307
    """
    check_delta(delta)
    low, high = MIN_NOISE / 2, MAX_NOISE
    while high - low > 1e-6 * high:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if delta_of(middle, epsilon) <= delta - _ROUNDING else (middle, high)
    return max(MIN_NOISE, math.ceil(high * _DECIMALS) / _DECIMALS)


def _below(x: float) -> float:
    """The normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2))
