"""How do a silo's data look to the people of the silo? A row a column, then what they should look at."""

from __future__ import annotations

from collections.abc import Mapping

from septum.cli.output import Answer, Json, Table, one_line
from septum.protocol.codec import to_json
from septum.sdk.data_report import ColumnReport, DataReport, SharedReport, for_others
from septum.silo.datasets import Dataset
from septum.silo.read_messages import Described, Made, Refused


def described(dataset: Dataset, found: Described) -> Answer:
    """The columns of a source."""
    rows = tuple(
        (column.name, column.kind, str(column.missing), str(column.distinct), one_line(", ".join(column.examples)))
        for column in found.columns
    )
    table = Table(("COLUMN", "HOLDS", "MISSING", "DISTINCT", "MOST FREQUENT"), rows, "it has no columns")
    more = f"the first {found.rows} rows" if found.more else f"{found.rows} rows"
    return Answer(to_json(found), (f"data.{dataset.name} ({dataset.source}), {more}", table))


def report(app: str, result: Made | Refused, *, shared: bool) -> Answer:
    """What an app would get."""
    if shared:
        told = for_others(result.report)
        return Answer({"app": app, "report": to_json(told)}, _shared(app, told))
    made = isinstance(result, Made)
    data: dict[str, Json] = {"app": app, "accepted": made, "report": to_json(result.report)}
    if isinstance(result, Made):
        data |= {"rows": result.rows, "digest": result.digest}
    whole = result.report
    dropped = f", {whole.rows - whole.kept} dropped" if whole.kept < whole.rows else ""
    lines = [
        f"app       {app}",
        f"rows      {whole.rows} read{dropped}; {whole.duplicates} repeat another one",
        f"classes   {_counts(whole.classes) or 'many values'} ({whole.target})",
    ]
    lines += [f"digest    {result.digest}"] if isinstance(result, Made) else []
    return Answer(data, ("\n".join(lines), _columns(whole), *_remarks(whole)))


def _columns(whole: DataReport) -> Table:
    rows = tuple(
        (
            column.name,
            str(column.present),
            str(column.missing),
            _values(column),
            _counts(column.violations) or "-",
            column.made or "-",
        )
        for column in whole.columns
    )
    return Table(("COLUMN", "PRESENT", "MISSING", "VALUES", "VIOLATIONS", "MADE"), rows)


def _values(column: ColumnReport) -> str:
    if column.counts:
        return ", ".join(f"{code}: {count}" for code, count in column.counts.items())
    if column.low is None or column.middle is None or column.high is None:
        return "-"
    return f"{column.low:g} .. {column.middle:g} .. {column.high:g}"


def _remarks(whole: DataReport) -> tuple[str, ...]:
    lines = [
        f"{column.name}: {what}, such as {', '.join(repr(cell) for cell in cells)}"
        for column in whole.columns
        for what, cells in column.examples.items()
    ]
    lines += [
        f"{column.name}: {finding.what.value}? {finding.message}"
        for column in whole.columns
        for finding in column.findings
    ]
    return ("\n".join(one_line(line) for line in lines),) if lines else ()


def _shared(app: str, told: SharedReport) -> tuple[str | Table, ...]:
    def number(count: int | None) -> str:
        return "not told" if count is None else str(count)

    rows = tuple(
        (
            column.name,
            number(column.present),
            number(column.missing),
            "not told" if column.violations is None else _counts(column.violations) or "-",
            ", ".join(column.suspicions) or "-",
        )
        for column in told.columns
    )
    classes = "not told" if told.classes is None else _counts(told.classes)
    lines = (
        f"app       {app}\n"
        f"rows      {number(told.rows)} read, {number(told.kept)} kept, {number(told.duplicates)} repeat another one\n"
        f"classes   {classes}\n"
        f"not told  where a group of fewer than {told.least} would show"
    )
    return lines, Table(("COLUMN", "PRESENT", "MISSING", "VIOLATIONS", "LOOK AT"), rows)


def _counts(counts: Mapping[str, int]) -> str:
    """Counts by name in one line.

    >>> _counts({"0": 164, "1": 139})
    '0: 164, 1: 139'
    """
    return ", ".join(f"{name}: {count}" for name, count in counts.items())
