"""Does DP-SGD protect a record as its epsilon says? A canary says at least how much it does not.

The adversary sees every noisy gradient, knows all records but one, and wants to know whether that one, the canary, is
there: the strongest that the claim is about. Its gradient points where no other does and is as long as it likes. From
how often he is right follows a lower bound on epsilon, with 95 % confidence (Clopper and Pearson 1934; Jagielski,
Ullman, Oprea 2020). It may not exceed the accounted epsilon; and where sampling, clipping or noise is taken out of the
source of the step, it must. Many canaries share a step, each in a coordinate of its own: they are drawn, clipped and
drowned in noise independently, so each is a trial. The bytes are seeded: a test that passes once passes always.
"""

from __future__ import annotations

import inspect
import math
from functools import cache

import numpy as np
from scipy import stats

from septum.adapters.accountant import epsilon_of
from septum.privacy import dp_sgd
from septum.privacy.dp_sgd import Settings

STEPS, CANARIES, REPEATS, DELTA = 4, 500, 50, 1e-3
TRIALS = CANARIES * REPEATS
SETTINGS = Settings(clip=1.0, noise_multiplier=1.0, sampling_rate=0.1, expected_batch=1.0)
POINT = {"w": np.zeros(CANARIES, np.float32)}
PRESENT = 1000 * np.eye(CANARIES, dtype=np.float32)
ABSENT = PRESENT[:0]

MUTATIONS = {
    "no sampling": ("poisson_sample(len(x), settings.sampling_rate, random)", "range(len(x))"),
    "no clipping": ("/ max(norm, clip)", "/ clip"),
    "no noise": ("total += discrete_gaussian(width, random)", "pass"),
}
LIMIT_OFF = ("<= self._limit**2", "<= math.inf")


def record_is_the_gradient(p, x, y, out):
    out["w"][:] = x


def mutated(*changes):
    """`noisy_gradient` from the module's source with something else in place of a line."""
    source = inspect.getsource(dp_sgd)
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space = {"__name__": dp_sgd.__name__}
    exec(compile(source, "mutated", "exec"), space)
    return space["noisy_gradient"]


def seen(step, x, seed):
    """What the adversary adds up in each trial: how much more likely each step's coordinate is with the canary."""
    random = np.random.default_rng(seed).bytes
    y = np.zeros(len(x), np.float32)
    runs = [
        sum(evidence(step(record_is_the_gradient, POINT, x, y, SETTINGS, random)["w"]) for _ in range(STEPS))
        for _ in range(REPEATS)
    ]
    return np.concatenate(runs)


def evidence(gradient):
    """The log of (1 - q) N(0, 1) + q N(1, 1) over N(0, 1) at what was seen: by Neyman and Pearson nothing is better."""
    return np.log1p(SETTINGS.sampling_rate * np.expm1(np.minimum(gradient, 100) - 0.5))


def least_epsilon(step):
    """Half of the trials choose the threshold, the other half say how good it is."""
    absent, present = seen(step, ABSENT, 1), seen(step, PRESENT, 2)
    half = TRIALS // 2
    thresholds = np.quantile(np.concatenate([absent[:half], present[:half]]), np.linspace(0.5, 0.9995, 100))
    best = max(thresholds, key=lambda t: bound(np.sum(absent[:half] > t), np.sum(present[:half] > t), half))
    return bound(np.sum(absent[half:] > best), np.sum(present[half:] > best), half)


def bound(false, true, trials, delta=DELTA, miss=0.025):
    """log((true positives - delta) / false positives), each at the bad end of an interval that misses it so often."""
    least_true = stats.beta.ppf(miss, true, trials - true + 1) if true else 0.0
    most_false = stats.beta.ppf(1 - miss, false + 1, trials - false) if false < trials else 1.0
    return math.log(max((least_true - delta) / most_false, 1e-300))


@cache
def accounted() -> float:
    return epsilon_of([SETTINGS.mechanism(STEPS)], DELTA)


@cache
def shown(missing: str = "") -> float:
    """The least epsilon of the step as it is shipped, or with something missing from it."""
    if not missing:
        return least_epsilon(dp_sgd.noisy_gradient)
    changes = [MUTATIONS[missing]]
    if missing == "no clipping":  # the check of the integers behind it would leave the record out
        changes.append(LIMIT_OFF)
    return least_epsilon(mutated(*changes))
