"""How does a stopped coordinator's SQLite database move to PostgreSQL? Whole, compared, and once.

All of it is one transaction of PostgreSQL: killed at any moment, there is either nothing or everything, and the same
command goes on. The SQLite file is renamed at the end, so that nobody starts from it by mistake.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from sqlalchemy import Connection, inspect, select

from septum.adapters.ownership import DirectoryLock
from septum.adapters.store.copying import Held, copy_tables, held_in
from septum.adapters.store.newest import make_tables, to_newest_schema
from septum.adapters.store.open import DATABASE_NAME, MOVED_NAME
from septum.adapters.store.postgres import PostgresServer
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.store.schema import ALEMBIC, REVISION
from septum.adapters.store.sqlite_file import SqliteFile
from septum.errors import ConfigError, ConflictError, StorageError


def move_to_postgres(
    data_dir: Path, address: PostgresAddress, note: Callable[[str], None] = lambda _: None
) -> Mapping[str, Held]:
    """Copy the SQLite database in `data_dir` into the empty one at `address`; what was copied, by table.

    Raises ConfigError where there is no such database, ConflictError when the directory is in use or the other
    database is not empty, StorageError when one of them fails. Nothing is changed then.
    """
    path = data_dir / DATABASE_NAME
    if not path.is_file():
        moved = f"; it was moved before, and is {MOVED_NAME} now" if (data_dir / MOVED_NAME).exists() else ""
        raise ConfigError(f"there is no coordinator's database {path}{moved}", hint=f"ls -l {data_dir}")
    with ExitStack() as stack:
        lock = DirectoryLock(data_dir, "the coordinator")
        stack.callback(lock.release)
        source, target = SqliteFile(path), PostgresServer(address)
        stack.enter_context(closing(source))
        stack.enter_context(closing(target))
        with source.translated(), source.writing() as connection:
            to_newest_schema(connection, source.shown)
        with source.translated(), source.reading() as reader, target.translated(), target.writing() as writer:
            target.exclude(writer)
            copied = _copy(reader, writer, target.shown, note)
    _set_aside(path, data_dir / MOVED_NAME)
    return copied


def _copy(reader: Connection, writer: Connection, where: str, note: Callable[[str], None]) -> Mapping[str, Held]:
    if inspect(writer).get_table_names():
        return _made_before(reader, writer, where)
    make_tables(writer)
    note("copying")
    copied = copy_tables(reader, writer)
    note(f"{sum(one.rows for one in copied.values())} rows are copied; comparing them")
    found = held_in(writer)
    for table, held in copied.items():
        if found[table] != held:
            raise StorageError(
                f"{where} gives back other rows of {table} than it got: {found[table].rows} instead of {held.rows}, or "
                "with other contents; nothing was moved",
                hint="the log of the PostgreSQL server",
            )
    return copied


def _made_before(reader: Connection, writer: Connection, where: str) -> Mapping[str, Held]:
    """What an earlier attempt had copied, which ended before the file was set aside."""
    known = inspect(writer).has_table(ALEMBIC.name)
    if known and writer.scalars(select(ALEMBIC.c.version_num)).all() == [REVISION]:
        held = held_in(reader)
        if held_in(writer) == held:
            return held
    raise ConflictError(f"{where} is not empty; nothing was changed", hint="name a new one: createdb")


def _set_aside(path: Path, moved: Path) -> None:
    path.rename(moved)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
