"""Who is signed in, and which tokens are there? Found by the hash of a secret. Port: ports/sessions.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, func, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.people import need_person, read_person
from septum.adapters.store.schema import SESSIONS, TOKENS
from septum.errors import ConflictError, NotFoundError
from septum.ports.people import Person
from septum.ports.sessions import ApiToken, Session
from septum.protocol.rights import Right

_BY_HASH = SESSIONS.c.secret_hash == bindparam("hash")
_SESSION = select(SESSIONS).where(_BY_HASH)
_OPEN = insert(SESSIONS)
_EXPIRED = delete(SESSIONS).where(SESSIONS.c.expires_at <= bindparam("at"))
_UNUSED = delete(SESSIONS).where(
    SESSIONS.c.person == bindparam("of_name"),
    SESSIONS.c.secret_hash.not_in(
        select(SESSIONS.c.secret_hash)
        .where(SESSIONS.c.person == bindparam("of_name"))
        .order_by(SESSIONS.c.seen_at.desc(), SESSIONS.c.opened_at.desc())
        .limit(bindparam("most"))
    ),
)
_TOUCH = update(SESSIONS).where(_BY_HASH, SESSIONS.c.seen_at < bindparam("at")).values(seen_at=bindparam("at"))
_CLOSE = delete(SESSIONS).where(_BY_HASH)

_TOKEN = select(TOKENS).where(TOKENS.c.secret_hash == bindparam("hash"))
_TOKENS = (
    select(TOKENS).where(TOKENS.c.person == bindparam("of_name")).order_by(TOKENS.c.created_at.desc(), TOKENS.c.id)
)
_ADD_TOKEN = insert(TOKENS)
_EXPIRED_TOKENS = delete(TOKENS).where(
    and_(TOKENS.c.person == bindparam("of_name"), TOKENS.c.expires_at <= bindparam("at"))
)
_HOW_MANY = select(func.count()).select_from(TOKENS).where(TOKENS.c.person == bindparam("of_name"))
_TOUCH_TOKEN = (
    update(TOKENS)
    .where(TOKENS.c.id == bindparam("token"), TOKENS.c.used_at < bindparam("at"))
    .values(used_at=bindparam("at"))
)
_REVOKE = delete(TOKENS).where(TOKENS.c.id == bindparam("token"), TOKENS.c.person == bindparam("of_name"))


class SqlSessions:
    """Sessions and tokens in a database. See `ports.sessions.SessionStore` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, secret_hash: bytes, session: Session, *, most: int) -> None:
        """Keep a session. Of one person's, the longest unused beyond `most` end; so do all that have expired."""
        row = {
            "secret_hash": secret_hash,
            "person": session.name,
            "opened_at": session.opened_at,
            "seen_at": session.seen_at,
            "expires_at": session.expires_at,
        }
        with self._database.write() as connection:
            need_person(connection, session.name)
            connection.execute(_EXPIRED, {"at": session.opened_at})
            connection.execute(_OPEN, row)
            connection.execute(_UNUSED, {"of_name": session.name, "most": most})

    def session(self, secret_hash: bytes) -> tuple[Session, Person] | None:
        """The session and its person; None when there is none."""
        with self._database.read() as connection:
            row = connection.execute(_SESSION, {"hash": secret_hash}).first()
            if row is None:
                return None
            person = read_person(connection, row.person)
        return None if person.suspended else (Session(row.person, row.opened_at, row.seen_at, row.expires_at), person)

    def touch(self, secret_hash: bytes, *, at: float) -> None:
        """Note that it was used. An unknown one is ignored."""
        with self._database.write() as connection:
            connection.execute(_TOUCH, {"hash": secret_hash, "at": at})

    def close(self, secret_hash: bytes) -> None:
        """End a session. An unknown one is ignored."""
        with self._database.write() as connection:
            connection.execute(_CLOSE, {"hash": secret_hash})

    def add_token(self, secret_hash: bytes, token: ApiToken, *, most: int) -> None:
        """Keep a token; expired ones of that person are forgotten. Raises ConflictError beyond `most`."""
        row = {
            "secret_hash": secret_hash,
            "id": token.id,
            "person": token.person,
            "title": token.title,
            "rights": " ".join(sorted(right.value for right in token.rights)),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "used_at": token.used_at,
        }
        with self._database.write() as connection:
            need_person(connection, token.person)
            connection.execute(_EXPIRED_TOKENS, {"of_name": token.person, "at": token.created_at})
            if (connection.scalar(_HOW_MANY, {"of_name": token.person}) or 0) >= most:
                raise ConflictError(
                    f"{token.person!r} has {most} tokens, as many as one may have", hint="septum token list"
                )
            connection.execute(_ADD_TOKEN, row)

    def token(self, secret_hash: bytes) -> tuple[ApiToken, Person] | None:
        """The token and its person; None when there is none."""
        with self._database.read() as connection:
            row = connection.execute(_TOKEN, {"hash": secret_hash}).first()
            if row is None:
                return None
            person = read_person(connection, row.person)
        return None if person.suspended else (_token(row), person)

    def tokens(self, person: str) -> Sequence[ApiToken]:
        """A person's tokens, newest first."""
        with self._database.read() as connection:
            return [_token(row) for row in connection.execute(_TOKENS, {"of_name": person})]

    def touch_token(self, token_id: str, *, at: float) -> None:
        """Note that it was used. An unknown one is ignored."""
        with self._database.write() as connection:
            connection.execute(_TOUCH_TOKEN, {"token": token_id, "at": at})

    def revoke_token(self, person: str, token_id: str) -> None:
        """Forget a token of this person. Raises NotFoundError."""
        with self._database.write() as connection:
            if not connection.execute(_REVOKE, {"token": token_id, "of_name": person}).rowcount:
                raise NotFoundError(f"{person!r} has no token {token_id[:40]!r}", hint="septum token list")


def _token(row: Row[Any]) -> ApiToken:
    known = {right.value: right for right in Right}
    # A right that this septum does not know any more allows nothing here.
    rights = frozenset(known[name] for name in row.rights.split() if name in known)
    return ApiToken(row.id, row.person, row.title, rights, row.created_at, row.expires_at, row.used_at)
