"""Are there such organisations, groups, projects, and which number did a new row get? Asked inside the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, Insert, select

from septum.adapters.store.missing import not_found
from septum.adapters.store.schema import GROUPS, ORGANISATIONS, PROJECTS

_ORGANISATIONS = select(ORGANISATIONS.c.name)
_GROUPS = select(GROUPS.c.name)
_PROJECTS = select(PROJECTS.c.name)


def need_organisations(connection: Connection, names: Iterable[str]) -> None:
    """Raises NotFoundError for the first that there is not."""
    _need("org", connection.scalars(_ORGANISATIONS).all(), names)


def need_groups(connection: Connection, names: Iterable[str]) -> None:
    """Raises NotFoundError for the first that there is not."""
    _need("group", connection.scalars(_GROUPS).all(), names)


def need_projects(connection: Connection, names: Iterable[str]) -> None:
    """Raises NotFoundError for the first that there is not."""
    _need("project", connection.scalars(_PROJECTS).all(), names)


def new_id(connection: Connection, statement: Insert, row: Mapping[str, object]) -> int:
    """Add a row; the number that the database gave it."""
    key = connection.execute(statement, row).inserted_primary_key
    assert key is not None
    return int(key[0])


def _need(noun: str, known: Iterable[str], names: Iterable[str]) -> None:
    there = tuple(known)
    for name in names:
        if name not in there:
            raise not_found(noun, name, there)
