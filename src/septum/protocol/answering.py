"""How do sums over all silos become an answer, and what of it is not told?

Small counts are hidden here, before anything is stored or shown (algorithms/suppression.py). Whatever else would give
one back is not told either: the mean of a column of which it is hidden how many have a value (it is a fraction, and its
denominator shows), quantiles beside groups that are hidden, means of whole numbers beside groups as narrow as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from septum.algorithms.chi_square import chi_square, odds_ratio
from septum.algorithms.suppression import hidden_in_line, hidden_in_table
from septum.errors import TensorError
from septum.protocol.counting import fine_value, steps_of, table_shape
from septum.protocol.query import ColumnAnswer, Pair, Part, Quantile, Query, QueryAnswer, QueryColumn, TableAnswer

Sums = Mapping[Part, list[int]]


def answer(query: Query, silos: Sequence[str], rows: float, sums: NDArray[np.float64]) -> QueryAnswer:
    """The answer, from the summed numbers of silos that have so many rows. Raises TensorError for what cannot be."""
    found = _parts(query, sums)
    total = _whole(rows)
    lines = {column.name: _line(column, found, total) for column in query.columns}
    hidden = {name: hidden_in_line(line, query.min_cell) for name, line in lines.items()}
    told = total >= query.min_cell
    return QueryAnswer(
        rows=total if told else None,
        silos=tuple(silos),
        columns=tuple(
            _column(query, column, found, lines[column.name], hidden[column.name]) for column in query.columns
        ),
        tables=tuple(_table(query, pair, found, lines, hidden) for pair in query.tables),
    )


def _whole(value: float) -> int:
    if value != int(value):
        raise TensorError(f"a summed count is {value!r}: a silo sent what cannot be")
    return int(value)


def _parts(query: Query, sums: NDArray[np.float64]) -> Sums:
    if sums.shape != (query.size,):
        raise TensorError(f"the silos summed numbers of shape {sums.shape}, the query has ({query.size},)")
    found, start = {}, 0
    for part, size in query.parts():
        found[part] = [_whole(value) for value in sums[start : start + size].tolist()]
        start += size
        if part.kind != "moments" and any(count < 0 for count in found[part]):
            raise TensorError(f"a summed count of {part.column} is negative: a silo sent what cannot be")
    return found


def _line(column: QueryColumn, found: Sums, total: int) -> list[int]:
    """How many are in each group, or have a value where there are no groups; last, how many have none."""
    (present,) = found[Part("present", column.name)]
    counts = found[Part("groups", column.name)] or [present]
    fine = found[Part("fine", column.name)]
    if sum(counts) != present or (fine and sum(fine) != present) or present > total:
        raise TensorError(
            f"column {column.name!r}: of {total} rows {present} have a value, and {sum(counts)} and {sum(fine)} were "
            "counted: a silo sent what cannot be"
        )
    return [*counts, total - present]


def _column(
    query: Query, column: QueryColumn, found: Sums, line: Sequence[int], hidden: frozenset[int]
) -> ColumnAnswer:
    present, missing = sum(line[:-1]), line[-1]
    open_ = len(line) - 1 not in hidden and not (hidden and not column.groups)
    if present + missing < query.min_cell:
        open_ = False
    mean, sd = (None, None)
    if column.moments and open_ and present >= query.min_cell and not (hidden and _narrow(column)):
        mean, sd = _moments(column, found[Part("moments", column.name)], present)
    quantiles = _quantiles(query, column, found[Part("fine", column.name)], told=open_ and not hidden)
    return ColumnAnswer(
        name=column.name,
        present=present if open_ else None,
        missing=missing if open_ else None,
        mean=mean,
        sd=sd,
        quantiles=quantiles,
        groups=tuple(None if place in hidden else count for place, count in enumerate(line[:-1]) if column.groups),
    )


def _narrow(column: QueryColumn) -> bool:
    """Whether one of its groups may be of one whole number: then the mean tells how many are in two that are hidden."""
    low, high = column.bounds
    edges = [low - 1, *(cut for cut in column.cuts if low <= cut < high), high]
    return column.whole and any(math.floor(after) - math.floor(before) < 2 for before, after in pairwise(edges))


def _moments(column: QueryColumn, sums: Sequence[int], present: int) -> tuple[float, float | None]:
    """Mean and sample standard deviation, each rounded once from the exact fraction."""
    steps = steps_of(column)
    total, high, low = sums
    squares = (high << 26) + low
    mean = Fraction(steps.centre) + Fraction(steps.step) * Fraction(total, present)
    spread = Fraction(present * squares - total * total, present)
    if spread < 0:
        raise TensorError(f"column {column.name!r}: the squares sum to less than they can: a silo sent what cannot be")
    if present < 2:
        return float(mean), None
    return float(mean), math.sqrt(float(spread / (present - 1))) * steps.step


def _quantiles(query: Query, column: QueryColumn, fine: Sequence[int], *, told: bool) -> tuple[Quantile, ...]:
    """Of two that are asked, both are told only if `min_cell` people or more lie between them, and beyond."""
    present, before, answers = sum(fine), 0, []
    ends = list(accumulate(fine))
    for at in column.quantiles:
        rank = max(1, math.ceil(at * present))
        near = rank - before < query.min_cell or present - rank < query.min_cell
        if not told or (near and query.min_cell > 1) or not present:
            answers.append(Quantile(at, None, 0.0))
            continue
        before = rank
        place = next(place for place, end in enumerate(ends) if end >= rank)
        answers.append(Quantile(at, *fine_value(column, place)))
    return tuple(answers)


def _table(
    query: Query,
    pair: Pair,
    found: Sums,
    lines: Mapping[str, Sequence[int]],
    hidden: Mapping[str, frozenset[int]],
) -> TableAnswer:
    height, width = table_shape(query, pair)
    flat = found[Part("table", pair.rows, pair.columns)]
    cells = [flat[row * width : (row + 1) * width] for row in range(height)]
    margins = [sum(row) for row in cells], [sum(column) for column in zip(*cells, strict=True)]
    if margins != (list(lines[pair.rows]), list(lines[pair.columns])):
        raise TensorError(f"the table {pair.rows} by {pair.columns} does not add up: a silo sent what cannot be")
    secret = hidden_in_table(cells, query.min_cell, hidden[pair.rows], hidden[pair.columns])
    if sum(margins[0]) < query.min_cell:
        secret = frozenset((row, column) for row in range(height) for column in range(width))
    shown = tuple(
        tuple(None if (row, column) in secret else count for column, count in enumerate(line))
        for row, line in enumerate(cells)
    )
    known = [row[:-1] for row in cells[:-1]]
    answered = TableAnswer(pair.rows, pair.columns, shown)
    if any(count is None for row in shown[:-1] for count in row[:-1]):
        return answered
    return _tested(answered, known)


def _tested(table: TableAnswer, cells: Sequence[Sequence[int]]) -> TableAnswer:
    """With the test of whether rows and columns go together, from counts that are told."""
    tested, odds = chi_square(cells), odds_ratio(cells)
    return TableAnswer(
        table.rows,
        table.columns,
        table.cells,
        chi_square=None if tested is None else tested.statistic,
        degrees=None if tested is None else tested.degrees,
        p_value=None if tested is None else tested.p_value,
        least_expected=None if tested is None else tested.least_expected,
        odds_ratio=() if odds is None else (odds.value, odds.low, odds.high),
    )
