"""How are reads and writes of one SQLite file done safely? One held writer, many readers, errors that name the file.

WAL mode, so readers never wait for the writer; `synchronous=FULL`, so a commit that returned survives a power loss.
Every write takes the write lock at its beginning (BEGIN IMMEDIATE) and checks the fencing epoch in the same
transaction: a coordinator that another one has replaced cannot change anything, even if it does not know it yet.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from septum import __version__
from septum.adapters.store.migrate import migrate
from septum.adapters.store.run_views import renew_views
from septum.adapters.store.schema import COORDINATOR, FEED, OPENINGS
from septum.errors import ConflictError, SeptumError, StorageError

BUSY_TIMEOUT_S = 5.0  # a backup tool may hold the database for a moment
KEPT_OPENINGS = 100
_EPOCH = str(select(COORDINATOR.c.epoch))
_TELL = insert(FEED)


class Database:
    """One SQLite file, at the newest schema, opened for writing by this object alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives -wal and -shm the same mode
        self._lock = threading.Lock()
        self._to_tell = threading.local()
        with translated(path):
            self._writing = _engine(lambda: _connect(path), "BEGIN IMMEDIATE", pooled=False)
            self._reading = _engine(lambda: _connect(path, read_only=True), "BEGIN", pooled=True)
            self._writer = self._writing.connect()
            try:
                self.epoch = self._take_over()
            except BaseException:
                self.close()
                raise

    def _take_over(self) -> int:
        with self._writer.begin():
            migrate(self._writer, self.path)
            renew_views(self._writer)
            self._writer.execute(update(COORDINATOR).values(epoch=COORDINATOR.c.epoch + 1))
            epoch = int(self._writer.scalar(select(COORDINATOR.c.epoch)) or 0)
            mine = {"epoch": epoch, "at": time.time(), "septum": __version__, "pid": os.getpid()}
            self._writer.execute(delete(OPENINGS).where(OPENINGS.c.epoch <= epoch - KEPT_OPENINGS))
            self._writer.execute(insert(OPENINGS).values(host=socket.gethostname(), **mine))
            return epoch

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The writer inside a transaction: committed and on disk at the end, rolled back on any exception."""
        with self._lock, translated(self.path), self._writer.begin():
            (epoch,) = _driver(self._writer).execute(_EPOCH).fetchone()
            if epoch != self.epoch:
                raise self._taken_over(epoch)
            changes = _driver(self._writer).total_changes
            yield self._writer
            if _driver(self._writer).total_changes != changes:
                self._tell()

    @contextmanager
    def telling(self, rows: Sequence[Mapping[str, object]]) -> Iterator[None]:
        """While this is open, the next transaction of this thread that changes something adds these to the feed."""
        self._to_tell.rows = rows
        try:
            yield
        finally:
            self._to_tell.rows = ()

    def _tell(self) -> None:
        rows, self._to_tell.rows = getattr(self._to_tell, "rows", ()), ()
        if rows:
            self._writer.execute(_TELL, list(rows))

    def _taken_over(self, epoch: int) -> ConflictError:
        by = self._writer.execute(select(OPENINGS).where(OPENINGS.c.epoch == epoch)).first()
        who = f", opened by process {by.pid} on {by.host}" if by else ""
        return ConflictError(
            f"another coordinator has taken over {self.path} (epoch {epoch}{who}; this one has {self.epoch})",
            hint="leave this one stopped; the other one goes on with its runs",
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A reader that sees one committed state until the end of the block."""
        with translated(self.path), self._reading.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections. Doing it twice is harmless."""
        with self._lock:
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
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool if pooled else NullPool)

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
