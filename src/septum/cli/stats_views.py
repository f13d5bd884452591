"""How do statistics over silos look to people? A row a column, then a table a grouping; what is not told says so."""

from __future__ import annotations

import math
from collections.abc import Sequence

from septum.cli.output import Answer, Json, Table
from septum.cli.views import when
from septum.protocol.codec import to_json
from septum.protocol.query import ColumnAnswer, Noise, Query, QueryAnswer, QueryColumn, TableAnswer
from septum.protocol.views import RunView

HIDDEN = "hidden"
DROWNED = "in the noise"


def statistics(run: str, query: Query, answer: QueryAnswer) -> Answer:
    """The answer of a run."""
    columns = [(query.column(one.name), one) for one in answer.columns]
    blocks: list[str | Table] = [_head(run, query, answer), _columns(columns, noisy=query.noise is not None)]
    blocks += [_quantiles(column, one) for column, one in columns if column.quantiles]
    blocks += [_groups(column, one) for column, one in columns if column.groups]
    for table in answer.tables:
        blocks += _table(query, table)
    data: dict[str, Json] = {
        "run": run,
        "rows": answer.rows,
        "silos": list(answer.silos),
        "min_cell": query.min_cell,
        "noise": _noise_json(query, answer),
        "columns": [_column_json(column, one) for column, one in columns],
        "tables": [_table_json(query, table) for table in answer.tables],
    }
    return Answer(data, tuple(blocks))


def questions(found: Sequence[RunView]) -> Answer:
    """A page of runs that ask."""
    rows = tuple(
        (
            view.id,
            f"{view.app.name} {view.app.version}",
            view.project or "-",
            view.submitter or "-",
            view.status.value,
            str(len(view.silos)),
            when(view.created_at),
        )
        for view in found
    )
    table = Table(
        ("RUN", "APP", "PROJECT", "BY", "STATUS", "SILOS", "ASKED"),
        rows,
        "nothing was asked yet: septum stats run APP --columns A,B",
    )
    return Answer({"runs": [to_json(view) for view in found]}, (table,))


def _head(run: str, query: Query, answer: QueryAnswer) -> str:
    lines = [
        f"run       {run}",
        f"rows      {_count(answer.rows)}, of {', '.join(answer.silos)} together",
        f"hidden    {_rule(query.min_cell)}" if query.noise is None else f"noise     {_noise(query.noise, answer)}",
    ]
    return "\n".join(lines)


def _noise(noise: Noise, answer: QueryAnswer) -> str:
    """What it hides, and how large it is; what is below 0 is shown as it came out, so that sums stay right."""
    said = (
        f"epsilon {noise.epsilon:g} at delta {noise.delta:g} for each row of a silo; it moves each count by"
        f" {answer.count_error:.3g} (standard error), a missing one by {math.sqrt(2) * answer.count_error:.3g}"
    )
    groups = (count for column in answer.columns for count in (column.present, column.missing, *column.groups))
    cells = (count for table in answer.tables for row in table.cells for count in row)
    if any(count is not None and count < 0 for count in (*groups, *cells)):
        said += "\n          a count below 0 is noise: few people, or none"
    return said


def _noise_json(query: Query, answer: QueryAnswer) -> Json:
    if query.noise is None:
        return None
    return {"epsilon": query.noise.epsilon, "delta": query.noise.delta, "count_error": answer.count_error}


def _rule(min_cell: int) -> str:
    if min_cell == 1:
        return "nothing: every count is told"
    return f"counts of 1 to {min_cell - 1}, and what would give them back"


def _columns(columns: Sequence[tuple[QueryColumn, ColumnAnswer]], *, noisy: bool) -> Table:
    rows = tuple(
        (
            one.name,
            "code" if column.codes else column.unit or "-",
            _count(one.present),
            _count(one.missing),
            _moment(one.mean, one.mean_error, noisy=noisy) if column.moments else "-",
            _moment(one.sd, one.sd_error, noisy=noisy) if column.moments else "-",
        )
        for column, one in columns
    )
    return Table(("COLUMN", "UNIT", "PRESENT", "MISSING", "MEAN", "SD"), rows)


def _quantiles(column: QueryColumn, one: ColumnAnswer) -> Table:
    rows = tuple(
        (f"{found.at:g}", _number(found.value), "exact" if not found.error else f"+- {found.error:.3g}")
        if found.value is not None
        else (f"{found.at:g}", HIDDEN, "-")
        for found in one.quantiles
    )
    return Table((f"QUANTILE OF {column.name.upper()}", column.unit.upper() or "VALUE", "ERROR"), rows)


def _groups(column: QueryColumn, one: ColumnAnswer) -> Table:
    rows = tuple((column.label(group), _count(count)) for group, count in enumerate(one.groups))
    unit = f" ({column.unit})" if column.unit else ""
    return Table((f"{column.name.upper()}{unit}", "PEOPLE"), rows)


def _table(query: Query, table: TableAnswer) -> tuple[Table, str]:
    down, across = query.column(table.rows), query.column(table.columns)
    head = (f"{table.rows.upper()} \\ {table.columns.upper()}", *_labels(across))
    rows = tuple(
        (label, *(_count(count) for count in row)) for label, row in zip(_labels(down), table.cells, strict=True)
    )
    return Table(head, rows), _tested(table, noisy=query.noise is not None)


def _labels(column: QueryColumn) -> list[str]:
    return [*(column.label(group) for group in range(column.groups)), "missing"]


def _tested(table: TableAnswer, *, noisy: bool) -> str:
    if noisy:
        return "chi-square: none, it takes counts without noise"
    if table.chi_square is None or table.p_value is None:
        return "chi-square: none, for counts are hidden or fewer than two groups have people"
    degrees = "1 degree" if table.degrees == 1 else f"{table.degrees} degrees"
    said = f"chi-square {table.chi_square:.4g} with {degrees} of freedom, p = {table.p_value:.3g}"
    if table.least_expected is not None and table.least_expected < 5:
        said += f" (rough: a count of {table.least_expected:.2g} was to be expected)"
    if table.odds_ratio:
        value, low, high = table.odds_ratio
        said += f"; odds ratio {value:.4g}, 95 % interval {low:.4g} to {high:.4g}"
    return said


def _column_json(column: QueryColumn, one: ColumnAnswer) -> dict[str, Json]:
    body = to_json(one)
    assert isinstance(body, dict)
    labels = [column.label(group) for group in range(column.groups)]
    groups: list[Json] = [{"group": label, "count": count} for label, count in zip(labels, one.groups, strict=True)]
    return {**body, "unit": column.unit, "groups": groups, "minimum": column.minimum, "maximum": column.maximum}


def _table_json(query: Query, table: TableAnswer) -> dict[str, Json]:
    body = to_json(table)
    assert isinstance(body, dict)
    down, across = query.column(table.rows), query.column(table.columns)
    return {**body, "row_groups": _labels(down), "column_groups": _labels(across)}


def _count(count: int | None) -> str:
    return HIDDEN if count is None else str(count)


def _moment(value: float | None, error: float, *, noisy: bool) -> str:
    if noisy:
        return DROWNED if value is None else f"{value:.6g} +- {error:.2g}"
    return _number(value)


def _number(value: float | None) -> str:
    return HIDDEN if value is None else f"{value:.6g}"
