"""Where does that lie by which people prove themselves? In the database, as hashes. Port: ports/credentials.py."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.people import add_person, end_all, need_person
from septum.adapters.store.schema import IDENTITIES, PEOPLE, RECOVERY_CODES
from septum.errors import ConflictError
from septum.ports.credentials import Credentials
from septum.ports.people import Person

_OF = PEOPLE.c.name == bindparam("of_name")
_CREDENTIALS = select(PEOPLE).where(_OF)
_CHOOSE = (
    update(PEOPLE)
    .where(_OF)
    .values(password_hash=bindparam("chosen"), one_time_hash=bindparam("none"), one_time_until=0.0)
)
_RESET = (
    update(PEOPLE)
    .where(_OF)
    .values(
        password_hash="",
        one_time_hash=bindparam("hash"),
        one_time_until=bindparam("until"),
        totp_secret=bindparam("none"),
        totp_step=0,
    )
)
_SET_TOTP = update(PEOPLE).where(_OF).values(totp_secret=bindparam("secret"), totp_step=bindparam("step"))
_USE_STEP = update(PEOPLE).where(_OF, PEOPLE.c.totp_step < bindparam("step")).values(totp_step=bindparam("step"))
_VOID_ONE_TIME = update(PEOPLE).where(_OF).values(one_time_hash=bindparam("none"), one_time_until=0.0)
_FORGET_RECOVERY = delete(RECOVERY_CODES).where(RECOVERY_CODES.c.person == bindparam("of_name"))
_USE_RECOVERY = delete(RECOVERY_CODES).where(
    RECOVERY_CODES.c.person == bindparam("of_name"), RECOVERY_CODES.c.code_hash == bindparam("code")
)
_ADD_RECOVERY = insert(RECOVERY_CODES)
_KNOWN_AS = select(IDENTITIES.c.person).where(
    IDENTITIES.c.issuer == bindparam("by"), IDENTITIES.c.subject == bindparam("as")
)
_KNOW_AS = insert(IDENTITIES)
_FORGET_IDENTITIES = delete(IDENTITIES).where(IDENTITIES.c.person == bindparam("of_name"))


class SqlCredentials:
    """Credentials in a database. See `ports.credentials.CredentialStore` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def credentials(self, name: str) -> Credentials | None:
        """Those of a person; None for an unknown one."""
        with self._database.read() as connection:
            row = connection.execute(_CREDENTIALS, {"of_name": name}).first()
        if row is None:
            return None
        return Credentials(
            row.name,
            row.suspended,
            row.password_hash,
            row.one_time_hash,
            row.one_time_until,
            row.totp_secret,
            row.totp_step,
            row.organisation,
        )

    def choose_password(self, name: str, password_hash: str, *, one_time_hash: bytes = b"") -> bool:
        """Keep a new password and void the one-time one; sessions and tokens end."""
        with self._database.write() as connection:
            need_person(connection, name)
            known = connection.execute(_CREDENTIALS, {"of_name": name}).one()
            if one_time_hash and known.one_time_hash != one_time_hash:
                return False
            connection.execute(_CHOOSE, {"of_name": name, "chosen": password_hash, "none": b""})
            end_all(connection, name)
            return True

    def reset(self, name: str, one_time_hash: bytes, *, until: float) -> None:
        """Forget all that the person proved themselves by; let them in by a one-time password."""
        with self._database.write() as connection:
            need_person(connection, name)
            connection.execute(_RESET, {"of_name": name, "hash": one_time_hash, "until": until, "none": b""})
            connection.execute(_FORGET_RECOVERY, {"of_name": name})
            connection.execute(_FORGET_IDENTITIES, {"of_name": name})
            end_all(connection, name)

    def set_totp(self, name: str, secret: bytes, step: int, recovery: Sequence[bytes]) -> None:
        """Ask for a second factor from now on; an empty secret asks no more."""
        with self._database.write() as connection:
            need_person(connection, name)
            connection.execute(_SET_TOTP, {"of_name": name, "secret": secret, "step": step})
            connection.execute(_FORGET_RECOVERY, {"of_name": name})
            if recovery:
                connection.execute(_ADD_RECOVERY, [{"person": name, "code_hash": code} for code in recovery])

    def use_step(self, name: str, step: int) -> bool:
        """Note that the code of this time step was used. False if this one or a later one was before."""
        with self._database.write() as connection:
            need_person(connection, name)
            return bool(connection.execute(_USE_STEP, {"of_name": name, "step": step}).rowcount)

    def use_recovery(self, name: str, code_hash: bytes) -> bool:
        """Burn a recovery code. False if there is none such."""
        with self._database.write() as connection:
            need_person(connection, name)
            return bool(connection.execute(_USE_RECOVERY, {"of_name": name, "code": code_hash}).rowcount)

    def known_as(self, issuer: str, subject: str) -> str:
        """Who an identity provider's subject is here; empty when nobody."""
        with self._database.read() as connection:
            return _known(connection, issuer, subject)

    def know_as(self, name: str, issuer: str, subject: str) -> None:
        """Tie a provider's subject to a person, and void the one-time password."""
        with self._database.write() as connection:
            need_person(connection, name)
            _tie(connection, name, issuer, subject)
            connection.execute(_VOID_ONE_TIME, {"of_name": name, "none": b""})

    def admit(self, person: Person, issuer: str, subject: str) -> None:
        """Know a person whom a provider's subject is: both or nothing."""
        with self._database.write() as connection:
            add_person(connection, person, b"", 0.0)
            _tie(connection, person.name, issuer, subject)


def _known(connection: Connection, issuer: str, subject: str) -> str:
    return str(connection.scalar(_KNOWN_AS, {"by": issuer, "as": subject}) or "")


def _tie(connection: Connection, name: str, issuer: str, subject: str) -> None:
    if by := _known(connection, issuer, subject):
        raise ConflictError(f"this identity belongs to {by!r} already", hint=f"septum user show {by}")
    connection.execute(_KNOW_AS, {"issuer": issuer, "subject": subject, "person": name})
