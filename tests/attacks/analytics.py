"""Whose statistics are read out of sums? With two silos each one's, by the other; with more, what the journals allow.

`statistics` are summed once and are part of the model, so every silo that gets the model has the sums. They are the
silos' real summands (rows, sums and sums of squares of each column), masked and summed by the machines of both sides.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from tests.attacks.differencing import ATTACKS, Coordinator, Made, number
from tests.attacks.rows import Row, Verdict
from tests.silo.masked_parts import FOUR, SEVEN

from septum.protocol import payload, tensors
from septum.protocol.contents import STATISTICS
from septum.protocol.messages import Stage
from septum.sdk import stats
from septum.sdk.data import Data

TEST = "test_analytics"
EXACT = 1e-9
Numbers = Mapping[str, np.ndarray]


def summands(silo: str) -> dict[str, np.ndarray]:
    """A silo's own: of two columns of its patients."""
    rng = np.random.default_rng([29, SEVEN.index(silo)])
    rows = 40 + 10 * SEVEN.index(silo)
    data = Data.of({"age": rng.normal(54, 9, rows), "chol": rng.normal(246, 51, rows)}, rng.integers(0, 2, rows) * 1.0)
    found = stats.mean_and_std().summands(data)
    return {f"mean_and_std.{name}": value for name, value in found.items()}


def sent(silo: str) -> bytes:
    return tensors.encode(payload.prepared_tensors(summands(silo), None))


STATISTICS_OF = Made(sent, Stage.PREPARE, base="", round=0)


def asked(
    sets: Sequence[tuple[Sequence[str], Sequence[str]]], min_cohort: int = 3
) -> tuple[list[Numbers], Mapping[str, str]]:
    """The sums over these sets, each as the silos of a run and those summed, up to the first that is refused."""
    found: list[Numbers] = []
    with tempfile.TemporaryDirectory() as folder:
        coordinator = Coordinator(Path(folder), journaled=True, min_cohort=min_cohort)
        for attempt, (silos, survivors) in enumerate(sets, 1):
            one = coordinator.sum(silos, survivors, attempt, STATISTICS_OF)
            if one is None:
                break
            found.append(one.numbers)
    return found, coordinator.refused


def off(guess: Numbers, silo: str) -> float:
    """The largest relative error of a guess at a silo's statistics."""
    return max(
        float(np.abs((guess[STATISTICS + name] - value) / value).max()) for name, value in summands(silo).items()
    )


def minus(one: Numbers, *others: Numbers) -> Numbers:
    return {name: one[name] - sum(other[name] for other in others) for name in others[0]}


def mine(silo: str) -> Numbers:
    return {STATISTICS + name: value for name, value in summands(silo).items()}


@cache
def by_a_silo(silos: int) -> float:
    """How far off the first silo is about the second, when it takes itself out of the sum over so many."""
    names = FOUR[:silos]
    (total,), _ = asked([(names, names)], min_cohort=min(3, silos))
    return off(minus(total, mine(names[0])), names[1])


@cache
def by_a_coordinator(attack: str) -> float | tuple[str, ...]:
    """How far off a coordinator is by one of the sets of differencing.py; or who refused."""
    of = ATTACKS[attack]
    found, refused = asked([(silos, survivors) for silos, survivors, _ in of.asked])
    if refused:
        return tuple(sorted(refused))
    factors = [factor for _, _, factor in of.asked]
    total = {
        STATISTICS + name: sum(f * one[STATISTICS + name] for f, one in zip(factors, found, strict=True))
        for name in summands(of.about)
    }
    return off(total, of.about)


def rows() -> list[Row]:
    found = []
    for silos, told in ((2, "the other's rows, means and spreads"), (3, "the sum of the two others")):
        error = by_a_silo(silos)
        verdict = Verdict.SUCCEEDS if error < EXACT else Verdict.FAILS
        figure = f"{told}{', to rounding' if error < EXACT else ' alone'}"
        held = f"one of {silos} silos: the statistics over all, and its own"
        found.append(Row("taking oneself out of `statistics`", held, verdict, figure, TEST))
    for attack, of in ATTACKS.items():
        got = by_a_coordinator(attack)
        sets = ", ".join("{" + ",".join(map(number, survivors)) + "}" for _, survivors, _ in of.asked)
        held = f"masked `statistics` of one app over {sets}; silos with their journals"
        if isinstance(got, tuple):
            who = ", ".join(sorted(map(number, got)))
            found.append(Row(attack, held, Verdict.REFUSED, f"by silo{'s' * (len(got) > 1)} {who}", TEST))
        else:
            verdict = Verdict.SUCCEEDS if got < EXACT else Verdict.FAILS
            figure = f"silo {number(of.about)}'s rows, means and spreads, to rounding"
            found.append(Row(attack, held, verdict, figure, TEST))
    return found
