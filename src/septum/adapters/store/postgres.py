"""How is a PostgreSQL database read and written? One held writer, a pool of readers, and a commit whose end is known.

A server restarts, and connections break. What breaks before COMMIT has changed nothing: a writer that finds its
connection gone when it begins takes a new one. What breaks during COMMIT may have been done or not: as soon as the
server answers again, it is asked whose transaction wrote the coordinator's row last, and until then nobody is told
anything and nothing else is written. (`pg_xact_status` would not do: a crash may give the same number out again.)
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from septum.adapters.store import postgres_driver
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.store.postgres_errors import LOCKED, cause_of, is_lost, sqlstate, translated
from septum.adapters.store.postgres_lease import Lease, refuse_held
from septum.errors import ConfigError, ConflictError, SeptumError, StorageError

log = logging.getLogger("septum.adapters.store")

ANSWER_S = 60.0  # of one statement; a migration may take a while
LOCK_WAIT_S = 5.0  # as for SQLite
LEFT_OPEN_S = 10.0  # a transaction of a process that is stopped in its middle is undone: others wait for it
OUTCOME_S = 30.0  # how long a commit waits for a server that restarts, before it is an error
AGAIN_S = 0.2
READERS = 8
_KEY = 0x7365_7074_756D  # of the advisory lock under which a database is opened: "septum"
_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED"
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Whoever writes holds this row to the end, which keeps the order of the feed that of the commits, and leaves its
# transaction's id in it.
_EPOCH = "UPDATE coordinator SET epoch = epoch RETURNING epoch, pg_current_xact_id()::xid::text"
_LAST = (
    "SELECT epoch, xmin::text FROM coordinator FOR UPDATE"  # waits until a commit that is still on its way has ended
)
_NEXT = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
# Whether VACUUM keeps what a transaction before this one has deleted: somebody may see it, here or at a standby.
_MAY_SEE = """
SELECT pg_snapshot_xmin(pg_current_snapshot()) < '{0}'::xid8
OR EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND age(backend_xmin) > age('{0}'::xid8::xid)
    AND (datname = current_database() OR datname IS NULL))
OR EXISTS (SELECT FROM pg_replication_slots WHERE age(xmin) > age('{0}'::xid8::xid))
"""
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
_SETTINGS = {
    "client_encoding": "UTF8",
    "lock_timeout": f"{LOCK_WAIT_S:g}s",
    "idle_in_transaction_session_timeout": f"{LEFT_OPEN_S:g}s",
}
_ERRORS = (DBAPIError, postgres_driver.Error, OSError)
registry.register("postgresql.septum", "septum.adapters.store.postgres_dialect", "Dialect")


class PostgresServer:
    """One database of a server. See `database.Backend` for the contract.

    Raises ConfigError when it cannot be entered, StorageError when it does not answer.
    """

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self._tls = address.tls()
        self._writing = self._engine(_WRITE, pooled=False)
        self._reading = self._engine(_READ, pooled=True)
        self._newest = (0, "")  # epoch and id of the newest transaction
        self._unknown = (0, "")  # of one whose COMMIT was not answered
        self._shredded: dict[str, int] = {}  # tables where what is deleted may be left, and a transaction after that
        self._closing = threading.Event()
        with self.translated():
            self._writer = self._writing.connect()

    @property
    def shown(self) -> str:
        """As errors name it."""
        return f"the PostgreSQL database {self._address.shown}"

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The held writer inside a transaction."""
        self._settle()
        _begin(self._writer)
        try:
            yield self._writer
        except BaseException:
            _undo(self._writer)
            raise
        self._commit()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A reader inside a transaction."""
        with self._reading.connect() as connection:
            _begin(connection)
            yield connection

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nobody writes until the end of the block. Nothing is written here, either."""
        with self._writing.connect() as connection, connection.begin():
            _driver(connection).run(_LAST, ())
            yield

    def exclude(self, connection: Connection) -> None:
        """A lock that has no table: there may be none. And nobody else may have the lease."""
        session = _driver(connection)
        session.run(f"SELECT pg_advisory_xact_lock({_KEY})", ())
        refuse_held(session, self._address)

    def claim(self, connection: Connection, epoch: int) -> Lease:
        """The database is this process's now, until it says so no more."""
        return Lease(_driver(connection), self._address, self._connect, epoch)

    def epoch(self, connection: Connection) -> int:
        """The epoch of this moment, until the transaction ends."""
        ((epoch, transaction),) = _driver(connection).run(_EPOCH, ()).rows
        self._newest = int(epoch), str(transaction)
        return int(epoch)

    def changes(self, connection: Connection) -> int:
        """How many rows this writer has changed so far."""
        return _driver(connection).changed

    def begin_shredding(self) -> None:
        """The table is written anew at the end."""

    def end_shredding(self, table: str, *, changed: bool, again: bool) -> None:
        """Old versions of rows go with the table's old file, once nobody can see them. The server's log keeps them."""
        session = self._connect()
        try:
            if changed or (again and table not in self._shredded):
                self._shredded[table] = int(session.run(_NEXT, ()).rows[0][0])
            if table in self._shredded and not _is_past(session, self._shredded[table]):
                raise self._may_be_left(table)
            session.run(f"VACUUM FULL {table}", ())
            self._shredded.pop(table, None)
        except postgres_driver.Error as error:
            if sqlstate(error) != LOCKED:
                raise
            raise self._may_be_left(table) from error
        finally:
            session.close()

    def _may_be_left(self, table: str) -> StorageError:
        return StorageError(
            f"what was deleted may still be in the table {table} of {self.shown}: somebody has read it, or had a "
            f"transaction open from before, for {LOCK_WAIT_S:g} s, such as a backup",
            hint=f"who: psql {self._address.flags} -c 'TABLE pg_stat_activity'",
        )

    def translated(self) -> AbstractContextManager[None]:
        """Errors name the server and the database."""
        return translated(self._address)

    def close(self) -> None:
        """Close all connections."""
        self._closing.set()
        self._writer.close()
        self._writing.dispose()
        self._reading.dispose()

    def _commit(self) -> None:
        """Commit. Where the connection breaks meanwhile, find out whether it was."""
        newest, self._newest = self._newest, (0, "")
        try:
            self._writer.commit()
        except _ERRORS as error:
            _undo(self._writer)
            if not is_lost(cause_of(error)) or not newest[0]:
                raise
            self._unknown = newest
            log.warning("commit_unanswered", extra={"database": self._address.shown})
            if not self._was_committed(OUTCOME_S):
                raise

    def _settle(self) -> None:
        """Find out first what became of a commit that was given up. Raises ConflictError if it was done after all."""
        if self._unknown[0] and self._was_committed(0.0):
            raise ConflictError(
                f"a change of {self.shown} was told to have failed, and was made: the server was away too long",
                hint="septum coordinator start: it goes on from what is in the database",
            )

    def _was_committed(self, patience_s: float) -> bool:
        """Whether the transaction of unknown end was committed. Raises StorageError while nobody can tell."""
        until = time.monotonic() + patience_s
        while True:
            epoch, last = self._last()
            if epoch:
                unknown, self._unknown = self._unknown, (0, "")
                if epoch == unknown[0]:
                    return last == unknown[1]
                raise ConflictError(
                    f"another coordinator has taken over {self.shown} in the middle of a commit",
                    hint="leave this one stopped; the other one goes on with its runs",
                )
            if time.monotonic() >= until or self._closing.wait(AGAIN_S):
                raise StorageError(
                    f"the PostgreSQL server at {self._address.host}:{self._address.port} went away in the middle of a "
                    "commit; whether it was made is found out when it answers",
                    hint=f"pg_isready {self._address.flags}",
                )

    def _last(self) -> tuple[int, str]:
        """Epoch and id of the transaction that wrote last; nothing while the server does not tell."""
        with suppress(SeptumError), self.translated(), self._writing.connect() as connection, connection.begin():
            ((epoch, transaction),) = _driver(connection).run(_LAST, ()).rows
            return int(epoch), str(transaction)
        return 0, ""

    def _engine(self, begin: str, *, pooled: bool) -> Engine:
        pool = {"pool_size": READERS} if pooled else {}
        engine = create_engine(
            "postgresql+septum://",
            creator=self._connect,
            poolclass=QueuePool if pooled else NullPool,
            hide_parameters=True,
            **pool,
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            _driver(connection).run(begin, ())

        return engine

    def _connect(self) -> postgres_driver.Connection:
        address = self._address
        here = address.host.startswith("/")
        connection = postgres_driver.connect(
            user=address.user,
            password=address.password,
            database=address.database,
            host=address.host,
            port=address.port,
            unix_sock=f"{address.host}/.s.PGSQL.{address.port}" if here else None,
            ssl_context=self._tls or False,
            timeout=ANSWER_S,
            application_name="septum",
            startup_params=_SETTINGS,
        )
        encoding = connection.parameter_statuses.get("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise ConfigError(
                f"{self.shown} has the encoding {encoding}; septum needs UTF8",
                hint=f"createdb {address.flags} -O {address.user} -E UTF8 -T template0 {address.database}",
            )
        connection.run(_DURABLE, ())
        return connection


def _is_past(session: postgres_driver.Connection, transaction: int) -> bool:
    """Wait until nobody sees what was before a transaction; whether that came to be."""
    until = time.monotonic() + LOCK_WAIT_S
    while session.run(_MAY_SEE.format(transaction), ()).rows[0][0]:
        if time.monotonic() >= until:
            return False
        time.sleep(AGAIN_S)
    return True


def _begin(connection: Connection) -> None:
    """Begin a transaction. A connection that turns out to be gone is replaced once: nothing was done by it yet."""
    try:
        connection.begin()
    except _ERRORS as error:
        if not is_lost(cause_of(error)):
            raise
        connection.invalidate()
        connection.begin()


def _undo(connection: Connection) -> None:
    try:
        connection.rollback()
    except _ERRORS:  # the server undoes it
        connection.invalidate()
        connection.rollback()


def _driver(connection: Connection) -> postgres_driver.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, postgres_driver.Connection)
    return driver
