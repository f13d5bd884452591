"""Readers keep the contract of their port."""

from __future__ import annotations

import csv

from septum.adapters.readers.registry import READERS
from septum.testing.contracts.reader import ReaderContract


class TestCsv(ReaderContract):
    def kind(self):
        return READERS["csv"]

    def source(self, directory, columns):
        path = directory / "rows.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(
                zip(*(["" if cell is None else cell for cell in cells] for cells in columns.values()), strict=True)
            )
        return {"path": str(path)}

    def gone(self, directory):
        return {"path": str(directory / "nothing.csv")}
