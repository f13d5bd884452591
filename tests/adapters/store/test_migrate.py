"""Does every database arrive at the one schema, or stay as it was?"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from sqlalchemy import create_engine

from septum import __version__
from septum.adapters.store import migrate
from septum.adapters.store.newest import to_newest_schema
from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.adapters.store.schema import REVISION
from septum.errors import ConfigError
from septum.testing.contracts.samples import new_run

SCHEMA = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%' AND name NOT LIKE 'sqlite_%' ORDER BY name"
HEAD = migrate.newest_revision()
NEXT = """
from alembic import op
import sqlalchemy as sa
revision = "next"
down_revision = "HEAD"
def upgrade() -> None:
    op.create_table("notes", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("DELETE FROM journal")
    op.execute("DELETE FROM run_views")
    op.execute("DELETE FROM run_keys")
    op.execute("DELETE FROM run_index")
    op.execute("DELETE FROM runs")
"""


NEXT = NEXT.replace("HEAD", HEAD)


def query(data_dir, sql):
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as connection, connection:
        return connection.execute(sql).fetchall()


def test_the_migrations_arrive_at_the_schema_and_the_rows_of_a_new_database(tmp_path):
    made, migrated = contents(tmp_path / "made", to_newest_schema), contents(tmp_path / "migrated", migrate.migrate)
    assert migrated == made
    assert made["schema"]
    assert made["alembic_version"] == [(HEAD,)] == [(REVISION,)]


def contents(data_dir, bring):
    """The schema and all rows of an empty database that was brought to the newest schema."""
    data_dir.mkdir()
    engine = create_engine(f"sqlite:///{data_dir / DATABASE_NAME}")
    with engine.begin() as connection:
        bring(connection, data_dir)
    engine.dispose()
    tables = query(data_dir, SCHEMA)
    # White space aside, of which SQLite writes less for a column that was added.
    found = {"schema": [(name, " ".join(sql.split())) for name, sql in tables]}
    names = [name for name, sql in tables if sql.startswith("CREATE TABLE")]
    return found | {name: query(data_dir, f"SELECT * FROM {name}") for name in (*names, "alembic_version")}


@pytest.mark.processes
def test_a_database_that_is_new_or_at_the_newest_schema_is_opened_without_alembic(tmp_path):
    program = f"""if True:
        import sys
        from pathlib import Path
        from septum.adapters.store.open import open_store
        open_store(Path({str(tmp_path)!r})).close()
        sys.exit("alembic" in sys.modules and "it is loaded")
    """
    for _ in range(2):  # new, then as it is
        subprocess.run([sys.executable, "-c", program], check=True)


def test_a_database_of_a_newer_septum_is_refused_and_left_as_it_is(tmp_path):
    open_store(tmp_path).close()
    query(tmp_path, "UPDATE alembic_version SET version_num = '0417'")
    query(tmp_path, "UPDATE openings SET septum = '9.1.0'")
    before = (tmp_path / DATABASE_NAME).read_bytes()
    for _ in range(2):  # the second time: the lock was given back
        with pytest.raises(ConfigError) as refused:
            open_store(tmp_path)
    assert "has schema version 0417, written by septum 9.1.0" in refused.value.message
    assert f"this is septum {__version__}, which knows versions up to {HEAD}" in refused.value.message
    assert "pip install 'septum[coordinator]==9.1.0'" in refused.value.hint
    assert (tmp_path / DATABASE_NAME).read_bytes() == before


def test_a_newer_database_that_no_longer_says_who_wrote_it_is_refused_as_well(tmp_path):
    open_store(tmp_path).close()
    query(tmp_path, "UPDATE alembic_version SET version_num = '0417'")
    for change in ("ALTER TABLE openings RENAME COLUMN septum TO program", "DROP TABLE openings"):
        query(tmp_path, change)
        with pytest.raises(ConfigError, match=rf"schema version 0417; this is septum .* up to {HEAD}") as refused:
            open_store(tmp_path)
        assert "pip install --upgrade" in refused.value.hint


def test_the_newest_openings_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr("septum.adapters.store.database.KEPT_OPENINGS", 3)
    for _ in range(5):
        open_store(tmp_path).close()
    mine = (__version__, socket.gethostname(), os.getpid())
    assert query(tmp_path, "SELECT epoch, septum, host, pid FROM openings ORDER BY epoch") == [
        (epoch, *mine) for epoch in (3, 4, 5)
    ]


@pytest.fixture
def next_script(tmp_path, monkeypatch):
    """A database that is there, then the migration scripts with one more, whose text a test may change."""
    with open_store(tmp_path / "data") as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
    shutil.copytree(migrate.SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrate, "SCRIPTS", tmp_path / "scripts")
    monkeypatch.setattr("septum.adapters.store.newest.REVISION", "next")
    return tmp_path / "scripts" / "versions" / "next_notes.py"


def test_an_older_database_is_migrated_when_it_is_opened(tmp_path, next_script):
    next_script.write_text(NEXT)
    with open_store(tmp_path / "data") as stores:
        assert stores.runs.page(limit=9) == []
    assert query(tmp_path / "data", "SELECT count(*) FROM notes") == [(0,)]
    assert query(tmp_path / "data", "SELECT version_num FROM alembic_version") == [("next",)]


def test_a_migration_that_fails_in_the_middle_changes_nothing(tmp_path, next_script):
    next_script.write_text(NEXT + "    raise RuntimeError('half way')\n")
    with pytest.raises(RuntimeError, match="half way"):
        open_store(tmp_path / "data")
    next_script.unlink()
    assert query(tmp_path / "data", "SELECT name FROM sqlite_master WHERE name = 'notes'") == []
    with open_store(tmp_path / "data") as stores:
        assert stores.epoch == 2
        assert stores.runs.get("run-a").run == new_run("run-a")


def test_opening_says_nothing(tmp_path, capfd, caplog):
    with caplog.at_level(logging.INFO):
        open_store(tmp_path).close()
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_a_directory_with_odd_characters_is_no_problem(tmp_path):
    data_dir = tmp_path / "100 % ours? #1 é"
    with open_store(data_dir) as stores:
        stores.runs.create(new_run("run-a"), (), at=1.0)
    assert (data_dir / DATABASE_NAME).exists()
