"""Which counts must not be told, so that no small one can be worked out from those that are?

A count of 1 to `least` - 1 people is small. It is hidden, and with it as many others as it takes (complementary
suppression): whoever knows everything else that is told, the totals too, finds at least two values for each
hidden count, all whole and none negative, that fit. A line (the groups of one column) is told with its total. A table's
margins are two such lines, told with what these hide; so the table hides enough for them, too.

This is a rule for one answer. Two answers about other groups of the same people can be subtracted from each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

LEAST = 3  # with 2 the only small count is 1, and who sees that something is hidden knows it

Cell = tuple[int, int]  # row, column
Cells = Sequence[Sequence[int]]


def hidden_in_line(counts: Sequence[int], least: int) -> frozenset[int]:
    """Which of a line's counts are hidden, where their total is told.

    The small ones, and the smallest of the others: exchange it with a small one, and the same are hidden, so even who
    knows this rule cannot tell which is which. Where there are no others all are hidden.

    >>> sorted(hidden_in_line([40, 2, 9, 0, 30], least=5))
    [1, 2]
    """
    small = {place for place, count in enumerate(counts) if 0 < count < least}
    large = [count for count in counts if count >= least]
    if not small:
        return frozenset()
    if not large:
        return frozenset(range(len(counts)))
    return frozenset(small | {place for place, count in enumerate(counts) if count == min(large)})


def hidden_in_table(
    cells: Cells, least: int, rows: Collection[int] = (), columns: Collection[int] = ()
) -> frozenset[Cell]:
    """Which cells of a table are hidden, where its margins are told but for those of these `rows` and `columns`.

    For each small cell others are hidden along which it could be one more: two in its row and column that are not
    small, and the one across. Nothing less would do, and where that is not to be had all is hidden.

    >>> sorted(hidden_in_table([[2, 20, 30], [25, 9, 40], [60, 70, 80]], least=5))
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    table = _Table(cells, least, frozenset(rows), frozenset(columns))
    small = [cell for cell, count in table.counts() if 0 < count < least]
    hidden = {cell for cell, count in table.counts() if count and (cell[0] in rows or cell[1] in columns)} | {*small}
    for cell in small:
        way = min(table.ways(cell), key=lambda way: (table.cost(way, hidden), way), default=None)
        if way is None:
            return table.everything
        hidden |= {*way}
    if not all(table.margin_moves(place, hidden) for place in (*((row, None) for row in rows), *_columns(columns))):
        return table.everything
    return frozenset(hidden)


def _columns(columns: Iterable[int]) -> Iterator[tuple[None, int]]:
    return ((None, column) for column in columns)


class _Table:
    """The counts, and which of the margins are hidden."""

    def __init__(self, cells: Cells, least: int, rows: frozenset[int], columns: frozenset[int]) -> None:
        self._cells, self._least = cells, least
        self._hidden_rows, self._hidden_columns = rows, columns
        self._rows, self._columns = range(len(cells)), range(len(cells[0]))
        self.everything = frozenset((row, column) for row in self._rows for column in self._columns)

    def counts(self) -> Iterator[tuple[Cell, int]]:
        """Each cell and its count."""
        return (((row, column), self._cells[row][column]) for row in self._rows for column in self._columns)

    def cost(self, way: Iterable[Cell], hidden: Collection[Cell]) -> int:
        """How many people more are hidden."""
        return sum(self._cells[row][column] for row, column in way if (row, column) not in hidden)

    def ways(self, cell: Cell) -> Iterator[tuple[Cell, ...]]:
        """The cells that have to be hidden so that this one could be one more, and nothing that is told be other."""
        row, column = cell
        for other in self._hidden_rows - {row} if row in self._hidden_rows else ():
            if self._cells[other][column] >= self._least:
                yield ((other, column),)
        for other in self._hidden_columns - {column} if column in self._hidden_columns else ():
            if self._cells[row][other] >= self._least:
                yield ((row, other),)
        for across in self._rows:
            for along in self._columns:
                corners = ((row, along), (across, column), (across, along))
                if across != row and along != column and self._bears(corners):
                    yield corners

    def _bears(self, corners: Sequence[Cell]) -> bool:
        along, across, opposite = (self._cells[row][column] for row, column in corners)
        return min(along, across) >= self._least and opposite > 0

    def margin_moves(self, place: tuple[int | None, int | None], hidden: Collection[Cell]) -> bool:
        """Whether the hidden margin of a row or a column could be one more, or one less, for all that is told."""
        row, column = place
        for cell, count in self.counts():
            if cell in hidden and count and (cell[0] == row or cell[1] == column):
                for other in self._beside(cell, by_row=row is not None):
                    if other in hidden and max(count, self._cells[other[0]][other[1]]) > 1 and self._count(other):
                        return True
        return False

    def _beside(self, cell: Cell, *, by_row: bool) -> Iterator[Cell]:
        """The cells whose margin is hidden too, in the same column of another row, or the other way about."""
        if by_row:
            return ((row, cell[1]) for row in self._hidden_rows - {cell[0]})
        return ((cell[0], column) for column in self._hidden_columns - {cell[1]})

    def _count(self, cell: Cell) -> int:
        return self._cells[cell[0]][cell[1]]
