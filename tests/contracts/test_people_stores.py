"""The stores of people keep the contracts of their ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.adapters.store.sqlite import open_store
from septum.testing.contracts.people import PeopleContract, PeopleStores


class TestSqlitePeople(PeopleContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[PeopleStores]:
        with open_store(directory / "data") as stores:
            yield PeopleStores(stores.people, stores.credentials, stores.sessions)
