"""The registries of models keep the contract of their port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.open import open_store
from septum.ports.groups import Group
from septum.ports.registered import ModelRegistry
from septum.protocol.run import create
from septum.testing.contracts.registered import (
    BOB,
    FIRST,
    GROUP,
    OTHER,
    PLAN,
    RUN,
    SILOS,
    ModelRegistryContract,
)
from septum.testing.memory_models import MemoryModelRegistry


class TestSqliteModelRegistry(ModelRegistryContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory: Path) -> Iterator[ModelRegistry]:
        with self.open(directory / "data") as stores:
            run, _ = create(RUN, PLAN, 0.0)
            stores.runs.create(run, [], at=1.0)
            for silo in SILOS:
                stores.registry.invite(silo, sha256(b"token").digest(), expires_at=100.0)
            stores.groups.add(Group(GROUP, SILOS, "", 1.0))
            yield stores.registered

    def test_it_is_there_when_the_store_is_opened_again(self, tmp_path):
        with self.make(tmp_path) as registry:
            registry.register(FIRST)
            registry.register(OTHER)
            kept = [registry.versions()[0], registry.approve("heart", 2, BOB, own=True)]
        with self.open(tmp_path / "data") as stores:
            assert list(stores.registered.versions()) == kept


class TestPostgresModelRegistry(InPostgres, TestSqliteModelRegistry):
    pass


class TestMemoryModelRegistry(ModelRegistryContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[ModelRegistry]:
        del directory
        known = {"run": {RUN}, "group": {GROUP}, "silo": set(SILOS)}
        yield MemoryModelRegistry(lambda noun, name: name in known[noun])
