"""Where do groups of silos live? In the database. Port: ports/groups.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from septum.adapters.store.database import Database
from septum.adapters.store.known import need_groups, need_organisations
from septum.adapters.store.missing import not_found
from septum.adapters.store.schema import GROUP_SILOS, GROUPS, PROJECTS, SILOS
from septum.errors import ConflictError
from septum.ports.groups import Group

_GROUPS = select(GROUPS).order_by(GROUPS.c.name)
_ONE = select(GROUPS).where(GROUPS.c.name == bindparam("of_name"))
_ALL_SILOS = select(GROUP_SILOS).order_by(GROUP_SILOS.c.of_group, GROUP_SILOS.c.silo)
_SILOS = _ALL_SILOS.where(GROUP_SILOS.c.of_group == bindparam("of_name"))
_ADD = insert(GROUPS)
_PUT = insert(GROUP_SILOS)
_DROP = delete(GROUP_SILOS).where(
    GROUP_SILOS.c.of_group == bindparam("of_name"), GROUP_SILOS.c.silo == bindparam("of_silo")
)
_DROP_ALL = delete(GROUP_SILOS).where(GROUP_SILOS.c.of_group == bindparam("of_name"))
_REMOVE = delete(GROUPS).where(GROUPS.c.name == bindparam("of_name"))
_PROJECTS = select(PROJECTS.c.name).where(PROJECTS.c.silo_group == bindparam("of_name")).order_by(PROJECTS.c.name)
_OPEN = select(GROUPS.c.name).where(GROUPS.c.open_to == bindparam("organisation"))


class SqlGroups:
    """Groups of silos in a database. See `ports.groups.GroupStore` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def groups(self) -> Sequence[Group]:
        """Every group, by name."""
        with self._database.read() as connection:
            silos: dict[str, list[str]] = {}
            for row in connection.execute(_ALL_SILOS):
                silos.setdefault(row.of_group, []).append(row.silo)
            return [_group(row, silos.get(row.name, ())) for row in connection.execute(_GROUPS)]

    def add(self, group: Group) -> None:
        """Know a group with its silos."""
        with self._database.write() as connection:
            if connection.execute(_ONE, {"of_name": group.name}).first() is not None:
                raise ConflictError(f"there is already a group {group.name!r}", hint=f"septum group show {group.name}")
            need_organisations(connection, [group.open_to] if group.open_to else [])
            row = {"name": group.name, "open_to": group.open_to, "created_at": group.created_at}
            connection.execute(_ADD, row)
            _put(connection, group.name, group.silos)

    def put(self, name: str, silo: str) -> Group:
        """Take a silo into a group; one that is in it stays."""
        with self._database.write() as connection:
            need_groups(connection, [name])
            _put(connection, name, [silo])
            return _read(connection, name)

    def drop(self, name: str, silo: str) -> Group:
        """Take a silo out of a group; one that is not in it is ignored."""
        with self._database.write() as connection:
            need_groups(connection, [name])
            connection.execute(_DROP, {"of_name": name, "of_silo": silo})
            return _read(connection, name)

    def remove(self, name: str) -> None:
        """Forget a group. Raises NotFoundError, and ConflictError while a project has it."""
        with self._database.write() as connection:
            need_groups(connection, [name])
            projects = connection.scalars(_PROJECTS, {"of_name": name}).all()
            if projects:
                raise ConflictError(
                    f"group {name!r} is that of {', '.join(projects[:5])}{', ...' if projects[5:] else ''}",
                    hint="the silos of a project's runs can be told as long as the project: septum project list",
                )
            connection.execute(_DROP_ALL, {"of_name": name})
            connection.execute(_REMOVE, {"of_name": name})


def join_open_groups(connection: Connection, silo: str, organisation: str) -> None:
    """A silo of this organisation has enrolled: it is in every group that is open to it."""
    for name in connection.scalars(_OPEN, {"organisation": organisation}).all():
        _put(connection, name, [silo])


def _put(connection: Connection, name: str, silos: Iterable[str]) -> None:
    known = set(connection.scalars(select(SILOS.c.name)))
    there = {row.silo for row in connection.execute(_SILOS, {"of_name": name})}
    wanted = set(silos)
    for silo in sorted(wanted - known):
        raise not_found("silo", silo, sorted(known))
    if new := sorted(wanted - there):
        connection.execute(_PUT, [{"of_group": name, "silo": silo} for silo in new])


def _read(connection: Connection, name: str) -> Group:
    silos = [row.silo for row in connection.execute(_SILOS, {"of_name": name})]
    return _group(connection.execute(_ONE, {"of_name": name}).one(), silos)


def _group(row: Row[Any], silos: Iterable[str]) -> Group:
    return Group(row.name, tuple(silos), row.open_to, row.created_at)
