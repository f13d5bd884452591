"""Both registries of apps keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.apps import SqlApps
from septum.adapters.store.open import open_store
from septum.testing.contracts.apps import AppsContract
from septum.testing.fakes import MemoryApps


class TestSqliteApps(AppsContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory: Path) -> Iterator[SqlApps]:
        with self.open(directory / "data") as stores:
            yield stores.apps


class TestPostgresApps(InPostgres, TestSqliteApps):
    pass


class TestMemoryApps(AppsContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryApps]:
        yield MemoryApps()
