"""What must every Reader do? Subclass `ReaderContract`, name it `Test...`, and define `kind`, `source` and `gone`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from septum.errors import ConnectionFailedError, DataError
from septum.ports.reader import BATCH_ROWS, ReaderKind, Settings
from septum.sdk.cells import Batch, Cell, Quantity
from septum.sdk.mapping import number_of

COLUMNS: Mapping[str, Sequence[Cell]] = {
    "age": (63, 41.5, 70, -1),
    "sex": ("male", "female", "male", "female"),
    "chol": (233, None, 0.5, 1e6),
}


class ReaderContract(ABC):
    """The contract of `ports.reader.Reader`, as tests."""

    @abstractmethod
    def kind(self) -> ReaderKind:
        """The kind of source under test."""

    @abstractmethod
    def source(self, directory: Path, columns: Mapping[str, Sequence[Cell]]) -> Settings:
        """Make a source with these columns, texts and numbers; the settings by which it is opened."""

    @abstractmethod
    def gone(self, directory: Path) -> Settings:
        """Settings that name a source which is not there."""

    def read(self, settings: Settings, wanted: Sequence[str]) -> dict[str, list[Cell]]:
        """All rows, with the promises that hold for every batch checked."""
        found: dict[str, list[Cell]] = {}
        for batch in self.kind().open(settings).read(wanted):
            assert set(wanted) <= batch.keys()
            assert len({len(cells) for cells in batch.values()}) == 1
            assert 0 < len(next(iter(batch.values()))) <= BATCH_ROWS
            _check_cells(batch)
            for name, cells in batch.items():
                found.setdefault(name, []).extend(cells)
        return found

    def test_every_row_comes_with_its_cells(self, tmp_path: Path) -> None:
        """As they are in the source: a number may come as its text, and nothing as an empty one."""
        found = self.read(self.source(tmp_path, COLUMNS), tuple(COLUMNS))
        assert {name: [_plain(cell) for cell in found[name]] for name in COLUMNS} == {
            name: [_plain(cell) for cell in cells] for name, cells in COLUMNS.items()
        }

    def test_nothing_wanted_means_all_columns_in_the_sources_own_names(self, tmp_path: Path) -> None:
        """`septum silo data describe` shows them."""
        columns = {name: cells for name, cells in COLUMNS.items() if name != "chol"}
        assert self.read(self.source(tmp_path, columns), ()).keys() >= columns.keys()

    def test_the_order_of_rows_is_the_same_each_time(self, tmp_path: Path) -> None:
        """The dataset's digest is over the rows in their order."""
        settings = self.source(tmp_path, {"row": list(range(1000))})
        assert self.read(settings, ("row",)) == self.read(settings, ("row",))

    def test_many_rows_come_in_batches(self, tmp_path: Path) -> None:
        """None is lost or doubled at a batch's edge."""
        count = 2 * BATCH_ROWS + 1
        found = self.read(self.source(tmp_path, {"row": list(range(count))}), ("row",))["row"]
        assert [_plain(cell) for cell in found] == list(range(count))

    def test_a_column_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        """Before or while rows are read."""
        settings = self.source(tmp_path, COLUMNS)
        with pytest.raises(DataError, match="no_such_column"):
            self.read(settings, ("age", "no_such_column"))

    def test_an_error_quotes_no_cell(self, tmp_path: Path) -> None:
        """It may travel to people who must not see one."""
        settings = self.source(tmp_path, {"age": ("secret-cell",)})
        with pytest.raises(DataError) as refused:
            self.read(settings, ("age", "no_such_column"))
        assert "secret-cell" not in refused.value.message + refused.value.hint

    def test_a_source_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        """And never a table without rows."""
        with pytest.raises((DataError, ConnectionFailedError)):
            self.read(self.gone(tmp_path), ("age",))

    def test_opening_takes_every_setting_that_the_kind_names(self, tmp_path: Path) -> None:
        """Silo.toml is read by these names."""
        settings = self.source(tmp_path, COLUMNS)
        kind = self.kind()
        assert settings.keys() <= {setting.name for setting in kind.settings}
        assert {setting.name for setting in kind.settings if setting.needed} <= settings.keys()


def _check_cells(batch: Batch) -> None:
    for cells in batch.values():
        for cell in cells:
            assert cell is None or (isinstance(cell, str | int | float | Quantity) and not isinstance(cell, bool))


def _plain(cell: Cell) -> Cell:
    if isinstance(cell, str):
        number = number_of(cell)
        return cell or None if number is None else number
    return cell.value if isinstance(cell, Quantity) else cell
