"""How is the file of logs and loads opened, read and written? SQLite by itself, which waits for no disk.

WAL mode with `synchronous=NORMAL`: a commit is a write into the page cache, so a kill loses nothing, and a power loss
at most what was added last; the disk is waited for once in some MB. The runs' database is another file with another
writer, so no round waits for a line of a log. A file that is damaged or of another layout is put aside and a new one is
begun: nothing in it is needed to go on.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from septum.errors import StorageError
from septum.protocol.system import READINGS

log = logging.getLogger("septum.adapters.telemetry")

FILE_NAME = "telemetry.sqlite"
LAYOUT = 1
CACHE_KB = 256  # of each connection: the lines that come now; SQLite's own 2 MB fill up slowly, as if it were a leak
MAX_READERS = 4  # connections that are kept
_SUMS = ", ".join(f"{name} REAL, {name}_high REAL" for name in READINGS)
_TABLES = f"""
CREATE TABLE streams (run TEXT, silo TEXT, stream TEXT, next INTEGER, lines INTEGER, bytes INTEGER,
    PRIMARY KEY (run, silo)) WITHOUT ROWID;
CREATE TABLE lines (seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT, silo TEXT, at REAL, came REAL, level INTEGER,
    origin INTEGER, round INTEGER, text TEXT);
CREATE INDEX lines_of_run ON lines (run);
CREATE INDEX lines_of_silo ON lines (run, silo);
CREATE TABLE machines (machine TEXT PRIMARY KEY, newest REAL, memory_mb REAL, disk_mb REAL) WITHOUT ROWID;
CREATE TABLE points (machine TEXT, every INTEGER, at INTEGER, count INTEGER, {_SUMS},
    PRIMARY KEY (machine, every, at)) WITHOUT ROWID;
PRAGMA user_version={LAYOUT};
"""


class TelemetryFile:
    """The file, opened: one writer, some readers. For any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writer = _open(path)
        self._readers: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """The writer in a transaction; an exception undoes it. Raises StorageError."""
        with self._lock, _translated(self._path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with. Raises StorageError."""
        with _translated(self._path):
            with self._lock:
                connection = self._readers.pop() if self._readers else None
            connection = connection or _connect(self._path)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if not self._closed and len(self._readers) < MAX_READERS:
                    self._readers.append(connection)
                    return
            connection.close()

    def close(self) -> None:
        """Close all connections. Doing it twice is harmless."""
        with self._lock:
            self._closed = True
            self._writer.close()
            while self._readers:
                self._readers.pop().close()


def _open(path: Path) -> sqlite3.Connection:
    with _translated(path):
        problem = _unusable(path)
        if problem:
            _put_aside(path, problem)
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives -wal and -shm the same mode
        connection = _connect(path)
        try:
            if not _layout(connection):
                connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
        except BaseException:
            connection.close()
            raise
        return connection


def _unusable(path: Path) -> str:
    """Why what is there cannot be gone on with; empty if it can, or if nothing is there."""
    if not path.exists():
        return ""
    try:
        with closing(_connect(path)) as connection:
            layout = _layout(connection)
            if layout:
                connection.execute("SELECT max(seq) FROM lines").fetchone()
    except sqlite3.DatabaseError as error:
        if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return str(error)
        raise
    return "" if layout in (0, LAYOUT) else f"it has layout {layout}, this septum has {LAYOUT}"


def _layout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _put_aside(path: Path, why: str) -> None:
    aside = path.with_name(f"{path.name}.aside")
    log.error("telemetry_put_aside", extra={"path": str(path), "aside": str(aside), "reason": why})
    for end in ("", "-wal", "-shm"):
        if (part := path.with_name(path.name + end)).exists():
            part.replace(aside.with_name(aside.name + end))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(
            f"the file of logs {path} failed: {error}; nothing was changed", hint=f"df -h {path.parent}; ls -l {path}*"
        ) from error
