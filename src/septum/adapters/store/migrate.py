"""How a database reaches the schema of this septum: Alembic, run in one transaction, from scripts inside the package.

There is no `env.py` and no `alembic.ini`: nothing has to be found or configured where septum is installed. A process
killed in the middle leaves the old schema.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from septum import __version__
from septum.errors import ConfigError

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(connection: Connection, where: str) -> None:
    """Bring the database to the newest schema, inside the caller's transaction.

    Raises:
        ConfigError: The database was written by a newer septum. It is left as it was.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it announces each script at INFO
    scripts = ScriptDirectory(str(SCRIPTS))
    found = MigrationContext.configure(connection).get_current_heads()
    unknown = set(found) - known_revisions()
    if unknown:
        raise newer_schema(f"the database {where}", ", ".join(sorted(unknown)), _written_by(connection))

    def steps(heads: tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        missing = list(scripts.iterate_revisions("head", heads, implicit_base=True))
        return [MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in reversed(missing)]

    context = MigrationContext.configure(connection, opts={"fn": steps})
    with Operations.context(context):
        context.run_migrations()


def known_revisions() -> frozenset[str]:
    """Every schema version that this septum can open."""
    return frozenset(script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions())


def newest_revision() -> str:
    """The schema version at which the migrations arrive. Their names do not tell their order."""
    return str(ScriptDirectory(str(SCRIPTS)).get_current_head())


def newer_schema(what: str, revision: str, written_by: str) -> ConfigError:
    """That something is of a newer septum than this one, with both schema versions."""
    by = f", written by septum {written_by}" if written_by else ""
    wanted = f"'septum[coordinator]=={written_by}'" if written_by else "--upgrade 'septum[coordinator]'"
    return ConfigError(
        f"{what} has schema version {revision}{by}; this is septum {__version__}, which knows versions up to "
        f"{newest_revision()}",
        hint=f"upgrade: pip install {wanted}; a backup from before the upgrade can be restored for this one",
    )


def _written_by(connection: Connection) -> str:
    """The septum that opened the database last, if its schema still says so."""
    if not inspect(connection).has_table("openings"):
        return ""
    try:
        return str(connection.execute(text("SELECT septum FROM openings ORDER BY epoch DESC")).scalar() or "")
    except DBAPIError:  # a later schema need not have this column
        return ""
