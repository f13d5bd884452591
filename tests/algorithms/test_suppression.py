"""What is hidden stays hidden: each table that could be told so is gone through, and each hidden count may be two."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from septum.algorithms.suppression import LEAST, hidden_in_line, hidden_in_table


def told_line(counts, least):
    hidden = hidden_in_line(counts, least)
    return tuple(None if place in hidden else count for place, count in enumerate(counts))


def told_table(cells, least):
    """What a reader sees: the total, and margins and cells but for what is hidden."""
    rows, columns = [sum(row) for row in cells], [sum(column) for column in zip(*cells, strict=True)]
    in_rows, in_columns = hidden_in_line(rows, least), hidden_in_line(columns, least)
    hidden = hidden_in_table(cells, least, in_rows, in_columns)
    shown = tuple(
        tuple(None if (i, j) in hidden else count for j, count in enumerate(row)) for i, row in enumerate(cells)
    )
    return sum(rows), told_line(rows, least), told_line(columns, least), shown


def agrees(cells, told):
    """Whether a table fits all that is told, whatever rule was told by: arithmetic alone."""
    total, rows, columns, shown = told
    return (
        sum(map(sum, cells)) == total
        and all(want in (None, sum(row)) for want, row in zip(rows, cells, strict=True))
        and all(want in (None, sum(column)) for want, column in zip(columns, zip(*cells, strict=True), strict=True))
        and all(
            want in (None, count)
            for line, row in zip(shown, cells, strict=True)
            for want, count in zip(line, row, strict=True)
        )
    )


def compositions(total, places):
    """Every way to spread so many people over so many places."""
    if places == 1:
        yield (total,)
        return
    for first in range(total + 1):
        yield from ((first, *rest) for rest in compositions(total - first, places - 1))


@pytest.mark.parametrize(("groups", "most"), [(2, 14), (3, 14), (4, 12), (5, 10)])
def test_a_hidden_count_of_a_line_may_be_two_even_for_who_knows_the_rule(groups, most):
    least, hiding = 3, 0
    for total in range(least, most + 1):
        lines = defaultdict(list)
        for counts in compositions(total, groups):
            lines[told_line(counts, least)].append(counts)
        for told, fitting in lines.items():
            for place, count in enumerate(told):
                if count is None:
                    hiding += 1
                    assert len({counts[place] for counts in fitting}) > 1, (total, told)
    assert hiding > 20


@pytest.mark.laws
@pytest.mark.parametrize(("shape", "totals"), [((2, 2), (6, 20)), ((2, 3), (8, 13)), ((3, 3), (8,))])
def test_a_hidden_count_of_a_table_may_be_two_whatever_is_added_and_subtracted(shape, totals):
    least, rng, looked = 3, np.random.default_rng(5), 0
    for total in totals:
        every = [np.reshape(flat, shape).tolist() for flat in compositions(total, shape[0] * shape[1])]
        for index in rng.permutation(len(every))[:40]:
            looked += hidden_cells_may_be_two(every[index], every, least)
    assert looked > 20


def hidden_cells_may_be_two(cells, every, least):
    """How many small cells were looked at."""
    told, small = told_table(cells, least), 0
    fitting = [other for other in every if agrees(other, told)]
    assert cells in fitting
    for i, j in np.ndindex(len(cells), len(cells[0])):
        if 0 < cells[i][j] < least:
            small += 1
            assert told[3][i][j] is None
            assert len({other[i][j] for other in fitting}) > 1, (cells, told)
    for place, margin in enumerate(told[1]):
        if margin is None:
            assert len({sum(other[place]) for other in fitting}) > 1, (cells, told)
    for place, margin in enumerate(told[2]):
        if margin is None:
            assert len({sum(row[place] for row in other) for other in fitting}) > 1, (cells, told)
    return small


def moves(shape):
    """All smallest changes of a table that leave its margins as they are."""
    for i, k in product(range(shape[0]), repeat=2):
        for j, m in product(range(shape[1]), repeat=2):
            if i != k and j != m:
                move = np.zeros(shape, int)
                move[i, j] = move[k, m] = 1
                move[i, m] = move[k, j] = -1
                yield move


@pytest.mark.parametrize("seed", range(40))
def test_a_small_cell_of_a_large_table_could_be_one_more(seed):
    """With margins that nothing hides, by an exchange among four cells that are all hidden."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 60, (5, 6)) * (rng.random((5, 6)) > 0.2)
    for _ in range(3):
        cells[rng.integers(5), rng.integers(6)] = rng.integers(1, 5)
    hidden = hidden_in_table(cells.tolist(), 5)
    assert hidden == {(i, j) for i, j in np.ndindex(5, 6)} or all(cells[cell] for cell in hidden)
    for cell in zip(*np.nonzero((cells > 0) & (cells < 5)), strict=True):
        others = [
            move
            for move in moves(cells.shape)
            if move[cell] == 1
            and {*zip(*map(list, np.nonzero(move)), strict=True)} <= hidden
            and (cells + move >= 0).all()
        ]
        assert others


def test_nothing_is_hidden_where_no_count_is_small():
    assert hidden_in_line([5, 0, 7], 5) == frozenset()
    assert hidden_in_table([[5, 0], [0, 9]], 5) == frozenset()


def test_with_one_group_that_is_not_small_all_of_that_size_are_hidden():
    assert hidden_in_line([2, 8, 8, 9], 5) == {0, 1, 2}


def test_where_nothing_else_would_do_the_whole_table_is_hidden():
    assert hidden_in_table([[1, 30], [40, 0]], 5) == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_a_margin_that_is_hidden_cannot_be_added_up_from_its_cells():
    cells = [[3, 0, 0], [20, 30, 0], [50, 60, 7]]
    hidden = hidden_in_table(cells, 5, rows=[0, 1])
    assert {(0, 0), (1, 0), (1, 1)} <= hidden
    assert (2, 1) not in hidden


def test_who_sees_that_something_of_one_or_two_is_hidden_does_not_know_which():
    assert LEAST == 3
