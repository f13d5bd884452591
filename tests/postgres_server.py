"""A real PostgreSQL server for tests: of the system, on a Unix socket, in a folder of its own. Nothing is mocked.

Where PostgreSQL is not installed, these tests are skipped and say so: apt-get install postgresql.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Table
from tests.faults.counting import until

from septum.adapters.store import postgres_driver
from septum.adapters.store.open import open_store
from septum.adapters.store.postgres_address import PostgresAddress, read_address
from septum.adapters.store.schema import BEGINNING, METADATA
from septum.testing.postgresql import programs, unprivileged

USER = "septum"
PORT = 5432  # of the name of the socket: nothing listens on it
STARTS_S = 60.0
_QUICK = ("fsync=off", "full_page_writes=off", "autovacuum=off", "listen_addresses=", "max_connections=40")


def _inserted(table: Table, row: Mapping[str, object]) -> str:
    values = ", ".join(str(value) if isinstance(value, int | float) else f"'{value}'" for value in row.values())
    return f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({values})"


_EMPTIED = "; ".join(
    [
        "DELETE FROM lease",
        *(f"DELETE FROM {table.name}" for table in reversed(METADATA.sorted_tables)),
        *(_inserted(table, row) for table, row in BEGINNING),
    ]
)


@dataclass(slots=True)
class Server:
    """A server that runs, in `folder`. `kill` is what a crash is."""

    folder: Path
    binaries: Path
    settings: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)
    _free: list[str] = field(default_factory=list)

    def make(self) -> None:
        """Make the data folder. Only who runs this test comes in, as `septum`, without a password."""
        owner = unprivileged()
        if owner:
            shutil.chown(self.folder, owner)
        command = [self.binaries / "initdb", "-D", self.folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            [*command, "--locale=C", "--no-sync"], user=owner, check=True, capture_output=True, cwd=self.folder
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        given = [part for one in (*_QUICK, *self.settings) for part in ("-c", one)]
        command = [self.binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, *given]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, user=unprivileged(), stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        until(self._answers, "PostgreSQL answers", STARTS_S)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: SIGINT ends sessions and tidies up, SIGQUIT leaves that to the next start."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(STARTS_S)
            self.process = None

    def restart(self) -> None:
        """As after a crash."""
        self.stop()
        self.start()

    def url(self, database: str, user: str = USER) -> str:
        """Of a database of this server."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def address(self, database: str) -> PostgresAddress:
        return read_address(self.url(database))

    def run(self, statement: str, database: str = "postgres") -> list[list[object]]:
        """Execute a statement as its administrator; the rows."""
        with self.session(database) as session:
            return session.run(statement, ()).rows or []

    @contextlib.contextmanager
    def session(self, database: str) -> Iterator[postgres_driver.Connection]:
        """A connection of its administrator."""
        connection = postgres_driver.connect(
            user=USER, database=database, unix_sock=f"{self.folder}/.s.PGSQL.{PORT}", ssl_context=False, timeout=60
        )
        try:
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The name of a new, empty database, until the end of the block."""
        name = f"database_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    @contextlib.contextmanager
    def store(self) -> Iterator[str]:
        """The name of a database as a coordinator has just made it. It is emptied afterwards, for the next test."""
        name = self._free.pop() if self._free else self._with_tables()
        try:
            yield name
        finally:
            self.run(_EMPTIED, name)
            self._free.append(name)

    def _with_tables(self) -> str:
        name = f"store_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0")
        with tempfile.TemporaryDirectory() as folder:
            open_store(Path(folder), self.address(name)).close()
        return name

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        with contextlib.suppress(postgres_driver.Error, OSError):
            return bool(self.run("SELECT 1"))
        return False


@contextlib.contextmanager
def running(*settings: str) -> Iterator[Server]:
    """A server of one's own, until the end of the block. Skips the test where there is none to be had."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="septum-pg-"))  # short, as the name of a socket has to be; open to its owner
    server = Server(folder, found, settings)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
