"""How is a contract that SQLite keeps tried on PostgreSQL? By the same class, with another `open`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres_server import Server

from septum.adapters.store.open import Stores, open_store
from septum.adapters.store.postgres_address import PostgresAddress


@pytest.mark.processes
class InPostgres:
    """Before the class that tests SQLite. The database is the test's own, however often it is opened."""

    _address: PostgresAddress

    @pytest.fixture(autouse=True)
    def _database(self, postgres: Server) -> Iterator[None]:
        with postgres.store() as name:
            self._address = postgres.address(name)
            yield

    def open(self, directory: Path) -> Stores:
        return open_store(directory, self._address)
