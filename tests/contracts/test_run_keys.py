"""The salts of runs: both kinds of databases and the fake keep the contract of their port."""

from __future__ import annotations

from contextlib import contextmanager

from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.open import open_store
from septum.testing.contracts.run_keys import RunKeyStoreContract
from septum.testing.fakes import MemoryRunStore


class TestSqliteRunKeys(RunKeyStoreContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory):
        with self.open(directory / "data") as stores:
            yield stores.runs, stores.run_keys


class TestPostgresRunKeys(InPostgres, TestSqliteRunKeys):
    pass


class TestMemoryRunKeys(RunKeyStoreContract):
    @contextmanager
    def make(self, _directory):
        store = MemoryRunStore()
        yield store, store
