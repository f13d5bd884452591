"""The stores of groups and projects keep the contracts of their ports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from septum.adapters.store.sqlite import open_store
from septum.testing.contracts.projects import ProjectsContract, ProjectStores


class TestSqliteProjects(ProjectsContract):
    @contextmanager
    def make(self, directory: Path) -> Iterator[ProjectStores]:
        with open_store(directory / "data") as stores:
            yield ProjectStores(stores.groups, stores.projects, stores.registry, stores.people)
