"""How do sums with noise become an answer? As they come out, each with the error that the noise adds.

The sum of silos has the noise of each of them, so a count of S silos is off by sqrt(S) times what one silo's is.
Nothing is hidden and nothing is cut off: small counts are hidden in the noise. All that is done here is done to
numbers that may be seen, so none of it costs anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from septum.errors import TensorError
from septum.privacy.noise import SIGMA
from septum.protocol.counting import fine_value
from septum.protocol.noisy_counting import middle_of, unit_of
from septum.protocol.query import ColumnAnswer, Part, Quantile, Query, QueryAnswer, QueryColumn, TableAnswer

CERTAIN = 2.0  # standard errors on each side: 95 % of a normal distribution
_ENOUGH = 4.0  # times its own error has to be what a mean or a deviation is divided by
_ROUNDED = 1 / 12  # variance of rounding to a whole number

Numbers = Mapping[Part, NDArray[np.float64]]


def noisy_answer(query: Query, silos: Sequence[str], sums: NDArray[np.float64]) -> QueryAnswer:
    """The answer, from the summed numbers of these silos. Raises TensorError for sums of another query."""
    if sums.shape != (query.size,):
        raise TensorError(f"the silos summed numbers of shape {sums.shape}, the query has ({query.size},)")
    unit = unit_of(query)
    found: dict[Part, NDArray[np.float64]] = {}
    start = 0
    for part, size in query.parts():
        found[part] = sums[start : start + size] / unit
        start += size
    error = math.sqrt(len(silos)) * SIGMA / unit
    return QueryAnswer(
        rows=_count(found[Part("rows", "")][0]),
        silos=tuple(silos),
        columns=tuple(_column(column, found, error) for column in query.columns),
        tables=tuple(_table(query, part, values) for part, values in found.items() if part.kind == "table"),
        count_error=math.sqrt(error**2 + _ROUNDED),
    )


def _count(value: float) -> int:
    return round(float(value))


def _column(column: QueryColumn, found: Numbers, error: float) -> ColumnAnswer:
    rows, present = found[Part("rows", "")][0], found[Part("present", column.name)][0]
    mean, sd, mean_error, sd_error = _moments(column, found, float(present), error)
    return ColumnAnswer(
        name=column.name,
        present=_count(present),
        missing=_count(rows - present),
        mean=mean,
        sd=sd,
        quantiles=_quantiles(column, found[Part("fine", column.name)], error),
        groups=tuple(_count(value) for value in found[Part("groups", column.name)]),
        mean_error=mean_error,
        sd_error=sd_error,
    )


def _moments(
    column: QueryColumn, found: Numbers, present: float, error: float
) -> tuple[float | None, float | None, float, float]:
    """Mean, deviation and their errors; None where the noise is nearly as large as what they are made of.

    In units of half the range about its middle: m = S / n and v = Q / n - m^2, whose errors follow from those of S, Q
    and n, independent and equal, by their first derivatives.
    """
    if not column.moments or present < _ENOUGH * error:
        return None, None, 0.0, 0.0
    centre, half = middle_of(column)
    mean, square = (float(value) / present for value in found[Part("moments", column.name)])
    mean_error = error * math.sqrt(1 + mean**2) / present
    told = centre + half * min(1.0, max(-1.0, mean))
    variance = square - mean**2
    variance_error = error * math.sqrt(1 + 4 * mean**2 + (2 * mean**2 - square) ** 2) / present
    if variance < _ENOUGH * variance_error:
        return told, None, half * mean_error, 0.0
    sd = math.sqrt(variance * present / (present - 1))
    return told, half * sd, half * mean_error, half * variance_error / (2 * sd)


def _quantiles(column: QueryColumn, fine: NDArray[np.float64], error: float) -> tuple[Quantile, ...]:
    """Each in the bins where it may be: those that the noise does not rule out, tried one by one.

    The quantile at `at` is in bin b if less than that share is below b, and not less up to its end. How much is
    lacking, (1 - at) sum(up to b) - at sum(above b), has a normal error that is known; it rules b out beyond CERTAIN
    of these.
    """
    if not column.quantiles:
        return ()
    ends = np.arange(1, len(fine) + 1)
    up_to, total = np.cumsum(fine), float(fine.sum())
    answers = []
    for at in column.quantiles:
        over = up_to - at * total  # (bins,)
        spread = CERTAIN * error * np.sqrt((1 - at) ** 2 * ends + at**2 * (len(fine) - ends))
        may_begin = np.concatenate([[True], over[:-1] < spread[:-1]])
        may_end = np.concatenate([over[:-1] >= -spread[:-1], [True]])
        places = np.flatnonzero(may_begin & may_end)
        if not places.size:
            answers.append(Quantile(at, None, 0.0))
            continue
        (low, width), (high, _) = (fine_value(column, int(place)) for place in (places[0], places[-1]))
        answers.append(Quantile(at, (low + high) / 2, (high - low) / 2 + width))
    return tuple(answers)


def _table(query: Query, part: Part, values: NDArray[np.float64]) -> TableAnswer:
    """The cells. There is no test of them: chi-square takes counts without noise."""
    width = query.column(part.other).groups + 1
    cells = [_count(value) for value in values]
    rows = tuple(tuple(cells[start : start + width]) for start in range(0, len(cells), width))
    return TableAnswer(part.column, part.other, rows)
