"""Do two groupings of the same people go together? Pearson's chi-square of a table of counts; the odds ratio of a 2x2.

The p-value is the chance of a statistic at least as large if they did not: the regularised upper incomplete gamma
function Q(dof/2, x/2), by its series (DLMF 8.11.4) or its continued fraction (DLMF 8.9.2, evaluated as Lentz does).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MAX_TERMS = 100_000
_NORMAL_95 = 1.959963984540054  # 97.5 % of a standard normal distribution lies below
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """Pearson's statistic without a correction, its degrees of freedom, and the chance of one as large.

    least_expected  the smallest count that was to be expected: below 5 the p-value is a rough one
    """

    statistic: float
    degrees: int
    p_value: float
    least_expected: float


@dataclass(frozen=True, slots=True)
class OddsRatio:
    """(a d) / (b c) of the table [[a, b], [c, d]], with Woolf's interval, which holds it in 95 % of all samples."""

    value: float
    low: float
    high: float


def chi_square(cells: Sequence[Sequence[int]]) -> ChiSquare | None:
    """Of a table of counts; rows and columns without anybody are left out. None where fewer than two are left.

    >>> found = chi_square([[20, 30], [30, 20]])
    >>> found.statistic, found.degrees, round(found.p_value, 6), found.least_expected
    (4.0, 1, 0.0455, 25.0)
    """
    rows = [row for row in cells if any(row)]
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    if len(rows) < 2 or len(columns) < 2:
        return None
    in_rows = [sum(row) for row in zip(*columns, strict=True)]
    in_columns = [sum(column) for column in columns]
    total = sum(in_rows)
    terms, least = [], math.inf
    for column, in_column in zip(columns, in_columns, strict=True):
        for count, in_row in zip(column, in_rows, strict=True):
            expected = in_row * in_column / total
            terms.append((count - expected) ** 2 / expected)
            least = min(least, expected)
    statistic, degrees = math.fsum(terms), (len(rows) - 1) * (len(columns) - 1)
    return ChiSquare(statistic, degrees, upper_gamma(degrees / 2, statistic / 2), least)


def odds_ratio(cells: Sequence[Sequence[int]]) -> OddsRatio | None:
    """Of a 2x2 table; None of any other, and where a count is 0, which leaves no interval.

    >>> found = odds_ratio([[10, 20], [5, 40]])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (4.0, 1.205, 13.283)
    """
    if [len(row) for row in cells] != [2, 2] or not all(count for row in cells for count in row):
        return None
    (a, b), (c, d) = cells
    value = a * d / (b * c)
    half = _NORMAL_95 * math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return OddsRatio(value, value * math.exp(-half), value * math.exp(half))


def upper_gamma(a: float, x: float) -> float:
    """Q(a, x), for a > 0 and x >= 0.

    >>> round(upper_gamma(0.5, 1.0), 12) == round(math.erfc(1.0), 12)
    True
    """
    if x == 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    return 1.0 - front * _series(a, x) if x < a + 1 else min(1.0, front * _fraction(a, x))


def _series(a: float, x: float) -> float:
    """Sum of x^k / (a (a+1) .. (a+k)): the lower function, divided by x^a e^-x."""
    term = total = 1 / a
    for k in range(1, MAX_TERMS):
        term *= x / (a + k)
        total += term
        if term < total * 1e-17:
            break
    return total


def _fraction(a: float, x: float) -> float:
    """1/(x+1-a - 1(1-a)/(x+3-a - 2(2-a)/(x+5-a - ...))): the upper function, divided by x^a e^-x."""
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    value = d
    for k in range(1, MAX_TERMS):
        factor = -k * (k - a)
        b += 2
        d = factor * d + b
        d = 1 / (d if abs(d) > _TINY else _TINY)
        c = b + factor / c
        c = c if abs(c) > _TINY else _TINY
        value *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return value
