"""How are reads and writes of the coordinator's database done safely? One held writer, many readers, one epoch.

Every write checks the fencing epoch in its own transaction: a coordinator that another one has replaced cannot change
anything, even if it does not know it yet. Where the database lies is the matter of a `Backend`.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection, Table, delete, insert, select, update

from septum import __version__
from septum.adapters.store.newest import to_newest_schema
from septum.adapters.store.run_views import renew_views
from septum.adapters.store.schema import COORDINATOR, OPENINGS
from septum.errors import ConflictError

KEPT_OPENINGS = 100


class Ownership(Protocol):
    """That this process has the database. `lost` ends with a ConflictError when another one has it."""

    lost: Future[None]

    def begin(self) -> None:
        """The transaction in which it was claimed is committed."""

    def release(self) -> None:
        """Give it up, so that others need not wait. Doing it twice is harmless."""


class Backend(Protocol):
    """Where a database lies: a file of SQLite, or a server of PostgreSQL.

    Contract: writes come one after the other, also those of other processes, from `epoch` on to their end: what one
    has read in its transaction stays as it is until it ends. A reader sees one committed state. What fails has changed
    nothing, and is raised inside `translated` as an error that names the database.
    """

    @property
    def shown(self) -> str:
        """The database, as errors name it."""

    def writing(self) -> AbstractContextManager[Connection]:
        """The writer inside a transaction: committed and on disk at the end, rolled back on any exception."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A reader that sees one committed state until the end of the block."""

    def exclude(self, connection: Connection) -> None:
        """Let nobody else open the database until this transaction ends. There may be no tables yet.

        Raises ConflictError while another process has it.
        """

    def claim(self, connection: Connection, epoch: int) -> Ownership:
        """Have the database from the end of this transaction on."""

    def epoch(self, connection: Connection) -> int:
        """The fencing epoch, which nobody else raises until this transaction ends."""

    def changes(self, connection: Connection) -> int:
        """A number that grows when this writer changes a row."""

    def begin_shredding(self) -> None:
        """Leave nothing of what this writer replaces in the database's files, until `end_shredding`."""

    def end_shredding(self, table: str, *, changed: bool, again: bool) -> None:
        """It is over; it was about this table.

        `changed`: something was, just now. `again`: if not, what was deleted before may be left, and is looked for.
        """

    def translated(self) -> AbstractContextManager[None]:
        """What the driver and SQLAlchemy raise becomes an error that names the database and says what to do."""

    def close(self) -> None:
        """Close all connections. Doing it twice is harmless."""


class Database:
    """A database at the newest schema, opened for writing by this object alone."""

    def __init__(self, backend: Backend, opened: Callable[[Connection, int], None] = lambda *_: None) -> None:
        """`opened` is called in the transaction that raises the epoch, with the new one."""
        self._backend = backend
        self._lock = threading.Lock()
        self._along = threading.local()
        self._ownership: Ownership | None = None
        self._changed = False  # something, since shredding began
        try:
            with backend.translated():
                self.epoch, self._ownership = self._take_over(opened)
        except BaseException:
            self.close()
            raise

    @property
    def shown(self) -> str:
        """As errors name it."""
        return self._backend.shown

    @property
    def lost(self) -> Future[None]:
        """Ends with a ConflictError when another process has the database."""
        assert self._ownership is not None
        return self._ownership.lost

    def _take_over(self, opened: Callable[[Connection, int], None]) -> tuple[int, Ownership]:
        with self._backend.writing() as connection:
            self._backend.exclude(connection)
            to_newest_schema(connection, self._backend.shown)
            renew_views(connection)
            epoch = self._backend.epoch(connection) + 1
            connection.execute(update(COORDINATOR).values(epoch=epoch))
            mine = {"epoch": epoch, "at": time.time(), "septum": __version__, "pid": os.getpid()}
            connection.execute(delete(OPENINGS).where(OPENINGS.c.epoch <= epoch - KEPT_OPENINGS))
            connection.execute(insert(OPENINGS).values(host=socket.gethostname(), **mine))
            opened(connection, epoch)
            ownership = self._backend.claim(connection, epoch)
        ownership.begin()
        return epoch, ownership

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The writer inside a transaction: committed and on disk at the end, rolled back on any exception."""
        with self._lock, self._backend.translated(), self._backend.writing() as connection:
            epoch = self._backend.epoch(connection)
            if epoch != self.epoch:
                raise self._taken_over(connection, epoch)
            changes = self._backend.changes(connection)
            yield connection
            if self._backend.changes(connection) != changes:
                self._changed = True
                jobs, self._along.jobs = self._jobs(), []
                for job in jobs:
                    job(connection)

    @contextmanager
    def along(self, job: Callable[[Connection], object]) -> Iterator[None]:
        """While this is open, the next transaction of this thread that changes something does this, too, at its end."""
        self._along.jobs = [*self._jobs(), job]
        try:
            yield
        finally:
            self._along.jobs = [one for one in self._jobs() if one is not job]

    def _jobs(self) -> list[Callable[[Connection], object]]:
        return getattr(self._along, "jobs", [])

    def _taken_over(self, connection: Connection, epoch: int) -> ConflictError:
        by = connection.execute(select(OPENINGS).where(OPENINGS.c.epoch == epoch)).first()
        who = f", opened by process {by.pid} on {by.host}" if by else ""
        return ConflictError(
            f"another coordinator has taken over {self._backend.shown} (epoch {epoch}{who}; this one has {self.epoch})",
            hint="leave this one stopped; the other one goes on with its runs",
        )

    @contextmanager
    def shredding(self, table: Table, *, again: bool = False) -> Iterator[None]:
        """What transactions replace in this table meanwhile is not left in the database's files, as far as it can.

        `again`: nor is what was replaced before.
        """
        with self._lock, self._backend.translated():
            self._backend.begin_shredding()
            self._changed = False
        try:
            yield
        finally:
            with self._lock, self._backend.translated():
                self._backend.end_shredding(table.name, changed=self._changed, again=again)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A reader that sees one committed state until the end of the block."""
        with self._backend.translated(), self._backend.reading() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections. Doing it twice is harmless."""
        if self._ownership is not None:
            self._ownership.release()
        with self._lock:
            self._backend.close()
