"""How does a database reach the schema that the code uses? Mostly it has it; a new one gets it in one step.

Alembic is for those between. It is loaded for them alone: with what it brings it is 9 MB of an idle coordinator.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, inspect, select

from septum.adapters.store.schema import ALEMBIC, BEGINNING, METADATA, REVISION
from septum.errors import ConfigError


def to_newest_schema(connection: Connection, where: str) -> None:
    """Bring the database to the newest schema, inside the caller's transaction.

    Raises:
        ConfigError: The database was written by a newer septum, or by another program. It is left as it was.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        make_tables(connection)
        for table, row in (*BEGINNING, (ALEMBIC, {"version_num": REVISION})):
            connection.execute(insert(table).values(row))
    elif ALEMBIC.name not in tables and "runs" not in tables:
        raise ConfigError(
            f"{where} has tables, and they are not septum's: {', '.join(sorted(tables)[:3])}",
            hint="give septum a database of its own",
        )
    elif ALEMBIC.name not in tables or connection.scalars(select(ALEMBIC.c.version_num)).all() != [REVISION]:
        from septum.adapters.store.migrate import migrate

        migrate(connection, where)


def make_tables(connection: Connection) -> None:
    """Make all tables in an empty database, without a row."""
    METADATA.create_all(connection, checkfirst=False)
    ALEMBIC.create(connection)
