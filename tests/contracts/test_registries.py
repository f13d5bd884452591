"""Both registries keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.open import open_store
from septum.adapters.store.registry import SqlRegistry
from septum.ports.people import Organisation
from septum.testing.contracts.registry import RegistryContract
from septum.testing.fakes import MemoryRegistry


class TestSqliteRegistry(RegistryContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory: Path) -> Iterator[SqlRegistry]:
        with self.open(directory / "data") as stores:
            stores.people.add_organisation(Organisation("st-marys", "St Mary's", 0.0))
            yield stores.registry


class TestPostgresRegistry(InPostgres, TestSqliteRegistry):
    pass


class TestMemoryRegistry(RegistryContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryRegistry]:
        yield MemoryRegistry()
