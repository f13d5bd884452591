"""How is PostgreSQL spoken to? By pg8000, with each statement prepared once a connection.

pg8000's own cursor asks three times for each statement: parse, describe, execute. Here the first two are done once and
kept, so a statement of a round is one question and one answer. Parameters are `$1, $2`, as the server counts them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from pg8000.converters import make_params
from pg8000.dbapi import (
    Connection as Pg8000Connection,
)
from pg8000.dbapi import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from pg8000.dbapi import (
    Warning as Pg8000Warning,
)

__all__ = [  # what PEP 249 asks of a driver's module
    "Binary",
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Warning",
    "connect",
]

Warning = Pg8000Warning
Binary = bytes
paramstyle = "numeric_dollar"
_CHANGING = ("INSERT", "UPDATE", "DELETE")
MOST_PREPARED = 256  # statements of a connection; the oldest unused one goes


class Connection(Pg8000Connection):  # type: ignore[misc] # pg8000 is not typed
    """A connection whose cursors prepare. Transactions are begun by whoever uses it: see `sqlalchemy` event `begin`."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - as pg8000 takes them
        super().__init__(**settings)
        self.autocommit = True
        self.changed = 0  # rows, by all statements so far
        self._prepared: OrderedDict[str, tuple[Any, ...]] = OrderedDict()

    def cursor(self) -> Cursor:
        """A new cursor."""
        return Cursor(self)

    def commit(self) -> None:
        """End the transaction. One question, and not the three of a prepared statement."""
        self.execute_simple("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self._in_transaction:
            self.execute_simple("ROLLBACK")

    def close(self) -> None:
        """Close it. That the server was faster is no error, and hides none: it is what happens to who is refused."""
        with suppress(InterfaceError):
            super().close()

    def run(self, statement: str, parameters: Sequence[object]) -> Any:  # noqa: ANN401 - pg8000's Context
        """Execute one statement; its rows, columns and row count."""
        if self._sock is None:
            raise InterfaceError("connection is closed")
        found = self._found(statement, parameters)
        if statement.startswith(_CHANGING):
            self.changed += max(found.row_count, 0)
        return found

    def _found(self, statement: str, parameters: Sequence[object]) -> Any:  # noqa: ANN401 - as above
        if not parameters:
            return self.execute_simple(statement)
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = self._prepared[statement] = self.prepare_statement(statement, ())
            if len(self._prepared) > MOST_PREPARED:
                _, oldest = self._prepared.popitem(last=False)
                self.close_prepared_statement(oldest[0])
        else:
            self._prepared.move_to_end(statement)
        name, columns, functions = prepared
        return self.execute_named(name, make_params(self.py_types, parameters), columns, functions, statement)


def connect(**settings: Any) -> Connection:  # noqa: ANN401 - as pg8000 takes them
    """Open a connection."""
    return Connection(**settings)


class Cursor:
    """What PEP 249 asks of a cursor, as far as SQLAlchemy uses it."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: Iterator[Sequence[object]] = iter(())
        self.description: list[tuple[object, ...]] | None = None
        self.rowcount = -1

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> None:
        """Execute one statement."""
        found = self._connection.run(statement, parameters)
        self.rowcount = found.row_count
        self.description = [
            (column["name"], column["type_oid"], None, None, None, None, None) for column in found.columns or ()
        ] or None
        self._rows = iter(found.rows or ())

    def executemany(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Execute one statement for each of these; `rowcount` is that of all together."""
        total = 0
        for row in rows:
            self.execute(statement, row)
            total += max(self.rowcount, 0)
        self.rowcount = total

    def fetchone(self) -> Sequence[object] | None:
        """The next row."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Sequence[object]]:
        """The next rows."""
        return list(islice(self._rows, size or self.arraysize))

    def fetchall(self) -> list[Sequence[object]]:
        """The rows that are left."""
        return list(self._rows)

    def setinputsizes(self, *sizes: object) -> None:
        """Types are in the statements."""

    def close(self) -> None:
        """Forget the rows."""
        self._rows = iter(())
