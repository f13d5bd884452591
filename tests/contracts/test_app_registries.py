"""Both registries of apps keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.adapters.store.apps import SqliteApps
from septum.adapters.store.sqlite import open_store
from septum.testing.contracts.apps import AppsContract
from septum.testing.fakes import MemoryApps


class TestSqliteApps(AppsContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[SqliteApps]:
        with open_store(directory / "data") as stores:
            yield stores.apps


class TestMemoryApps(AppsContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryApps]:
        yield MemoryApps()
