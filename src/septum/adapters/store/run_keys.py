"""Where are the salts of runs' keys? In a narrow table. Port: ports/run_keys.py.

A salt that is deleted must be in no page of the database's file. A page that was divided when the table grew may hold
what has moved to another one, where nobody reads it. So SQLite's table is emptied, by which all of its pages are
overwritten, and filled again; a hundred thousand runs are 10 MB.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.missing import not_found
from septum.adapters.store.run_views import keep_view
from septum.adapters.store.schema import MAX_ENTRY_BYTES, RUN_KEYS, RUNS
from septum.errors import ConflictError
from septum.ports.run_keys import SALT_BYTES, refuse_shredded
from septum.protocol.codec import from_json, loads
from septum.protocol.run_state import Run

_ADD = insert(RUN_KEYS)
_ALL = select(RUN_KEYS).order_by(RUN_KEYS.c.run_id)
_ONE = select(RUN_KEYS).where(RUN_KEYS.c.run_id == bindparam("of_run"))
_SHRED = (
    update(RUN_KEYS)
    .where(RUN_KEYS.c.run_id == bindparam("of_run"))
    .values(salt=bindparam("none"), shredded_at=bindparam("when"), shredded_by=bindparam("who"), files=True)
)
_WITH_FILES = select(RUN_KEYS.c.run_id).where(RUN_KEYS.c.files.is_(True)).order_by(RUN_KEYS.c.run_id)
_GONE = update(RUN_KEYS).where(RUN_KEYS.c.run_id == bindparam("of_run")).values(files=False)
_STATE = select(RUNS.c.ended, RUNS.c.state).where(RUNS.c.id == bindparam("of_run"))


def add_key(connection: Connection, run_id: str) -> None:
    """A new run has a salt."""
    salt = secrets.token_bytes(SALT_BYTES)
    connection.execute(_ADD, {"run_id": run_id, "salt": salt, "shredded_at": None, "shredded_by": "", "files": False})


class SqlRunKeys:
    """The salts in a database. See `ports.run_keys.RunKeyStore` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def salt(self, run_id: str) -> bytes | None:
        """A run's; None for an unknown run. Raises NotFoundError where it was shredded."""
        with self._database.read() as connection:
            row = connection.execute(_ONE, {"of_run": run_id}).first()
        if row is None:
            return None
        refuse_shredded(run_id, row.shredded_by, row.shredded_at)
        return bytes(row.salt)

    def shred(self, run_id: str, *, by: str, at: float) -> None:
        """Delete a run's salt for good. Raises NotFoundError, ConflictError, StorageError."""
        with self._database.shredding(RUN_KEYS, again=True), self._database.write() as connection:
            row = connection.execute(_ONE, {"of_run": run_id}).first()
            found = connection.execute(_STATE, {"of_run": run_id}).first()
            if row is None or found is None:
                raise not_found("run", run_id, connection.scalars(select(RUN_KEYS.c.run_id).limit(1000)).all())
            if not found.ended:
                raise ConflictError(f"run {run_id} has not ended", hint=f"septum run stop {run_id}")
            if row.shredded_at is None:
                connection.execute(_SHRED, {"of_run": run_id, "none": b"", "when": at, "who": by})
                keep_view(connection, from_json(Run, loads(found.state.encode(), limit=MAX_ENTRY_BYTES)))
            if connection.dialect.name == "sqlite":
                rows = [dict(one._mapping) for one in connection.execute(_ALL)]
                connection.execute(delete(RUN_KEYS))
                connection.execute(_ADD, rows)

    def with_files(self) -> Sequence[str]:
        """The shredded runs of which files may be left."""
        with self._database.read() as connection:
            return connection.scalars(_WITH_FILES).all()

    def files_gone(self, run_id: str) -> None:
        """No file of a shredded run is left."""
        with self._database.write() as connection:
            connection.execute(_GONE, {"of_run": run_id})
