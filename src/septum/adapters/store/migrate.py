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
from sqlalchemy import Connection

from septum.errors import ConfigError

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(connection: Connection, where: Path) -> None:
    """Bring the database to the newest schema, inside the caller's transaction.

    Raises:
        ConfigError: The database was written by a newer septum. It is left as it was.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it announces each script at INFO
    scripts = ScriptDirectory(str(SCRIPTS))
    known = {script.revision for script in scripts.walk_revisions()}
    found = MigrationContext.configure(connection).get_current_heads()
    unknown = [revision for revision in found if revision not in known]
    if unknown:
        raise ConfigError(
            f"the database {where} has schema version {', '.join(unknown)}; this septum knows versions up to "
            f"{scripts.get_current_head()}",
            hint="upgrade: pip install --upgrade 'septum[coordinator]'",
        )

    def steps(heads: tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        missing = list(scripts.iterate_revisions("head", heads, implicit_base=True))
        return [MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in reversed(missing)]

    context = MigrationContext.configure(connection, opts={"fn": steps})
    with Operations.context(context):
        context.run_migrations()
