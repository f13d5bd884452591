"""Both registries keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.adapters.store.registry import SqliteRegistry
from septum.adapters.store.sqlite import open_store
from septum.ports.people import Organisation
from septum.testing.contracts.registry import RegistryContract
from septum.testing.fakes import MemoryRegistry


class TestSqliteRegistry(RegistryContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[SqliteRegistry]:
        with open_store(directory / "data") as stores:
            stores.people.add_organisation(Organisation("st-marys", "St Mary's", 0.0))
            yield stores.registry


class TestMemoryRegistry(RegistryContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryRegistry]:
        yield MemoryRegistry()
