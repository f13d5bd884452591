"""What does a silo add to an answer with noise? Whole numbers as well: counts and sums on a grid, and an exact draw.

What is asked falls into shares: the number of rows; of each column those who have a value, its sum, its sum of
squares, its quantiles, its groups; each table. One row changes each share by at most one unit in L2: a count by 1, a
histogram or a table in one cell, a sum by half the contract's range, a sum of squares by the square of that. So k
shares together change by at most sqrt(k), and all of them get noise of sqrt(k) times the multiplier that the query's
epsilon takes (privacy/gaussian): equal shares, whatever is asked.

A unit is `unit_of(query)` steps of a grid of whole numbers, rounded down, and the noise is `SIGMA` steps of the
discrete Gaussian (privacy/noise): that one row changes the sum by at most what is accounted for is a matter of
integers.

Unit: one row of the table. Adjacency: one row added or removed; to replace one is to do both. Claim: what is returned
is (epsilon, delta)-differentially private, whatever the other silos do, because each adds all of the noise by itself.
Assumptions: as in `privacy.noise`; bounds, codes and cuts were fixed without looking at the rows. Values beyond the
bounds are taken as the bound, and values that are no code as missing: an error would tell that they are there. What
voids it: returning it twice, with noise that was drawn anew, and paying once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from septum.errors import DataError
from septum.privacy.gaussian import noise_multiplier
from septum.privacy.noise import SIGMA, RandomBytes, discrete_gaussian
from septum.protocol.counting import MAX_ROWS, Groups, Values, groups_of, piece
from septum.protocol.query import Part, Query, QueryColumn

_BLOCK = 65_536  # rows at one time, as in counting.py


def shares_of(query: Query) -> int:
    """Into how many equal shares its budget falls.

    >>> shares_of(Query((QueryColumn("age", minimum=18.0, maximum=110.0, moments=True, quantiles=(0.5,)),)))
    5
    """
    return 1 + sum(_shares(part, size) for part, size in query.parts() if part.kind != "rows")


def _shares(part: Part, size: int) -> int:
    if not size:
        return 0
    return 2 if part.kind == "moments" else 1


def unit_of(query: Query) -> int:
    """How many steps of the grid a count of 1 is. `SIGMA / unit_of` is the noise on a count of one silo."""
    assert query.noise is not None
    multiplier = noise_multiplier(query.noise.epsilon, query.noise.delta)
    return int(SIGMA / (multiplier * math.sqrt(shares_of(query))))


def count_with_noise(query: Query, table: Mapping[str, Values], random: RandomBytes) -> Values:
    """What may leave of these rows, in the order of `Query.parts`: (query.size,) whole numbers, steps of the grid.

    Raises DataError for too many rows.
    """
    sums = units(query, table)
    sums += discrete_gaussian(query.size, random)
    return sums.astype(np.float64)


def units(query: Query, table: Mapping[str, Values]) -> NDArray[np.int64]:
    """The same without noise: it may not leave."""
    rows = len(table[query.columns[0].name])
    if rows > MAX_ROWS:
        raise DataError(f"{rows} rows; statistics are made of {MAX_ROWS} at most")
    sums, unit = np.zeros(query.size, np.int64), unit_of(query)
    for start in range(0, rows, _BLOCK):
        block = {one.name: _allowed(one, table[one.name][start : start + _BLOCK]) for one in query.columns}
        groups = {one.name: groups_of(one, block[one.name]) for one in query.columns if one.groups}
        sums += np.concatenate([_piece(query, part, block, groups, unit) for part, size in query.parts() if size])
    return sums


def _piece(
    query: Query, part: Part, block: Mapping[str, Values], groups: Mapping[str, Groups], unit: int
) -> NDArray[np.int64]:
    if part.kind == "rows":
        return np.array([unit * len(block[query.columns[0].name])], np.int64)
    if part.kind != "moments":
        return unit * piece(query, part, block, groups)
    column = query.column(part.column)
    centre, half = middle_of(column)
    present = block[part.column]
    place = ((present[~np.isnan(present)] - centre) / half).clip(-1, 1)
    steps = [(unit * values).astype(np.int64).sum() for values in (place, place * place)]  # cut towards zero
    return np.array(steps, np.int64)


def middle_of(column: QueryColumn) -> tuple[float, float]:
    """The middle of a column's range, and half its width."""
    low, high = column.bounds
    return low / 2 + high / 2, high / 2 - low / 2


def _allowed(column: QueryColumn, values: Values) -> Values:
    """The values, those that the contract does not allow as near as it does."""
    if column.codes:
        codes = np.array([code.value for code in column.codes])
        return np.where(np.isin(values, codes), values, np.nan)
    low = -np.inf if column.minimum is None else column.minimum
    high = np.inf if column.maximum is None else column.maximum
    clipped: Values = np.clip(values, low, high)  # what is missing stays missing
    return clipped
