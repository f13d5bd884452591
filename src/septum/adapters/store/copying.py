"""How does everything of one database come into another, of either kind? Table by table, and compared afterwards.

Rows are read in the order of their keys, which is the same in both kinds (text by its bytes), so a digest over them
tells whether two databases hold the same. Numbers that were given out stay given out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, insert, literal, select, text, tuple_

from septum.adapters.store.schema import ALEMBIC, METADATA

BATCH_BYTES = 4 * 2**20  # about; the state of a run may be a megabyte
MOST_ROWS = 2000
_FIRST_ROWS = 16


@dataclass(frozen=True, slots=True)
class Held:
    """What a table holds: how many rows, and the SHA-256 of them all."""

    rows: int
    digest: str


def copy_tables(source: Connection, target: Connection) -> Mapping[str, Held]:
    """Copy every row of `source` into the tables of `target`, which are empty; what was copied, by table.

    Both are at the newest schema, and inside a transaction.
    """
    copied = {}
    for table in _TABLES:
        held = _Digest()
        for rows in _batches(source, table):
            target.execute(insert(table), [dict(row._mapping) for row in rows])
            held.add(rows)
        copied[table.name] = held.made()
    _set_numbers(target, _numbers(source))
    return copied


def held_in(connection: Connection) -> Mapping[str, Held]:
    """What each table of a database at the newest schema holds."""
    found = {}
    for table in _TABLES:
        held = _Digest()
        for rows in _batches(connection, table):
            held.add(rows)
        found[table.name] = held.made()
    return found


_TABLES: Sequence[Table] = (*METADATA.sorted_tables, ALEMBIC)  # those that are referred to come first


class _Digest:
    def __init__(self) -> None:
        self._rows, self._hash = 0, sha256()

    def add(self, rows: Sequence[Row[Any]]) -> None:
        self._rows += len(rows)
        for row in rows:
            self._hash.update(repr(tuple(row)).encode())

    def made(self) -> Held:
        return Held(self._rows, self._hash.hexdigest())


def _batches(connection: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    keys: list[Column[Any]] = list(table.primary_key.columns)
    query, limit = select(table).order_by(*keys), _FIRST_ROWS
    rows = connection.execute(query.limit(limit)).all()
    while rows:
        yield rows
        last = tuple_(*(literal(rows[-1]._mapping[key], key.type) for key in keys))
        size = sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))
        limit = min(MOST_ROWS, max(1, limit * 2 if not size else BATCH_BYTES * len(rows) // size))
        rows = connection.execute(query.where(tuple_(*keys) > last).limit(limit)).all()


def _counted() -> Iterator[tuple[str, str]]:
    """Tables whose numbers are not given twice, each with its column."""
    for table in METADATA.sorted_tables:
        if table.dialect_options["sqlite"]["autoincrement"]:
            (key,) = table.primary_key.columns
            yield table.name, key.name


def _numbers(connection: Connection) -> dict[str, int]:
    """The newest number that each of them gave out; 0 where it gave none."""
    if connection.dialect.name == "sqlite":
        given = {row.name: int(row.seq) for row in connection.execute(text("SELECT name, seq FROM sqlite_sequence"))}
        return {table: given.get(table, 0) for table, _ in _counted()}
    found = {}
    for table, column in _counted():
        sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:of, :at)"), {"of": table, "at": column})
        row = connection.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608 - its own name
        found[table] = int(row.last_value) if row.is_called else 0
    return found


def _set_numbers(connection: Connection, numbers: Mapping[str, int]) -> None:
    for table, column in _counted():
        if not numbers[table]:
            continue
        if connection.dialect.name == "sqlite":
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :of"), {"of": table})
            connection.execute(
                text("INSERT INTO sqlite_sequence (name, seq) VALUES (:of, :newest)"),
                {"of": table, "newest": numbers[table]},
            )
        else:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:of, :at), :newest)"),
                {"of": table, "at": column, "newest": numbers[table]},
            )
