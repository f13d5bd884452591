"""What is asked of the silos' data before any training? Counts, means, quantiles, histograms, tables: a small value.

A query is part of a plan, so all silos are asked the same, by its digest. It repeats of the app's data contract what it
needs; each silo compares that with the contract that its steward approved. There is no condition on rows in it: nobody
can ask about the patients of one ward, or about all but one. See docs/decisions/0014.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from septum.errors import ConfigError
from septum.protocol.codec import LATER

MAX_COLUMNS = 64
MAX_GROUPS = 256  # of one column
MAX_TABLES = 64
MAX_TABLE_CELLS = 2_500
MAX_QUANTILES = 99
FINE_BINS = 2_048  # in which quantiles are looked for
NOISY_BINS = 64  # and with noise: each bin has its own, and all below a quantile add up
MAX_EPSILON = 20.0
MAX_DELTA = 0.01
MIN_CELL = 5
LARGEST = 1e15  # of bounds and cuts


@dataclass(frozen=True, slots=True)
class Code:
    """A value that a column of codes may have, and what it means."""

    value: float
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Noise:
    """Each silo adds noise to its own numbers; all that it sends is (epsilon, delta)-differentially private.

    Unit: one row of the silo's table; adjacency: one row added or removed. See docs/decisions/0019.
    """

    epsilon: float
    delta: float = 1e-5

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("epsilon", self.epsilon, 0.01, MAX_EPSILON),
            ("delta", self.delta, 1e-9, MAX_DELTA),
        ):
            if not low <= value <= high:
                raise ConfigError(f"query: {name} must be between {low:g} and {high:g}, not {value:g}")


@dataclass(frozen=True, slots=True)
class QueryColumn:
    """What is asked about one column. Whatever it is, how many have a value and how many have none is told.

    unit              of its numbers
    whole             they are whole numbers
    minimum, maximum  what they may be, as in the contract; None where it does not say
    codes             of a column of codes, by value
    moments           mean and standard deviation
    quantiles         at these shares of those who have a value, increasing
    cuts              the groups that it is counted in: up to the first cut, above that up to the second, ..., above the
                      last; a column of codes without cuts is counted by code
    finest            how many bins its quantiles are looked for in, at most
    """

    name: str
    unit: str = ""
    whole: bool = False
    minimum: float | None = None
    maximum: float | None = None
    codes: tuple[Code, ...] = ()
    moments: bool = False
    quantiles: tuple[float, ...] = ()
    cuts: tuple[float, ...] = ()
    finest: int = field(default=FINE_BINS, metadata=LATER)

    def __post_init__(self) -> None:
        if self.codes and (self.moments or self.quantiles):
            raise _wrong(self.name, "codes have no mean and no quantiles", f"--cut {self.name}:VALUE counts them")
        if (self.moments or self.quantiles) and self._unbounded:
            raise _wrong(
                self.name,
                "a mean or a quantile takes the min and max of the app's data contract, and there are none",
                "write both in septum.toml, or count the column with --cut",
            )
        for what, values in (("quantiles", self.quantiles), ("cuts", self.cuts), ("codes", self._values)):
            if any(not abs(value) <= LARGEST for value in values) or list(values) != sorted(set(values)):
                raise _wrong(self.name, f"{what} are different numbers of at most {LARGEST:g}, in increasing order")
        if not 1 <= self.finest <= FINE_BINS:
            raise _wrong(self.name, f"quantiles are looked for in 1 to {FINE_BINS} bins, not {self.finest}")
        if len(self.quantiles) > MAX_QUANTILES or any(not 0 < at < 1 for at in self.quantiles):
            raise _wrong(self.name, f"quantiles are at most {MAX_QUANTILES} shares between 0 and 1, such as 0.5")
        if self.groups > MAX_GROUPS:
            raise _wrong(self.name, f"it would be counted in {self.groups} groups, at most {MAX_GROUPS}")

    @property
    def _unbounded(self) -> bool:
        low, high = self.minimum, self.maximum
        return low is None or high is None or not -LARGEST <= low < high <= LARGEST

    @property
    def _values(self) -> tuple[float, ...]:
        return tuple(code.value for code in self.codes)

    @property
    def groups(self) -> int:
        """How many groups it is counted in; 0 for a column of numbers without cuts."""
        return len(self.cuts) + 1 if self.cuts else len(self.codes)

    @property
    def bounds(self) -> tuple[float, float]:
        """Minimum and maximum, of a column that has both."""
        assert self.minimum is not None
        assert self.maximum is not None
        return self.minimum, self.maximum

    @property
    def fine_bins(self) -> int:
        """How many bins its quantiles are looked for in: one a value, where there are few whole numbers."""
        if not self.quantiles:
            return 0
        low, high = self.bounds
        values = math.floor(high) - math.ceil(low) + 1
        return max(1, values) if self.whole and values <= self.finest else self.finest

    def label(self, group: int) -> str:
        """What a group is, for people.

        >>> column = QueryColumn("age", cuts=(40.0, 60.0))
        >>> [column.label(group) for group in range(column.groups)]
        ['up to 40', 'above 40 to 60', 'above 60']
        >>> QueryColumn("sex", codes=(Code(0, "female"), Code(1))).label(0)
        '0 (female)'
        """
        if not self.cuts:
            code = self.codes[group]
            return f"{code.value:g} ({code.meaning})" if code.meaning else f"{code.value:g}"
        if group == 0:
            return f"up to {self.cuts[0]:g}"
        above = f"above {self.cuts[group - 1]:g}"
        return above if group == len(self.cuts) else f"{above} to {self.cuts[group]:g}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A table: the groups of one column by those of another."""

    rows: str
    columns: str


@dataclass(frozen=True, slots=True)
class Query:
    """All that is asked at one time.

    columns   by name, sorted: each is there once, with one grouping, so that no two of an answer can be subtracted
    tables    each pair of columns once
    min_cell  counts of fewer people than this, but for none at all, are not told; 1 tells every count, as a query with
              noise does: what is small is hidden in it
    noise     that each silo adds to what it sends; None for the exact sums
    """

    columns: tuple[QueryColumn, ...]
    tables: tuple[Pair, ...] = ()
    min_cell: int = MIN_CELL
    noise: Noise | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if not 1 <= len(names) <= MAX_COLUMNS or names != sorted(set(names)):
            raise ConfigError(f"a query is about 1 to {MAX_COLUMNS} columns, sorted by name, each of them once")
        if self.min_cell != 1 and not 3 <= self.min_cell <= 1_000:
            raise ConfigError(
                f"query: min_cell is {self.min_cell}; 1 tells every count, 3 to 1000 hide small ones",
                hint="with 2 only ones would be hidden, and whoever sees that something is hidden would know it",
            )
        if self.noise is not None and self.min_cell != 1:
            raise ConfigError(
                f"query: small counts are hidden in the noise or by min_cell, which is {self.min_cell}, not by both",
                hint="leave out --min-cell, or --epsilon",
            )
        if len({frozenset((pair.rows, pair.columns)) for pair in self.tables}) != len(self.tables):
            raise ConfigError("query: a table is there twice")
        if len(self.tables) > MAX_TABLES:
            raise ConfigError(f"query: {len(self.tables)} tables, at most {MAX_TABLES}")
        for pair in self.tables:
            self._check(pair)

    def _check(self, pair: Pair) -> None:
        if pair.rows == pair.columns:
            raise ConfigError(f"query: a table of {pair.rows} by itself")
        for name in (pair.rows, pair.columns):
            if not self.column(name).groups:
                raise _wrong(name, "a table takes groups, and it is a number", f"--cut {name}:50, say")
        if (cells := self.height(pair) * self.width(pair)) > MAX_TABLE_CELLS:
            raise ConfigError(f"query: {cells} cells in {pair.rows} by {pair.columns}, at most {MAX_TABLE_CELLS}")

    def column(self, name: str) -> QueryColumn:
        """One of its columns. Raises ConfigError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ConfigError(f"query: column {name!r} is in a table, and not in the query")

    def height(self, pair: Pair) -> int:
        """Rows of a table: the groups of its first column, and those without a value."""
        return self.column(pair.rows).groups + 1

    def width(self, pair: Pair) -> int:
        """Columns of a table, likewise."""
        return self.column(pair.columns).groups + 1

    def parts(self) -> Iterator[tuple[Part, int]]:
        """The numbers that silos sum up, in their order: of what, and how many.

        With noise the number of rows is one of them, and moments are a sum and a sum of squares (noisy_counting.py).
        """
        moments = 3 if self.noise is None else 2
        if self.noise is not None:
            yield Part("rows", ""), 1
        for column in self.columns:
            yield Part("present", column.name), 1
            yield Part("moments", column.name), moments if column.moments else 0
            yield Part("fine", column.name), column.fine_bins
            yield Part("groups", column.name), column.groups
        for pair in self.tables:
            yield Part("table", pair.rows, pair.columns), self.height(pair) * self.width(pair)

    @property
    def size(self) -> int:
        """How many numbers a silo sends."""
        return sum(count for _, count in self.parts())


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the numbers that are summed: `rows`; `present`, `moments`, `fine`, `groups` of one; a `table` of two."""

    kind: str
    column: str
    other: str = ""


# --- answers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quantile:
    """The smallest value that a share `at` of the people reach. None where too few are on one side of it.

    error  the true one is at most so far away, and is itself where it is 0; with noise in 95 of 100 answers
    """

    at: float
    value: float | None
    error: float


@dataclass(frozen=True, slots=True)
class ColumnAnswer:
    """About one column. None is not told, where it was asked.

    missing  without a value
    mean     and `sd`, the sample standard deviation: also None where they were not asked
    groups   counts by group
    mean_error, sd_error  standard errors that noise adds to them; 0 without
    """

    name: str
    present: int | None
    missing: int | None
    mean: float | None = None
    sd: float | None = None
    quantiles: tuple[Quantile, ...] = ()
    groups: tuple[int | None, ...] = ()
    mean_error: float = field(default=0.0, metadata=LATER)
    sd_error: float = field(default=0.0, metadata=LATER)


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """Counts of a table, row by row, the last row and column of those without a value; None is not told.

    chi_square  of those who have both values, in these groups; None where a cell of theirs is not told
    degrees     degrees of freedom
    odds_ratio  of a 2x2 table, with the interval that holds it in 95 % of all samples
    """

    rows: str
    columns: str
    cells: tuple[tuple[int | None, ...], ...]
    chi_square: float | None = None
    degrees: int | None = None
    p_value: float | None = None
    least_expected: float | None = None
    odds_ratio: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """The answer over all silos together. `rows`: patients; None where they are too few.

    count_error  standard error that noise adds to each count, of `missing` sqrt(2) times that; 0 without noise. Counts
                 are told as they come out, also below 0: cut off at 0 they would be too large on average
    """

    rows: int | None
    silos: tuple[str, ...]
    columns: tuple[ColumnAnswer, ...]
    tables: tuple[TableAnswer, ...] = ()
    count_error: float = field(default=0.0, metadata=LATER)


def _wrong(name: str, why: str, hint: str = "") -> ConfigError:
    return ConfigError(f"query: column {name!r}: {why}", hint=hint)
