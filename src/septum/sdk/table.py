"""How does a silo's file become a Table?

CSV in UTF-8. A header is optional: the first row is one if any of its cells is a name of the app's columns. Then the
columns are found by name and others are left out. Without a header the file must have exactly the columns of
`septum.toml`, in that order.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from septum.errors import DataError
from septum.sdk.data import Float64, Table, missing_column
from septum.sdk.mapping import number_of

Marker: TypeAlias = str | float


def read_csv(
    path: Path, columns: Sequence[str], missing: Mapping[str, Sequence[Marker]] | None = None, target: str = ""
) -> Table:
    """Read the named columns. An empty cell is missing, and so is one equal to a column's markers.

    A marker that is a number, or a text that reads as one, is equal to that number however it is written.

    Raises:
        DataError: no file, no rows, a missing or doubled column, a row of another width, a cell that is no number.
    """
    rows = _rows(path)
    first_line, first = rows[0]
    header = any(cell in columns for cell in first)
    names = first if header else list(columns)
    body = rows[1:] if header else rows
    if not body:
        raise DataError(f"{path}: a header and no rows", hint="export the file again with its rows")
    for name in columns:
        if name not in names:
            raise missing_column(str(path), name, names)
        if names.count(name) > 1:
            raise DataError(f"{path}: column {name!r} is there {names.count(name)} times", hint="remove the others")
    for line, cells in body:
        if len(cells) != len(names):
            raise DataError(
                f"{path}, line {line}: {len(cells)} cells, {len(names)} are needed",
                hint=_order(columns) if not header else f"line {first_line} names the columns",
            )
    found: dict[str, Float64] = {}
    for name in columns:
        index = names.index(name)
        found[name] = _column(
            path,
            name,
            [(line, row[index]) for line, row in body],
            (missing or {}).get(name, ()),
            "" if header else _order(columns),
        )
    return Table(found, str(path), target)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, stripped cells) of each row that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8: {error}", hint=f"ls -l {path}") from error
    if not rows:
        raise DataError(f"{path}: the file is empty", hint="export the file again with its rows")
    return rows


def _column(path: Path, name: str, cells: Sequence[tuple[int, str]], markers: Sequence[Marker], order: str) -> Float64:
    texts = {"", *(marker for marker in markers if isinstance(marker, str))}
    numbers = {number_of(marker) if isinstance(marker, str) else float(marker) for marker in markers} - {None}
    values = np.empty(len(cells), np.float64)
    for position, (line, cell) in enumerate(cells):
        if cell in texts:
            values[position] = np.nan
            continue
        value = number_of(cell)
        if value is None:
            raise DataError(
                f"{path}, line {line}, column {name!r}: {cell!r} is no number",
                hint=order or f'if it means "missing": {name} = {{ missing = ["{cell}"] }} in septum.toml',
            )
        values[position] = np.nan if value in numbers else value
    return values


def _order(columns: Sequence[str]) -> str:
    return f"no header was found, so the columns are taken in the app's order: {', '.join(columns)}"
