"""What does PostgreSQL mean by an error, and what does the operator do about it? By its SQLSTATE.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pg8000.exceptions import DatabaseError, InterfaceError
from sqlalchemy.exc import DBAPIError

from septum.adapters.store.postgres_address import PostgresAddress
from septum.errors import ConfigError, SeptumError, StorageError

_MAX_REASON_CHARS = 300
_UNTOUCHED = "nothing was changed"
LOCKED = "55P03"
# By SQLSTATE: which error, what it says, and its hint.
_MEANINGS: Mapping[str, tuple[type[SeptumError], str, str]] = {
    **dict.fromkeys(
        ("28P01", "28000"),
        (
            ConfigError,
            "{where} does not let user {user!r} in: {reason}",
            "the password in password_file or SEPTUM_STORE_PASSWORD, and the server's pg_hba.conf",
        ),
    ),
    "3D000": (
        ConfigError,
        "there is no database {database!r} on the PostgreSQL server at {host}",
        "createdb {flags} -O {user} -E UTF8 -T template0 {database}",
    ),
    "42501": (
        ConfigError,
        "{where} refuses user {user!r}: {reason}",
        "psql {flags} -c 'ALTER DATABASE {database} OWNER TO {user}'",
    ),
    "53300": (
        StorageError,
        "{where} has no connection left; " + _UNTOUCHED,
        "raise max_connections; who has them: psql {flags} -c 'TABLE pg_stat_activity'",
    ),
    "53100": (
        StorageError,
        "no space left for {where}; " + _UNTOUCHED,
        "df -h, on {host}, at its data_directory",
    ),
    "25006": (
        StorageError,
        "{where} is read-only, as a standby is; " + _UNTOUCHED,
        "the URL has to name the primary; psql {flags} -c 'SELECT pg_is_in_recovery()'",
    ),
    LOCKED: (
        StorageError,
        "{where} was locked by another process: {reason}; " + _UNTOUCHED,
        "who: psql {flags} -c 'TABLE pg_stat_activity'",
    ),
    **dict.fromkeys(
        ("40001", "40P01"), (StorageError, "{where} could not take it beside other changes; " + _UNTOUCHED, "try again")
    ),
}
_OTHER = (StorageError, "{where} failed: {reason}; " + _UNTOUCHED, "the log of the PostgreSQL server")
_NO_TLS = "refuses SSL"  # as pg8000 says it
_OTHER_NAMES = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
# The session is over: the server stops or crashed, it ended the session, or the connection failed.
_LOST = ("57P01", "57P02", "57P03", "57P05", "25P03", "08")


@contextmanager
def translated(address: PostgresAddress) -> Iterator[None]:
    """What the driver and SQLAlchemy raise becomes an error that names the database and says what to do."""
    try:
        yield
    except (DBAPIError, DatabaseError, InterfaceError, OSError) as error:
        raise meaning(address, cause_of(error)) from None  # its words may hold what was to be written


def cause_of(error: BaseException) -> BaseException | None:
    """What the driver said."""
    return error.orig if isinstance(error, DBAPIError) else error


def is_lost(cause: BaseException | None) -> bool:
    """Whether the connection is of no use any more."""
    return isinstance(cause, InterfaceError | OSError) or sqlstate(cause).startswith(_LOST)


def sqlstate(cause: BaseException | None) -> str:
    """PostgreSQL's code of an error; empty for one of the driver."""
    told = cause.args[0] if isinstance(cause, DatabaseError) and cause.args else None
    return str(told.get("C", "")) if isinstance(told, dict) else ""


def meaning(address: PostgresAddress, cause: BaseException | None) -> SeptumError:
    """The error to raise in place of PostgreSQL's."""
    code = sqlstate(cause)
    if code not in _MEANINGS and is_lost(cause):
        return _lost(address, cause)
    kind, message, hint = _MEANINGS.get(code, _OTHER)
    about = {
        "where": f"the PostgreSQL database {address.shown}",
        "reason": _reason(cause),
        "host": address.host,
        "flags": address.flags,
        "user": address.user,
        "database": address.database,
    }
    return kind(message.format(**about), hint=hint.format(**about))


def _lost(address: PostgresAddress, cause: BaseException | None) -> SeptumError:
    reasons = (cause, cause.__cause__ if cause else None)
    broken = next((one for one in reasons if isinstance(one, ssl.SSLError)), None)
    if broken is not None or _NO_TLS in str(cause):
        return _not_trusted(address, broken)
    return StorageError(
        f"the PostgreSQL server at {address.host}:{address.port} does not answer: {_reason(cause)}; {_UNTOUCHED}",
        hint=f"pg_isready {address.flags}",
    )


def _not_trusted(address: PostgresAddress, broken: ssl.SSLError | None) -> ConfigError:
    """`broken`: what TLS says; None where the server speaks none."""
    where = f"the PostgreSQL server at {address.host}:{address.port}"
    if broken is None:
        return ConfigError(
            f"{where} offers no TLS, without which no other machine is spoken to",
            hint="ssl = on in its postgresql.conf, with ssl_cert_file and ssl_key_file",
        )
    look = f"openssl s_client -starttls postgres -connect {address.host}:{address.port} -showcerts"
    if getattr(broken, "verify_code", 0) in _OTHER_NAMES:
        return ConfigError(
            f"the certificate of {where} does not name {address.host}",
            hint=f"{look}, and a name that is in it in url in [store]",
        )
    return ConfigError(f"{where} cannot be trusted: {_reason(broken)}", hint=f"{look}, and ca_file in [store]")


def _reason(cause: BaseException | None) -> str:
    told = cause.args[0] if isinstance(cause, DatabaseError) and cause.args else None
    if isinstance(told, dict):
        said = str(told.get("M", ""))
    else:
        said = "; ".join(str(one) for one in (cause, cause.__cause__ if cause else None) if one)
    return said.partition("\n")[0][:_MAX_REASON_CHARS]
