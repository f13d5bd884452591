"""Both run stores keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.adapters.store.sqlite import SqliteRunStore, open_store
from septum.testing.contracts.run_store import RunStoreContract
from septum.testing.fakes import MemoryRunStore


class TestSqliteRunStore(RunStoreContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[SqliteRunStore]:
        with open_store(directory / "data") as stores:
            yield stores.runs


class TestMemoryRunStore(RunStoreContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryRunStore]:
        yield MemoryRunStore()
