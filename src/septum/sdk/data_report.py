"""What do a silo's data look like to an app? Everything for the steward; for others only what names no small group.

A report holds counts and a few values of the silo's rows: it is shown in the silo and stays there. What is meant to
leave goes through `for_others`, whose result is another type, so that one cannot be taken for the other.

Assumptions of the suppression: the reader knows how it works and knows nothing else about these rows; the report is
told once (two reports of data that differ in one row differ by that row). It is a rule of statistical offices
against careless disclosure, not differential privacy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from septum.errors import ConfigError

LEAST = 10
MAX_SHOWN = 20  # columns that a sentence names


class Violation(Enum):
    """What is wrong with a value. It has one of these at most."""

    NOT_A_NUMBER = "not a number"
    NOT_WHOLE = "not a whole number"
    BELOW = "below the minimum"
    ABOVE = "above the maximum"
    UNMAPPED = "unmapped code"
    UNIT = "unit that cannot be converted"


class Suspicion(Enum):
    """What a person should look at."""

    UNIT = "unit"
    HIDDEN_MISSING = "hidden missing value"
    CONSTANT = "constant"
    EMPTY = "no value at all"
    SPARSE = "mostly missing"
    UNUSED_CODES = "codes that never occur"
    ONE_CLASS = "one class"


@dataclass(frozen=True, slots=True)
class Finding:
    """One suspicion, with the number of rows behind it; `message` names values and what to write."""

    what: Suspicion
    rows: int
    message: str


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """One column over all rows that were read: `present`, `missing` and `violations` add up to them.

    made        how it was made from the source's column; empty if it was taken as it is
    violations  rows by Violation.value, for those that occur
    examples    a few of the source's own cells by Violation.value
    counts      rows by code, for columns of codes
    low, middle, high  smallest, median and largest allowed value
    """

    name: str
    present: int
    missing: int
    made: str = ""
    violations: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    low: float | None = None
    middle: float | None = None
    high: float | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class DataReport:
    """A source held against a contract. `classes`: rows by value of the target, over all rows that were read."""

    rows: int
    kept: int
    duplicates: int
    target: str
    classes: Mapping[str, int]
    columns: tuple[ColumnReport, ...]

    @property
    def violations(self) -> int:
        """Values that the contract does not allow."""
        return sum(sum(column.violations.values()) for column in self.columns)


@dataclass(frozen=True, slots=True)
class SharedColumn:
    """What others may know of a column. None: a count is small, so none of the column is told."""

    name: str
    present: int | None
    missing: int | None
    violations: Mapping[str, int] | None
    suspicions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SharedReport:
    """What others may know of a silo's data. None: not told, since a group of fewer than `least` would show."""

    least: int
    rows: int | None
    kept: int | None
    duplicates: int | None
    classes: Mapping[str, int] | None
    columns: tuple[SharedColumn, ...]


def for_others(report: DataReport, least: int = LEAST) -> SharedReport:
    """What may leave the silo: no count below `least`, and none that a difference of told ones would reveal.

    Counts that add up to the same rows are told all or none: one withheld count among told ones would be their
    difference. No patient at all in a class says something of everybody, so a class with none counts as small; no
    missing value says nothing of anybody. Below 2 * `least` rows nothing is told.
    """
    if least < 3:
        raise ConfigError(f"least is {least}: below 3, knowing that a group is small is to know its size", hint="10")
    if report.rows < 2 * least:
        hidden = tuple(SharedColumn(column.name, None, None, None, ()) for column in report.columns)
        return SharedReport(least, None, None, None, None, hidden)
    columns = tuple(_shared_column(column, least) for column in report.columns)
    target = next((column for column in report.columns if column.name == report.target), None)
    beside = [target.missing, *target.violations.values()] if target else []
    classes_told = all(count >= least for count in report.classes.values()) and not _any_small(beside, least)
    # What was dropped are the rows with a violation; their number would complete a column that is withheld.
    all_told = all(column.present is not None for column in columns)
    kept_told = all_told and not _any_small((report.kept, report.rows - report.kept), least)
    return SharedReport(
        least=least,
        rows=report.rows,
        kept=report.kept if kept_told else None,
        duplicates=report.duplicates
        if not _any_small((report.duplicates, report.rows - report.duplicates), least)
        else None,
        classes=dict(report.classes) if classes_told else None,
        columns=columns,
    )


def _shared_column(column: ColumnReport, least: int) -> SharedColumn:
    if _any_small((column.present, column.missing, *column.violations.values()), least):
        return SharedColumn(column.name, None, None, None, ())
    rows = column.present + column.missing + sum(column.violations.values())
    told = [
        finding.what.value
        for finding in column.findings
        # A constant, or a code that nobody has, says something of every patient.
        if finding.what in (Suspicion.UNIT, Suspicion.HIDDEN_MISSING)
        and not _any_small((finding.rows, rows - finding.rows), least)
    ]
    return SharedColumn(column.name, column.present, column.missing, dict(column.violations), tuple(told))


def _any_small(counts: Iterable[int], least: int) -> bool:
    return any(0 < count < least for count in counts)


def refusal(source: str, report: DataReport) -> str:
    """Why these data are refused, for the silo's own eyes.

    >>> column = ColumnReport("chol", 7, 0, violations={"above the maximum": 3})
    >>> refusal("heart", DataReport(10, 10, 0, "num", {}, (column,)))
    'heart: 3 values violate the contract in 10 rows. chol: 3 above the maximum'
    """
    parts = [
        f"{column.name}: {', '.join(f'{count} {what}' for what, count in column.violations.items())}"
        for column in report.columns
        if column.violations
    ]
    return f"{source}: {report.violations} values violate the contract in {report.rows} rows. {_listed(parts)}"


def refusal_for_others(report: SharedReport) -> str:
    """The same for whoever asked for the run: classes with counts where they may be told, never a value.

    >>> refusal_for_others(SharedReport(10, 300, None, 0, None, (SharedColumn("chol", None, None, None, ()),)))
    'the data violate the contract; chol: fewer than 10 rows of some kind, so no count is told'
    """
    parts = []
    for column in report.columns:
        if column.violations is None:
            parts.append(f"{column.name}: fewer than {report.least} rows of some kind, so no count is told")
        elif column.violations:
            parts.append(f"{column.name}: {', '.join(f'{count} {what}' for what, count in column.violations.items())}")
    return f"the data violate the contract; {_listed(parts)}"


def _listed(parts: Sequence[str]) -> str:
    rest = len(parts) - MAX_SHOWN
    return "; ".join(parts[:MAX_SHOWN]) + (f"; and {rest} more columns" if rest > 0 else "")
