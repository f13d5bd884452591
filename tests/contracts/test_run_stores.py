"""Both run stores keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.open import open_store
from septum.adapters.store.runs import SqlRunStore
from septum.testing.contracts.run_store import RunStoreContract
from septum.testing.fakes import MemoryRunStore


class TestSqliteRunStore(RunStoreContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory: Path) -> Iterator[SqlRunStore]:
        with self.open(directory / "data") as stores:
            yield stores.runs


class TestPostgresRunStore(InPostgres, TestSqliteRunStore):
    pass


class TestMemoryRunStore(RunStoreContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryRunStore]:
        yield MemoryRunStore()
