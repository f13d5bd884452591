"""The stores of people keep the contracts of their ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.in_postgres import InPostgres

from septum.adapters.sealing.seal import Sealer
from septum.adapters.store.open import open_store
from septum.coordinator.sealed_credentials import SealedCredentials
from septum.testing.contracts.people import PeopleContract, PeopleStores


class TestSqlitePeople(PeopleContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory: Path) -> Iterator[PeopleStores]:
        with self.open(directory / "data") as stores:
            yield PeopleStores(stores.people, stores.credentials, stores.sessions)


class TestPostgresPeople(InPostgres, TestSqlitePeople):
    pass


class TestSealedPeople(PeopleContract):
    """With secrets that are sealed for their person."""

    @contextmanager
    def make(self, directory: Path) -> Iterator[PeopleStores]:
        with open_store(directory / "data") as stores:
            sealed = SealedCredentials(stores.credentials, Sealer(bytes(32)))
            yield PeopleStores(stores.people, sealed, stores.sessions)
