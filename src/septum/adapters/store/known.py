"""Are there such organisations, groups, projects? Asked inside the transaction that refers to them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

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


def _need(noun: str, known: Iterable[str], names: Iterable[str]) -> None:
    there = tuple(known)
    for name in names:
        if name not in there:
            raise not_found(noun, name, there)
