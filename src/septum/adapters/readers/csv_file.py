"""How are rows read from a CSV file? As hospitals export them: other separators, encodings and decimal commas, too.

A header is optional, as in sdk/table.py: the first row is one if any of its cells is a wanted name. Without one the
columns are the wanted ones in their order, or those that the setting `names` lists.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.readers.columns import places
from septum.errors import ConfigError, DataError
from septum.ports.reader import BATCH_ROWS, ReaderKind, Setting, SettingKind, Settings
from septum.sdk.cells import Batch
from septum.sdk.mapping import number_of

ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16")
_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A Reader of one file."""

    path: Path
    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    names: tuple[str, ...] = ()

    def read(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """All rows. Blank lines are left out."""
        rows = self._rows()
        first = next(rows, None)
        if first is None:
            raise DataError(f"{self.path}: the file is empty", hint="export the file again with its rows")
        names, header = self._names(first, wanted)
        where = places(str(self.path), names, wanted)
        gathered: list[list[str]] = [] if header else [self._checked(first, names, first[0], header)]
        for row in rows:
            gathered.append(self._checked(row, names, first[0], header))
            if len(gathered) == BATCH_ROWS:
                yield self._batch(gathered, where)
                gathered = []
        if gathered:
            yield self._batch(gathered, where)

    def _names(self, first: tuple[int, list[str]], wanted: Sequence[str]) -> tuple[list[str], bool]:
        """The columns, and whether the first row names them."""
        cells = first[1]
        if self.names:
            return list(self.names), False
        if wanted:
            header = any(cell in wanted for cell in cells)
            return (cells, True) if header else (list(wanted), False)
        if any(number_of(cell) is not None for cell in cells):
            return [str(place) for place in range(1, len(cells) + 1)], False
        return cells, True

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line number, stripped cells) of each row that is not blank."""
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        try:
            with self.path.open(encoding=encoding, newline="") as file:
                reader = csv.reader(file, strict=True, delimiter=self.delimiter)
                for cells in reader:
                    if cells:
                        yield reader.line_num, [cell.strip() for cell in cells]
        except (OSError, UnicodeError, csv.Error) as error:
            raise DataError(
                f"{self.path}: cannot be read as CSV in {self.encoding.upper()}: {error}", hint=f"ls -l {self.path}"
            ) from error

    def _checked(self, row: tuple[int, list[str]], names: Sequence[str], first_line: int, header: bool) -> list[str]:
        line, cells = row
        if len(cells) != len(names):
            order = f"no header was found, so the columns are taken in this order: {', '.join(names)}"
            raise DataError(
                f"{self.path}, line {line}: {len(cells)} cells, {len(names)} are needed",
                hint=f"line {first_line} names the columns" if header else order,
            )
        return cells

    def _batch(self, rows: Sequence[Sequence[str]], where: dict[str, int]) -> Batch:
        columns = {name: [row[place] for row in rows] for name, place in where.items()}
        if self.decimal == ",":
            return {name: [_with_point(cell) for cell in cells] for name, cells in columns.items()}
        return columns


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell


def open_csv(settings: Settings) -> CsvFile:
    """The file that `[data.NAME]` describes. Raises ConfigError."""
    delimiter = str(settings.get("delimiter", ","))
    encoding = str(settings.get("encoding", "utf-8")).lower()
    decimal = str(settings.get("decimal", "."))
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise ConfigError(f"delimiter is {delimiter!r}, one character is needed", hint='write: delimiter = ";"')
    if encoding not in ENCODINGS:
        raise ConfigError(f"encoding is {encoding!r}, one of {', '.join(ENCODINGS)} is needed", hint='"latin-1"')
    if decimal not in (".", ","):
        raise ConfigError(f"decimal is {decimal!r}, a point or a comma is possible", hint='write: decimal = ","')
    names = settings.get("names", ())
    assert isinstance(names, tuple)
    return CsvFile(Path(str(settings["path"])), delimiter, encoding, decimal, names)


CSV = ReaderKind(
    (
        Setting("path", SettingKind.PATH, needed=True),
        Setting("delimiter"),
        Setting("encoding"),
        Setting("decimal"),
        Setting("names", SettingKind.TEXTS),
    ),
    open_csv,
)
