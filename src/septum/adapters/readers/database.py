"""How is a database asked, and nothing else done to it? Needs septum[sql], and the database's own driver.

The URL holds a password, so it is never in silo.toml: it lies in a file that only its owner may read, or in an
environment variable. No error quotes it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import ConfigError, ConnectionFailedError, DataError, MissingExtraError, SeptumError
from septum.ports.reader import Setting, SettingKind, Settings

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

URL_SETTINGS = (Setting("url_file", SettingKind.PATH), Setting("url_env"))
MAX_URL_BYTES = 4096
_MAX_REASON_CHARS = 300


def url_of(settings: Settings) -> str:
    """The database's URL. Raises ConfigError when there is none, or others may read it."""
    if ("url_file" in settings) == ("url_env" in settings):
        raise ConfigError(
            "one of url_file and url_env says where the database's URL is",
            hint='write: url_file = "database.url" (mode 0600), with dialect+driver://user:password@host/name in it',
        )
    if "url_env" in settings:
        name = str(settings["url_env"])
        url = os.environ.get(name, "")
        if not url:
            raise ConfigError(f"the environment variable {name}, which url_env names, is not set", hint=f"{name}=...")
        return url
    return _url_in(Path(str(settings["url_file"])))


def _url_in(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise ConfigError(
                    f"{path}: others may read it (mode {mode:04o}), and it holds a password", hint=f"chmod 600 {path}"
                )
            content = file.read(MAX_URL_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    try:
        url = content.decode().strip()
    except UnicodeDecodeError:
        url = ""
    if not url or len(content) > MAX_URL_BYTES or not url.isprintable():
        raise ConfigError(f"{path}: one line with the database's URL is needed", hint="dialect+driver://user@host/name")
    return url


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection that can only read, where the database knows how to say so; whatever it did is rolled back.

    Raises ConnectionFailedError when the database is not there, DataError when it does not like what it was asked.
    """
    try:
        from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError  # an optional extra
    except ImportError as error:
        raise MissingExtraError(
            "databases need SQLAlchemy, which is not installed", hint="pip install 'septum[sql]'"
        ) from error
    engine = None
    try:
        engine = _engine(url)
        with engine.connect() as connection:
            _read_only(connection)
            try:
                yield connection
            finally:
                connection.rollback()
    except SeptumError:
        raise
    except (ArgumentError, NoSuchModuleError):  # their words quote the URL
        raise ConfigError(
            "the database's URL is none that SQLAlchemy knows", hint="dialect+driver://user:password@host:port/name"
        ) from None
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the database's driver is not installed: {error.name}", hint=f"pip install {error.name}"
        ) from None
    except SQLAlchemyError as error:
        assert engine is not None
        raise _failed(engine.url, error, down=not isinstance(error, DBAPIError) or _is_down(error)) from None
    finally:
        if engine is not None:
            engine.dispose()


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine, make_url, pool  # an optional extra

    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and (parsed.database or "") not in ("", ":memory:"):
        path = Path(str(parsed.database).removeprefix("file:").partition("?")[0])
        if not path.exists():  # SQLite would make an empty one
            raise ConnectionFailedError(f"{path}: there is no such database", hint=f"ls -l {path}")
    return create_engine(parsed, poolclass=pool.NullPool, hide_parameters=True)


def _read_only(connection: Connection) -> None:
    """What each database offers. For the others: give septum a user that may only read."""
    backend = connection.engine.url.get_backend_name()
    if backend == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    elif backend in ("postgresql", "mysql", "mariadb"):
        connection.rollback()
        connection.exec_driver_sql(
            "SET TRANSACTION READ ONLY" if backend == "postgresql" else "START TRANSACTION READ ONLY"
        )


def _is_down(error: Exception) -> bool:
    """Whether it never answered. Drivers tell it in many ways, so what is not about the statement counts as down."""
    return bool(getattr(error, "connection_invalidated", False)) or not getattr(error, "statement", None)


def _failed(url: URL, error: Exception, *, down: bool) -> SeptumError:
    shown = url.render_as_string(hide_password=True)
    reason = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
    for secret in _secrets(url):
        reason = reason.replace(secret, "***")
    if down:
        return ConnectionFailedError(
            f"{shown}: the database cannot be reached: {reason[:_MAX_REASON_CHARS]}",
            hint="is it up, and may this machine and this user reach it? Then: septum silo data describe",
        )
    return DataError(
        f"{shown}: the database refused the query: {reason[:_MAX_REASON_CHARS]}",
        hint="try the query in the database's own shell, as the same user",
    )


def _secrets(url: URL) -> list[str]:
    from urllib.parse import quote, quote_plus  # beside its only use: the forms in which a driver may quote it

    secrets = [str(url.password)] if url.password else []
    secrets += [str(value) for key, value in url.query.items() if "pass" in key.lower() or "secret" in key.lower()]
    return [form for secret in secrets for form in {secret, quote(secret), quote_plus(secret)}]
