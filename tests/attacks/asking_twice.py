"""A patient came between two answers: what does who has both learn of that patient, with and without noise?

Subtracting is the attack that hiding small counts does not stop: all counts are large, before and after. Without
noise it tells the patient's groups and values. With noise the adversary may know all other rows and has only to say
whether the one is there, by the best test there is: for Gaussian noise the sum of all numbers, each as the row would
change it (Neyman and Pearson). Each answer has noise of its own, so trials are binomial, and true positives must stay
below e^epsilon * false positives + delta. Noise that is made for one share where there are many must be found out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from tests.attacks.rows import Row, Verdict
from tests.privacy.canary import bound

from septum.protocol import noisy_counting
from septum.protocol.answering import answer
from septum.protocol.counting import count
from septum.protocol.noisy_counting import units
from septum.protocol.query import Code, Noise, Pair, Query, QueryColumn

TEST = "test_asking_twice"
EPSILON, DELTA, TRIALS = 1.0, 1e-5, 2000
AGE = QueryColumn("age", "years", True, 18.0, 110.0, moments=True, cuts=(40.0, 60.0, 80.0))
CHOL = QueryColumn("chol", "mg/dl", False, 0.0, 700.0, moments=True, cuts=(200.0, 240.0))
SEX = QueryColumn("sex", codes=(Code(0.0, "female"), Code(1.0, "male")))
EXACT = Query((AGE, CHOL, SEX), (Pair("sex", "age"), Pair("sex", "chol")))
NOISY = Query((AGE, CHOL, SEX), EXACT.tables, 1, Noise(EPSILON, DELTA))
PATIENT = {"age": 110.0, "chol": 700.0, "sex": 1.0}  # as unlike the others as the contract allows

MUTATIONS = {
    "noise for one share alone": ("multiplier * math.sqrt(shares_of(query))", "multiplier"),
    "no noise": ("sums += discrete_gaussian(query.size, random)", "pass"),
}
Rows = dict[str, np.ndarray]


def others(count: int) -> Rows:
    rng = np.random.default_rng(31)
    return {
        "age": rng.integers(18, 100, count).astype(float),
        "chol": rng.normal(230, 60, count).clip(100, 650).round(1),
        "sex": rng.integers(0, 2, count).astype(float),
    }


def joined(rows: Rows) -> Rows:
    return {name: np.append(values, PATIENT[name]) for name, values in rows.items()}


# --- without noise ---------------------------------------------------------------------------------------------------


@cache
def by_subtracting() -> dict[str, float]:
    """What the difference of two exact answers, small counts hidden, says of the patient between them."""
    before, after = others(600), joined(others(600))
    one, two = (answer(EXACT, ["a", "b", "c"], len(rows["age"]), count(EXACT, rows)) for rows in (before, after))
    said = {}
    for earlier, later in zip(one.columns[:2], two.columns[:2], strict=True):
        said[earlier.name] = later.present * later.mean - earlier.present * earlier.mean
    grown = [later - earlier for earlier, later in zip(one.columns[2].groups, two.columns[2].groups, strict=True)]
    said["sex"] = float(grown.index(1))
    return said


# --- with noise ----------------------------------------------------------------------------------------------------


def mutated(missing: str) -> Callable[..., np.ndarray]:
    """`count_with_noise`, or the same from the module's source with something taken out of it."""
    if not missing:
        return noisy_counting.count_with_noise
    source, (old, new) = inspect.getsource(noisy_counting), MUTATIONS[missing]
    assert source.count(old) == 1, old
    space = {"__name__": noisy_counting.__name__}
    exec(compile(source.replace(old, new), "mutated", "exec"), space)
    return space["count_with_noise"]


@dataclass(frozen=True)
class Shown:
    """Of as many answers with the patient as without: how many were said to have them. `epsilon`: at least this."""

    true: int
    false: int
    trials: int
    epsilon: float


@cache
def by_the_best_test(missing: str = "") -> Shown:
    """Half of the answers choose the threshold, the other half say how good it is."""
    made, rest = mutated(missing), others(20)
    change = (units(NOISY, joined(rest)) - units(NOISY, rest)).astype(float)
    scores = {
        there: np.array(
            [made(NOISY, rows, np.random.default_rng([37, there, trial]).bytes) @ change for trial in range(TRIALS)]
        )
        for there, rows in ((0, rest), (1, joined(rest)))
    }
    half = TRIALS // 2
    absent, present = (scores[there] for there in (0, 1))
    seen = np.unique(np.concatenate([absent[:half], present[:half]]))
    thresholds = ((seen[1:] + seen[:-1]) / 2)[:: max(1, len(seen) // 200)]
    chosen = max(thresholds, key=lambda t: bound(np.sum(absent[:half] >= t), np.sum(present[:half] >= t), half, DELTA))
    false, true = int(np.sum(absent[half:] >= chosen)), int(np.sum(present[half:] >= chosen))
    return Shown(true, false, half, bound(false, true, half, DELTA))


def rows() -> list[Row]:
    said = by_subtracting()
    off = max(abs(said[name] - value) for name, value in PATIENT.items())
    told = "age, cholesterol and sex, to rounding" if off < 1e-3 else "not the patient"
    held = "two answers without noise, small counts hidden, before and after a patient came"
    found = [Row("asking twice", held, Verdict.SUCCEEDS if off < 1e-3 else Verdict.FAILS, told, TEST)]
    for missing in ("", *MUTATIONS):
        shown = by_the_best_test(missing)
        how = f", of a silo with {missing}" if missing else ""
        held = f"all rows but one, and an answer with noise of epsilon {EPSILON:g} at delta {DELTA:g}{how}"
        figure = (
            f"true positives {shown.true / shown.trials:.2f} at {shown.false / shown.trials:.2f}; "
            f"epsilon is {max(shown.epsilon, 0):.2f} at least"
        )
        verdict = Verdict.SUCCEEDS if shown.epsilon > EPSILON else Verdict.FAILS
        found.append(Row("whether a patient is in an answer", held, verdict, figure, TEST))
    return found
