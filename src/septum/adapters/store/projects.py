"""Where do projects live? In the database. Port: ports/projects.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.known import need_groups, need_organisations, need_projects
from septum.adapters.store.schema import PROJECT_OWNERS, PROJECTS
from septum.errors import ConfigError, ConflictError
from septum.ports.projects import Project

_NAMES = select(PROJECTS.c.name)
_ALL = select(PROJECTS).order_by(PROJECTS.c.name)
_SOME = _ALL.where(PROJECTS.c.name.in_(bindparam("names", expanding=True)))
_ALL_OWNERS = select(PROJECT_OWNERS).order_by(PROJECT_OWNERS.c.project, PROJECT_OWNERS.c.organisation)
_OWNERS = _ALL_OWNERS.where(PROJECT_OWNERS.c.project.in_(bindparam("names", expanding=True)))
_ADD = insert(PROJECTS)
_OWN = insert(PROJECT_OWNERS)
_CLOSE = update(PROJECTS).where(PROJECTS.c.name == bindparam("of_name")).values(closed=True)


class SqlProjects:
    """Projects in a database. See `ports.projects.ProjectStore` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def projects(self, names: Iterable[str] | None = None) -> Sequence[Project]:
        """Every project, or those of these names that there are, by name."""
        with self._database.read() as connection:
            return _read(connection, names)

    def add(self, project: Project) -> None:
        """Know a project."""
        if not project.organisations:
            raise ConfigError(f"project {project.name!r} belongs to no organisation", hint="septum org list")
        row = {
            "name": project.name,
            "silo_group": project.group,
            "description": project.description,
            "created_at": project.created_at,
            "closed": project.closed,
        }
        with self._database.write() as connection:
            if project.name in connection.scalars(_NAMES).all():
                raise ConflictError(
                    f"there is already a project {project.name!r}; names are not given twice",
                    hint=f"septum project show {project.name}",
                )
            need_groups(connection, [project.group])
            need_organisations(connection, project.organisations)
            connection.execute(_ADD, row)
            owners = [{"project": project.name, "organisation": one} for one in sorted(set(project.organisations))]
            connection.execute(_OWN, owners)

    def close(self, name: str) -> Project:
        """Let a project take no new runs."""
        with self._database.write() as connection:
            need_projects(connection, [name])
            connection.execute(_CLOSE, {"of_name": name})
            (project,) = _read(connection, [name])
            return project


def _read(connection: Connection, names: Iterable[str] | None) -> Sequence[Project]:
    if names is None:
        owned, found = connection.execute(_ALL_OWNERS), connection.execute(_ALL)
    else:
        wanted = {"names": sorted(set(names))}
        owned, found = connection.execute(_OWNERS, wanted), connection.execute(_SOME, wanted)
    owners: dict[str, list[str]] = {}
    for row in owned:
        owners.setdefault(row.project, []).append(row.organisation)
    return [_project(row, owners[row.name]) for row in found]


def _project(row: Row[Any], owners: Iterable[str]) -> Project:
    return Project(row.name, row.silo_group, row.description, tuple(owners), row.created_at, bool(row.closed))
