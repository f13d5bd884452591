"""How do rows that are to be predicted become an app's table? As the silo's own data do, but for the target.

The file, or the rows of a request, are in the names, units and codes that `[data.NAME]` of silo.toml maps. What the
contract does not allow is refused, naming rows and columns: a prediction from a value that means something else is
worse than none. All of it stays in the silo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.errors import ConfigError, DataError, did_you_mean
from septum.ports.reader import Reader, SettingValue
from septum.sdk.cells import Batch, Cell
from septum.sdk.contract import Column, Role
from septum.sdk.data import Table
from septum.sdk.mapping import ColumnPlan
from septum.sdk.score_rows import plans_for, table_of
from septum.silo.datasets import Dataset
from septum.silo.sources import reader_kind

_OF_CSV = ("delimiter", "encoding", "decimal")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows, in their order. `ids`: columns of the source that stand beside the predictions, as texts."""

    table: Table
    ids: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.table)


def plans_of(dataset: Dataset, columns: Mapping[str, Column]) -> tuple[ColumnPlan, ...]:
    """How each column but the target is made."""
    return plans_for(f"[data.{dataset.name}.columns]", columns, dataset.columns)


def read_rows(path: Path, dataset: Dataset, columns: Mapping[str, Column], ids: Sequence[str] = ()) -> Rows:
    """The rows of a CSV or Parquet file.

    `ids`: columns to stand beside the predictions; empty for all that the app does not read, but for its target.
    Raises DataError naming file, rows and columns; ConfigError for an id that is not there.
    """
    plans, reader = plans_of(dataset, columns), _reader(path, dataset)
    sources = tuple(dict.fromkeys(plan.source for plan in plans))
    others = _others(path, reader, dataset, columns, sources)
    named = tuple(ids) or others
    if len(set(named)) != len(named):
        raise ConfigError(f"--id names a column twice: {', '.join(named)}")
    found: dict[str, list[str]] = {name: [] for name in named}

    def noted() -> Iterator[Batch]:
        for batch in reader.read((*sources, *(name for name in named if name not in sources))):
            for name in named:
                found[name] += [_text(cell) for cell in batch[name]]
            yield batch

    return Rows(table_of(str(path), noted(), plans), found)


def rows_of_batch(batch: Batch, dataset: Dataset, columns: Mapping[str, Column], where: str) -> Table:
    """The rows of a request. Raises DataError naming rows and columns."""
    return table_of(where, [batch], plans_of(dataset, columns))


def _reader(path: Path, dataset: Dataset) -> Reader:
    """A CSV file is read as the silo's own is, if that is one; it has a header."""
    if path.suffix.lower() == ".parquet":
        return reader_kind("parquet").open({"path": str(path)})
    kept: dict[str, SettingValue] = {"path": str(path)}
    if dataset.source == "csv":
        kept |= {name: value for name, value in dataset.settings.items() if name in _OF_CSV}
    return reader_kind("csv").open(kept)


def _others(
    path: Path, reader: Reader, dataset: Dataset, columns: Mapping[str, Column], sources: Sequence[str]
) -> tuple[str, ...]:
    """The columns that the app does not read. Raises DataError for one that it reads and that is not there."""
    targets = [name for name, column in columns.items() if column.role is Role.TARGET]
    target = {dataset.columns[name].source or name if name in dataset.columns else name for name in targets}
    first = next(reader.read(()), None)
    if first is None:
        raise DataError(f"{path}: no rows", hint="the first line of a CSV file names the columns, rows follow")
    names = tuple(first)
    for name in sources:
        if name not in names:
            raise DataError(
                f"{path}: no column {name!r}; {did_you_mean(name, names)}",
                hint="add the column; the first line of a CSV file names them all",
            )
    return tuple(name for name in names if name not in sources and name not in target)


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:.17g}" if isinstance(cell, float) else str(cell)
