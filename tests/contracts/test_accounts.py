"""Both stores of accounts keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.accounts import SqlAccounts
from septum.adapters.store.open import open_store
from septum.ports.accounts import SiloAccount
from septum.protocol.description import OfferedDataset
from septum.testing.contracts.accounts import NEW, AccountsContract
from septum.testing.fakes import MemoryAccounts, MemoryRegistry

SILOS = ("cleveland", "hungary")


class TestSqliteAccounts(AccountsContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory: Path) -> Iterator[SqlAccounts]:
        with self.open(directory / "data") as stores:
            for silo in SILOS:
                stores.registry.invite(silo, b"hash", expires_at=1.0)
            yield stores.accounts


class TestPostgresAccounts(InPostgres, TestSqliteAccounts):
    pass


class TestMemoryAccounts(AccountsContract):
    @contextmanager
    def make(self, _directory: Path) -> Iterator[MemoryAccounts]:
        registry = MemoryRegistry()
        for silo in SILOS:
            registry.invite(silo, b"hash", expires_at=1.0)
        yield MemoryAccounts(registry)


def test_the_longest_names_of_any_script_are_read_again(tmp_path):
    columns = tuple(f"{n:04}{chr(0x10400) * 56}" for n in range(1000))  # 228 kB as UTF-8, 680 kB with escapes
    largest = replace(NEW, datasets=(OfferedDataset("heart", columns),))
    with open_store(tmp_path) as stores:
        stores.registry.invite("cleveland", b"hash", expires_at=1.0)
        stores.accounts.describe("cleveland", largest, at=2.5)
    with open_store(tmp_path) as stores:
        assert stores.accounts.accounts()["cleveland"].description == largest


def test_accounts_outlive_the_database_being_closed(tmp_path):
    with open_store(tmp_path) as stores:
        stores.registry.invite("cleveland", b"hash", expires_at=1.0)
        stores.accounts.describe("cleveland", NEW, at=2.5)
    with open_store(tmp_path) as stores:
        assert stores.accounts.accounts() == {"cleveland": SiloAccount(NEW, 2.5)}
