"""Every revision since PostgreSQL is known arrives there at what it arrives at in SQLite: schema and rows."""

from __future__ import annotations

import pytest
from sqlalchemy import MetaData, create_engine, insert, select
from tests.golden.data_dirs import ORDER, SCHEMAS, data_dir_of

from septum.adapters.store.copying import held_in
from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.adapters.store.postgres import PostgresServer

pytestmark = pytest.mark.processes

FIRST = "0024"  # no PostgreSQL database of an older schema was ever made
SINCE = [path for path in SCHEMAS if ORDER.index(path.name.removeprefix("schema-")) <= ORDER.index(FIRST)]
COLUMNS = """SELECT table_name, column_name, data_type, is_nullable, collation_name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2"""
INDEXES = """SELECT indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"""


@pytest.mark.parametrize("schema", SINCE, ids=lambda path: path.name)
def test_a_database_of_this_schema_is_migrated_as_in_sqlite(schema, postgres, tmp_path):
    data_dir = data_dir_of(schema, tmp_path / "data")
    with postgres.database() as name, postgres.store() as new:
        as_it_was(data_dir, postgres.address(name))
        with open_store(data_dir) as stores, stores.runs._database.read() as connection:
            expected = held_in(connection)
        with (
            open_store(tmp_path / "else", postgres.address(name)) as stores,
            stores.runs._database.read() as connection,
        ):
            found = held_in(connection)
        differ = {table for table, held in found.items() if held != expected[table]}
        assert differ <= {"openings", "audit", "run_keys"}  # the salts of keys are random
        assert found["run_keys"].rows == expected["run_keys"].rows
        for about in (COLUMNS, INDEXES):
            assert postgres.run(about, name) == postgres.run(about, new)


def as_it_was(data_dir, address):
    """The SQLite database of that time, table by table, in PostgreSQL."""
    engine, tables = create_engine(f"sqlite:///{data_dir / DATABASE_NAME}"), MetaData()
    server = PostgresServer(address)
    with engine.connect() as source, server.writing() as target:
        tables.reflect(source)
        for table in tables.sorted_tables:
            for column in table.columns:
                column.type = column.type.as_generic()
        tables.create_all(target)
        for table in tables.sorted_tables:
            rows = [dict(row._mapping) for row in source.execute(select(table))]
            if rows:
                target.execute(insert(table), rows)
    engine.dispose()
    server.close()
