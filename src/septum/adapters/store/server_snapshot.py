"""How is a PostgreSQL database backed up while a coordinator writes it? As a SQLite file, of one committed state.

A backup is the same whatever the database lies in, and can be restored on a machine without PostgreSQL. Writers wait
only while the state to copy is chosen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect, select

from septum.adapters.store.copying import copy_tables, held_in
from septum.adapters.store.newest import make_tables
from septum.adapters.store.postgres import PostgresServer
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.store.schema import ALEMBIC, COORDINATOR, REVISION
from septum.adapters.store.snapshot import Snapshot
from septum.adapters.store.sqlite_file import SqliteFile
from septum.errors import ConfigError, StorageError


def copy_server(address: PostgresAddress, target: Path, while_still: Callable[[], None]) -> Snapshot:
    """Copy the newest committed state of a database into the new SQLite file `target`, which is compared with it.

    `while_still` is called while no commit can follow that state: what it finds on disk belongs to it.

    Raises ConfigError where there is no coordinator's database of this septum, StorageError when one of them fails.
    """
    with closing(PostgresServer(address)) as server, server.translated(), server.reading() as reader:
        if not inspect(reader).has_table(COORDINATOR.name):  # also chooses nothing yet: see below
            raise ConfigError(f"{server.shown} is no coordinator's database", hint=f"psql {address.flags} -c '\\dt'")
        reader.rollback()
        with server.still():
            reader.begin()
            epoch = reader.scalar(select(COORDINATOR.c.epoch))  # a transaction sees the state of its first read
            schema = reader.scalar(select(ALEMBIC.c.version_num))
            while_still()
        if schema != REVISION:
            raise ConfigError(
                f"{server.shown} has schema version {schema}, and this septum {REVISION}; nothing was copied",
                hint="back up with the septum that runs the coordinator",
            )
        with closing(SqliteFile(target)) as file, file.translated(), file.writing() as writer:
            make_tables(writer)
            copied = copy_tables(reader, writer)
            if held_in(writer) != copied:
                raise StorageError(f"{target} gives back other rows than it got", hint=f"df -h {target.parent}")
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # one file; who opens it turns WAL on again
    return Snapshot(str(schema), int(epoch or 0))
