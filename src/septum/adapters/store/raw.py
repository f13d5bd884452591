"""How does the driver itself execute a statement? For what every commit does: a tenth of the cost of going through.

Statements are SQLAlchemy's, as elsewhere. Their text is made once for each kind of database, and their parameters are
given in the order in which it has them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Insert, Select
from sqlalchemy.sql.compiler import SQLCompiler

Statement: TypeAlias = "Select[Any] | Insert"
_Written: TypeAlias = tuple[str, tuple[object, ...]]
_WRITTEN: dict[tuple[Statement, str], _Written] = {}


def rows_of(connection: Connection, statement: Statement, parameters: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
    """The rows that a query finds."""
    text, constants = _written(connection, statement)
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        return driver.execute(text, (*parameters, *constants)).fetchall()
    # postgres_driver.Connection, which is not loaded for SQLite
    return cast("Sequence[Sequence[Any]]", cast("Any", driver).run(text, (*parameters, *constants)).rows or [])


def add_rows(connection: Connection, statement: Insert, rows: Sequence[Sequence[object]]) -> None:
    """Execute an insert for each of these rows, which have every column of the table in its order."""
    text, _ = _written(connection, statement)
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        driver.executemany(text, rows)
        return
    for row in rows:
        cast("Any", driver).run(text, row)


def _written(connection: Connection, statement: Statement) -> _Written:
    """As this kind of database has it, and the values that it has at its end besides what is given: of its LIMIT."""
    key = statement, connection.dialect.name
    found = _WRITTEN.get(key)
    if found is None:
        compiled = statement.compile(dialect=connection.dialect)
        assert isinstance(compiled, SQLCompiler)
        own = [name for name in compiled.positiontup or () if not compiled.binds[name].required]
        found = _WRITTEN[key] = str(compiled), tuple(compiled.params[name] for name in own)
    return found
