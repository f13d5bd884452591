"""The stores of groups and projects keep the contracts of their ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.open import open_store
from septum.testing.contracts.projects import ProjectsContract, ProjectStores


class TestSqliteProjects(ProjectsContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory: Path) -> Iterator[ProjectStores]:
        with self.open(directory / "data") as stores:
            yield ProjectStores(stores.groups, stores.projects, stores.registry, stores.people)


class TestPostgresProjects(InPostgres, TestSqliteProjects):
    pass
