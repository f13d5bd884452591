"""What does a silo add to an answer? Whole numbers, counted over its table by septum's own code and no app's.

All of them are whole numbers of at most 2^53, which float64 holds exactly. So the sum over silos is the number that all
rows together would give, to the bit, however they are spread: the mean and the deviation too. For these a value is
counted in steps from a centre, both made from the contract's bounds alone: the step is the smallest power of two that
leaves at most 2^26 steps, so whole numbers in a range of 2^27 are exact, and any other is off by half a step at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from septum.errors import DataError
from septum.protocol.query import Pair, Part, Query, QueryColumn

MAX_ROWS = 2**26  # of one silo: sums of that many steps are whole numbers below 2^53
_BITS = 26
_BLOCK = 65_536  # rows at one time, so that a large table stays on its disk

Values = NDArray[np.float64]
Groups = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Steps:
    """How a column's values become whole numbers: (value - centre) / step, rounded."""

    centre: float
    step: float


def steps_of(column: QueryColumn) -> Steps:
    """Of a column with bounds.

    >>> steps_of(QueryColumn("age", minimum=18.0, maximum=110.0))
    Steps(centre=64.0, step=9.5367431640625e-07)
    """
    low, high = column.bounds
    step = 2.0 ** math.ceil(math.log2((high - low) / 2) - _BITS)
    return Steps(round((low / 2 + high / 2) / step) * step, step)


def count(query: Query, table: Mapping[str, Values]) -> Values:
    """What these rows add to each number of the answer, in the order of `Query.parts`: (query.size,) whole numbers.

    Raises DataError for a value that the contract's bounds or codes do not allow, and for too many rows.
    """
    rows = len(table[query.columns[0].name])
    if rows > MAX_ROWS:
        raise DataError(f"{rows} rows; statistics are made of {MAX_ROWS} at most")
    sums = np.zeros(query.size, np.int64)
    for start in range(0, rows, _BLOCK):
        block = {column.name: table[column.name][start : start + _BLOCK] for column in query.columns}
        sums += _count(query, block)
    return sums.astype(np.float64)


def _count(query: Query, block: Mapping[str, Values]) -> NDArray[np.int64]:
    groups = {column.name: groups_of(column, block[column.name]) for column in query.columns if column.groups}
    pieces = []
    for part, size in query.parts():
        if size:
            pieces.append(piece(query, part, block, groups))
    return np.concatenate(pieces)


def piece(query: Query, part: Part, block: Mapping[str, Values], groups: Mapping[str, Groups]) -> NDArray[np.int64]:
    """What these rows add to one part of a query; `groups` as `groups_of` finds them, of each column that has some."""
    column = query.column(part.column)
    if part.kind == "table":
        height, width = (query.column(name).groups + 1 for name in (part.column, part.other))
        return np.bincount(groups[part.column] * width + groups[part.other], minlength=height * width)
    if part.kind == "groups":
        return np.bincount(groups[part.column], minlength=column.groups + 1)[: column.groups]
    present = block[part.column]
    present = present[~np.isnan(present)]
    if part.kind == "present":
        return np.array([len(present)], np.int64)
    _check_bounds(column, present)
    if part.kind == "fine":
        return np.bincount(fine_bins(column, present), minlength=column.fine_bins)
    steps = steps_of(column)
    whole = np.rint((present - steps.centre) / steps.step).astype(np.int64)
    squares = whole * whole
    return np.array([whole.sum(), (squares >> _BITS).sum(), (squares & (2**_BITS - 1)).sum()], np.int64)


def _check_bounds(column: QueryColumn, present: Values) -> None:
    low, high = column.bounds
    wrong = int(((present < low) | (present > high)).sum())
    if wrong:
        raise DataError(f"column {column.name!r}: {wrong} values are not from {low:g} to {high:g}")


def groups_of(column: QueryColumn, values: Values) -> Groups:
    """The group of each row; of one without a value, the number of groups."""
    missing = np.isnan(values)
    if column.cuts:
        found = np.searchsorted(np.array(column.cuts), values, side="left")
    else:
        codes = np.array([code.value for code in column.codes])
        found = np.minimum(np.searchsorted(codes, values), len(codes) - 1)
        unknown = int((~missing & (codes[found] != values)).sum())
        if unknown:
            raise DataError(f"column {column.name!r}: {unknown} values are none of its codes")
    found = found.astype(np.int64)
    found[missing] = column.groups
    return found


def fine_bins(column: QueryColumn, present: Values) -> Groups:
    """The bin of each value, of those in which quantiles are looked for."""
    low, high = column.bounds
    if is_by_value(column):
        return (present - math.ceil(low)).astype(np.int64)
    found = np.floor((present - low) / (high - low) * column.fine_bins).astype(np.int64)
    return np.minimum(found, column.fine_bins - 1)


def is_by_value(column: QueryColumn) -> bool:
    """Whether each of its fine bins is one value."""
    low, high = column.bounds
    return column.whole and column.fine_bins == math.floor(high) - math.ceil(low) + 1


def fine_value(column: QueryColumn, place: int) -> tuple[float, float]:
    """What a fine bin stands for, and by how much a value in it may differ from that.

    >>> fine_value(QueryColumn("age", whole=True, minimum=18.0, maximum=110.0, quantiles=(0.5,)), 37)
    (55.0, 0.0)
    >>> fine_value(QueryColumn("chol", minimum=0.0, maximum=1024.0, quantiles=(0.5,)), 3)
    (1.75, 0.25)
    """
    low, high = column.bounds
    if is_by_value(column):
        return float(math.ceil(low) + place), 0.0
    width = (high - low) / column.fine_bins
    return low + (place + 0.5) * width, width / 2


def table_shape(query: Query, pair: Pair) -> tuple[int, int]:
    """Rows and columns of a table, those without a value included."""
    return query.height(pair), query.width(pair)
