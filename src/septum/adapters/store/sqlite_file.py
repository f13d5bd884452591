"""How is one SQLite file opened, and what do its errors mean? WAL mode, so readers never wait for the writer.

`synchronous=FULL`, so a commit that returned survives a power loss. Every write takes the write lock at its beginning
(BEGIN IMMEDIATE).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from septum.adapters.store.database import Ownership
from septum.adapters.store.schema import COORDINATOR
from septum.errors import SeptumError, StorageError

BUSY_TIMEOUT_S = 5.0  # a backup tool may hold the database for a moment
_EPOCH = str(select(COORDINATOR.c.epoch))


class _Owned:
    """The file's directory is locked by this process: adapters/ownership.py."""

    def __init__(self) -> None:
        self.lost: Future[None] = Future()

    def begin(self) -> None:
        """There is nothing to renew."""

    def release(self) -> None:
        """The lock of the directory is given back by whoever took it."""


class SqliteFile:
    """One file, which is made if it is not there. See `database.Backend` for the contract."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives -wal and -shm the same mode
        self._writing = _engine(lambda: _connect(path), "BEGIN IMMEDIATE", pooled=False)
        self._reading = _engine(lambda: _connect(path, read_only=True), "BEGIN", pooled=True)
        with self.translated():
            self._writer = self._writing.connect()

    @property
    def shown(self) -> str:
        """As errors name it."""
        return str(self._path)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The held writer inside a transaction."""
        with self._writer.begin():
            yield self._writer

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A reader inside a transaction."""
        with self._reading.connect() as connection, connection.begin():
            yield connection

    def exclude(self, connection: Connection) -> None:
        """The file is locked from the beginning of the transaction on."""

    def claim(self, connection: Connection, epoch: int) -> Ownership:
        """Whoever has the directory has the file; there is nothing to do."""
        del connection, epoch
        return _Owned()

    def epoch(self, connection: Connection) -> int:
        """The epoch of this moment."""
        (epoch,) = _driver(connection).execute(_EPOCH).fetchone()
        return int(epoch)

    def changes(self, connection: Connection) -> int:
        """How many rows this connection has changed so far."""
        return _driver(connection).total_changes

    def begin_shredding(self) -> None:
        """What is replaced is overwritten in the file."""
        _driver(self._writer).execute("PRAGMA secure_delete=ON")

    def end_shredding(self, table: str, *, changed: bool, again: bool) -> None:
        """And in the log beside it."""
        del table, changed, again
        _driver(self._writer).execute("PRAGMA secure_delete=OFF")
        busy, *_ = _driver(self._writer).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageError(
                f"what was deleted may still be in {self._path}-wal: somebody has read the database for "
                f"{BUSY_TIMEOUT_S:g} s, such as a backup",
                hint=f"who: fuser {self._path}",
            )

    def translated(self) -> AbstractContextManager[None]:
        """Errors name the file."""
        return translated(self._path)

    def close(self) -> None:
        """Close all connections."""
        self._writer.close()
        self._writing.dispose()
        self._reading.dispose()


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", *(("query_only=ON",) if read_only else ()))
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _engine(connect: Callable[[], sqlite3.Connection], begin: str, *, pooled: bool) -> Engine:
    pool = QueuePool if pooled else NullPool
    engine = create_engine("sqlite://", creator=connect, poolclass=pool, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:  # the driver's own implicit BEGIN is off: it comes too late for us
        _driver(connection).execute(begin)

    return engine


def _driver(connection: Connection) -> sqlite3.Connection:
    """The driver's connection, for the two statements of every transaction: a tenth of the cost of going through."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite and SQLAlchemy raise becomes an error that names the file and says what to do."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise _error(path, cause) from error


def _error(path: Path, cause: BaseException | None) -> SeptumError:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary result code
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageError(
                f"the database {path} was locked by another process for {BUSY_TIMEOUT_S:g} s; nothing was changed",
                hint=f"fuser {path}",
            )
        case sqlite3.SQLITE_FULL:
            return StorageError(
                f"no space left for the database {path}; nothing was changed", hint=f"df -h {path.parent}"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return StorageError(
                f"the database {path} cannot be written: {cause}; nothing was changed",
                hint=f"ls -ld {path.parent} {path}*; findmnt --target {path}",
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StorageError(
                f"the database {path} is damaged: {cause}", hint=f"sqlite3 {path} 'PRAGMA integrity_check', or a backup"
            )
    return StorageError(
        f"the database {path} failed: {cause}; nothing was changed", hint=f"df -h {path.parent}; dmesg | tail"
    )
