"""Where do organisations, people and roles live? In the database. Port: ports/people.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.known import need_organisations, need_projects
from septum.adapters.store.missing import not_found
from septum.adapters.store.schema import (
    GRANTS,
    GROUPS,
    IDENTITIES,
    ORGANISATIONS,
    PEOPLE,
    PROJECT_OWNERS,
    SESSIONS,
    SILO_OWNERS,
    TOKENS,
)
from septum.errors import ConflictError
from septum.ports.people import Organisation, Person
from septum.protocol.rights import FIRST_ORGANISATION, Grant, Over, Role, Scope

_ORGANISATIONS = select(ORGANISATIONS).order_by(ORGANISATIONS.c.name)
_ORGANISATION_NAMES = select(ORGANISATIONS.c.name)
_ADD_ORGANISATION = insert(ORGANISATIONS)
_REMOVE_ORGANISATION = delete(ORGANISATIONS).where(ORGANISATIONS.c.name == bindparam("of_name"))
_OWNED = (
    ("silos", select(SILO_OWNERS.c.silo).where(SILO_OWNERS.c.organisation == bindparam("of_name")).limit(1)),
    (
        "projects",
        select(PROJECT_OWNERS.c.project).where(PROJECT_OWNERS.c.organisation == bindparam("of_name")).limit(1),
    ),
    ("groups open to it", select(GROUPS.c.name).where(GROUPS.c.open_to == bindparam("of_name")).limit(1)),
    ("people", select(PEOPLE.c.name).where(PEOPLE.c.organisation == bindparam("of_name")).limit(1)),
    (
        "roles over it",
        select(GRANTS.c.person)
        .where(GRANTS.c.given_over == Over.ORGANISATION.value, GRANTS.c.scope == bindparam("of_name"))
        .limit(1),
    ),
)

_KNOWN_ELSEWHERE = exists().where(IDENTITIES.c.person == PEOPLE.c.name)
_PEOPLE = select(
    PEOPLE.c.name,
    PEOPLE.c.full_name,
    PEOPLE.c.organisation,
    PEOPLE.c.created_at,
    PEOPLE.c.suspended,
    ((PEOPLE.c.password_hash != "") | _KNOWN_ELSEWHERE).label("proven"),
    (PEOPLE.c.totp_secret != b"").label("totp"),
)
_ALL = _PEOPLE.order_by(PEOPLE.c.name)
_ONE = _PEOPLE.where(PEOPLE.c.name == bindparam("of_name"))
_NAMES = select(PEOPLE.c.name)
_ADD = insert(PEOPLE)
_SUSPEND = update(PEOPLE).where(PEOPLE.c.name == bindparam("of_name")).values(suspended=bindparam("now"))
_ALL_GRANTS = select(GRANTS).order_by(GRANTS.c.person, GRANTS.c.role, GRANTS.c.given_over, GRANTS.c.scope)
_GRANTS = _ALL_GRANTS.where(GRANTS.c.person == bindparam("of_name"))
_FORGET_GRANTS = delete(GRANTS).where(GRANTS.c.person == bindparam("of_name"))
_ADD_GRANTS = insert(GRANTS)
_END_SESSIONS = delete(SESSIONS).where(SESSIONS.c.person == bindparam("of_name"))
_END_TOKENS = delete(TOKENS).where(TOKENS.c.person == bindparam("of_name"))


class SqlPeople:
    """Organisations and people in a database. See `ports.people.PeopleStore` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def organisations(self) -> Sequence[Organisation]:
        """Every organisation, by name."""
        with self._database.read() as connection:
            return [Organisation(row.name, row.title, row.created_at) for row in connection.execute(_ORGANISATIONS)]

    def add_organisation(self, organisation: Organisation) -> None:
        """Know an organisation. Raises ConflictError when its name is taken."""
        with self._database.write() as connection:
            if organisation.name in connection.scalars(_ORGANISATION_NAMES).all():
                raise ConflictError(f"there is already an organisation {organisation.name!r}", hint="septum org list")
            row = {"name": organisation.name, "title": organisation.title, "created_at": organisation.created_at}
            connection.execute(_ADD_ORGANISATION, row)

    def remove_organisation(self, name: str) -> None:
        """Forget one. Raises NotFoundError, and ConflictError while it owns something."""
        with self._database.write() as connection:
            need_organisations(connection, [name])
            owned = [what for what, query in _OWNED if connection.execute(query, {"of_name": name}).first()]
            if name == FIRST_ORGANISATION:
                raise ConflictError(f"{name!r} is the first organisation, and stays", hint="septum org list")
            if owned:
                raise ConflictError(
                    f"organisation {name!r} still has {' and '.join(owned)}",
                    hint="septum silo list; septum user list; septum project list; septum group list",
                )
            connection.execute(_REMOVE_ORGANISATION, {"of_name": name})

    def people(self) -> Sequence[Person]:
        """Everybody, by name."""
        with self._database.read() as connection:
            grants: dict[str, list[Row[Any]]] = {}
            for row in connection.execute(_ALL_GRANTS):
                grants.setdefault(row.person, []).append(row)
            return [_person(row, grants.get(row.name, ())) for row in connection.execute(_ALL)]

    def person(self, name: str) -> Person:
        """One of them. Raises NotFoundError."""
        with self._database.read() as connection:
            return read_person(connection, name)

    def add(self, person: Person, one_time_hash: bytes, *, until: float) -> None:
        """Know a person, who may come in once by a one-time password."""
        with self._database.write() as connection:
            add_person(connection, person, one_time_hash, until)

    def set_grants(self, name: str, grants: Sequence[Grant]) -> Person:
        """Give a person these roles in place of those they had."""
        with self._database.write() as connection:
            need_person(connection, name)
            connection.execute(_FORGET_GRANTS, {"of_name": name})
            _give(connection, name, grants)
            return read_person(connection, name)

    def suspend(self, name: str, *, suspended: bool) -> Person:
        """Let a person in no more, and end their sessions and tokens; or let them in again."""
        with self._database.write() as connection:
            need_person(connection, name)
            connection.execute(_SUSPEND, {"of_name": name, "now": suspended})
            if suspended:
                end_all(connection, name)
            return read_person(connection, name)


def add_person(connection: Connection, person: Person, one_time_hash: bytes, until: float) -> None:
    """Know a person. Raises ConflictError when the name is taken, NotFoundError for an unknown organisation."""
    if connection.execute(_ONE, {"of_name": person.name}).first() is not None:
        raise ConflictError(f"there is already a person {person.name!r}", hint=f"septum user show {person.name}")
    need_organisations(connection, [person.organisation])
    row = {
        "name": person.name,
        "full_name": person.full_name,
        "organisation": person.organisation,
        "created_at": person.created_at,
        "suspended": person.suspended,
        "password_hash": "",
        "one_time_hash": one_time_hash,
        "one_time_until": until,
        "totp_secret": b"",
        "totp_step": 0,
    }
    connection.execute(_ADD, row)
    _give(connection, person.name, person.grants)


def read_person(connection: Connection, name: str) -> Person:
    """One person with their roles. Raises NotFoundError."""
    return _person(need_person(connection, name), connection.execute(_GRANTS, {"of_name": name}).all())


def need_person(connection: Connection, name: str) -> Row[Any]:
    """A person's row. Raises NotFoundError."""
    row = connection.execute(_ONE, {"of_name": name}).first()
    if row is None:
        raise not_found("user", name, connection.scalars(_NAMES).all())
    return row


def end_all(connection: Connection, name: str) -> None:
    """End a person's sessions and tokens."""
    connection.execute(_END_SESSIONS, {"of_name": name})
    connection.execute(_END_TOKENS, {"of_name": name})


def _give(connection: Connection, name: str, grants: Iterable[Grant]) -> None:
    kept = set(grants)
    need_organisations(connection, [one.scope.name for one in kept if one.scope.over is Over.ORGANISATION])
    need_projects(connection, [one.scope.name for one in kept if one.scope.over is Over.PROJECT])
    rows = [
        {"person": name, "role": one.role.value, "given_over": one.scope.over.value, "scope": one.scope.name}
        for one in kept
    ]
    if rows:
        connection.execute(_ADD_GRANTS, rows)


def _person(row: Row[Any], grants: Iterable[Row[Any]]) -> Person:
    return Person(
        row.name,
        row.full_name,
        row.organisation,
        row.created_at,
        proven=bool(row.proven),
        suspended=bool(row.suspended),
        totp=bool(row.totp),
        grants=tuple(Grant(Role(one.role), Scope(Over(one.given_over), one.scope)) for one in grants),
    )
