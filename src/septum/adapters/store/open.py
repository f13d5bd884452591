"""How does a coordinator own its data directory and open its database? A SQLite file in it, or one of PostgreSQL.

The stores are the same for both: SQLAlchemy's statements over one schema. Each kind of database has a `Backend`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import bindparam, select, update

from septum.adapters.identity.audit_key import ensure_audit_key
from septum.adapters.ownership import DirectoryLock
from septum.adapters.store.accounts import SqlAccounts
from septum.adapters.store.apps import SqlApps
from septum.adapters.store.audit import SqlAudit, begin
from septum.adapters.store.credentials import SqlCredentials
from septum.adapters.store.database import Backend, Database
from septum.adapters.store.feed import SqlFeed
from septum.adapters.store.groups import SqlGroups
from septum.adapters.store.people import SqlPeople
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.store.projects import SqlProjects
from septum.adapters.store.registered import SqlModelRegistry
from septum.adapters.store.registry import SqlRegistry
from septum.adapters.store.run_keys import SqlRunKeys
from septum.adapters.store.runs import SqlRunStore
from septum.adapters.store.schema import COORDINATOR, PEOPLE
from septum.adapters.store.sessions import SqlSessions
from septum.adapters.store.sqlite_file import SqliteFile
from septum.errors import ConfigError, ConflictError, MissingExtraError, StorageError

log = logging.getLogger("septum.adapters.store")

DATABASE_NAME = "septum.sqlite"
MOVED_NAME = f"{DATABASE_NAME}.moved"  # what is left of it after `septum coordinator migrate`


@dataclass(frozen=True, slots=True)
class Stores:
    """An opened data directory. `epoch` counts its openings."""

    runs: SqlRunStore
    registry: SqlRegistry
    accounts: SqlAccounts
    apps: SqlApps
    people: SqlPeople
    credentials: SqlCredentials
    sessions: SqlSessions
    groups: SqlGroups
    projects: SqlProjects
    registered: SqlModelRegistry
    feed: SqlFeed
    audit: SqlAudit
    run_keys: SqlRunKeys
    epoch: int
    _database: Database
    _lock: DirectoryLock | None  # None: another process still has it, and has lost the database

    def check(self) -> None:
        """Raises StorageError unless the database takes a write, ConflictError when another coordinator took over."""
        with self._database.write() as connection:
            connection.execute(_SAME)

    def seal_secrets(self, sealed: Callable[[str, bytes], bytes]) -> int:
        """Replace each person's second factor's secret by what `sealed` makes of their name and it; how many changed.

        All in one transaction, and nothing of what was there is left in the database's files.
        """
        changed = 0
        with self._database.shredding(PEOPLE), self._database.write() as connection:
            for name, secret in connection.execute(_SECRETS).all():
                found = sealed(name, secret)
                if found != secret:
                    connection.execute(_SET_SECRET, {"of_name": name, "secret": found})
                    changed += 1
        return changed

    def close(self) -> None:
        """Write what is still in memory and give the directory up. Doing it twice is harmless."""
        try:
            self.registry.flush()
        except (StorageError, ConflictError) as error:  # when silos were last seen, to some seconds: no reason to fail
            log.warning("seen_not_written", extra={"error": error.message})
        finally:
            self._database.close()
            if self._lock is not None:
                self._lock.release()

    @property
    def lost(self) -> Future[None]:
        """Ends with a ConflictError when another coordinator has the database."""
        return self._database.lost

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_store(data_dir: Path, address: PostgresAddress | None = None) -> Stores:
    """Own `data_dir` and open its database, which is made or brought to the newest schema.

    It is the SQLite file in the directory, or the PostgreSQL database at `address`.

    Raises:
        ConflictError: Another coordinator owns the directory or the database; its process id is in the message.
        ConfigError: The directory or the database cannot be used, or the database is of a newer septum.
        StorageError: The PostgreSQL server does not answer.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the data directory {data_dir} cannot be made: {error.strerror}") from error
    lock = DirectoryLock(data_dir, "the coordinator") if address is None else None
    try:
        _refuse_the_other(data_dir, address)
        key = ensure_audit_key(data_dir)
        database = Database(SqliteFile(data_dir / DATABASE_NAME) if address is None else _server(address), begin)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    if lock is None:  # whoever has the database has the directory; it may be one of several machines
        with suppress(ConflictError):
            lock = DirectoryLock(data_dir, "the coordinator")
    return Stores(
        SqlRunStore(database),
        SqlRegistry(database),
        SqlAccounts(database),
        SqlApps(database),
        SqlPeople(database),
        SqlCredentials(database),
        SqlSessions(database),
        SqlGroups(database),
        SqlProjects(database),
        SqlModelRegistry(database),
        SqlFeed(database),
        SqlAudit(database, key.sign),
        SqlRunKeys(database),
        database.epoch,
        database,
        lock,
    )


_SECRETS = select(PEOPLE.c.name, PEOPLE.c.totp_secret).where(PEOPLE.c.totp_secret != b"")
_SET_SECRET = update(PEOPLE).where(PEOPLE.c.name == bindparam("of_name")).values(totp_secret=bindparam("secret"))
_SAME = update(COORDINATOR).values(epoch=COORDINATOR.c.epoch)


def _refuse_the_other(data_dir: Path, address: PostgresAddress | None) -> None:
    """Nobody begins with an empty database by mistake, or with the one of before."""
    if address is not None and (data_dir / DATABASE_NAME).exists():
        raise ConfigError(
            f"{data_dir} has a SQLite database, and [store] names the PostgreSQL database {address.shown}",
            hint=f"septum coordinator migrate --data-dir {data_dir} --to '{address.url}'",
        )
    if address is None and (data_dir / MOVED_NAME).exists() and not (data_dir / DATABASE_NAME).exists():
        raise ConfigError(
            f"the database of {data_dir} was moved to PostgreSQL, and no [store] says where",
            hint=f"set url in [store] of coordinator.toml; {MOVED_NAME} is as it was before",
        )


def need_driver() -> None:
    """Say what PostgreSQL needs before it is used. Raises MissingExtraError."""
    if find_spec("pg8000") is None:
        raise MissingExtraError(
            "PostgreSQL needs pg8000, which is not installed", hint="pip install 'septum[coordinator,postgres]'"
        )


def _server(address: PostgresAddress) -> Backend:
    need_driver()
    from septum.adapters.store.postgres import PostgresServer  # an optional extra, and 5 MB of SQLAlchemy's dialect

    return PostgresServer(address)
