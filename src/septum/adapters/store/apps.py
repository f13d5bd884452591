"""Which packages were pushed? Their records, in SQLite. Port: ports/apps.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.missing import not_found
from septum.adapters.store.schema import APPS
from septum.errors import ConflictError
from septum.ports.apps import AppRecord

_ONE = select(APPS).where(APPS.c.digest == bindparam("of_digest"))
_OF_VERSION = select(APPS).where(APPS.c.name == bindparam("of_name"), APPS.c.version == bindparam("of_version"))
_ALL = select(APPS).order_by(APPS.c.name, APPS.c.pushed_at.desc(), APPS.c.digest)
_DIGESTS = select(APPS.c.digest)
_ADD = insert(APPS)
_SIGN = update(APPS).where(APPS.c.digest == bindparam("of_digest")).values(signatures=bindparam("signed"))


class SqliteApps:
    """Packages in one SQLite file. See `ports.apps.AppRegistry` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: AppRecord) -> AppRecord:
        """Know a package, or replace the signatures of one that is known."""
        with self._database.write() as connection:
            known = connection.execute(_OF_VERSION, {"of_name": record.name, "of_version": record.version}).first()
            if known is None:
                connection.execute(_ADD, asdict(record))
            elif known.digest != record.digest:
                raise ConflictError(
                    f"{record.name} {record.version} has been pushed already, as {known.digest}; "
                    f"this package is {record.digest}",
                    hint="raise the version in septum.toml, then: septum app build",
                )
            else:
                connection.execute(_SIGN, {"of_digest": record.digest, "signed": record.signatures})
            return _record(connection.execute(_ONE, {"of_digest": record.digest}).one())

    def get(self, digest: str) -> AppRecord:
        """One package. Raises NotFoundError."""
        with self._database.read() as connection:
            row = connection.execute(_ONE, {"of_digest": digest}).first()
            if row is None:
                raise not_found("app", digest, connection.scalars(_DIGESTS).all())
            return _record(row)

    def all(self) -> Sequence[AppRecord]:
        """Every package, by name, the newest push first."""
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(_ALL)]


def _record(row: Row[Any]) -> AppRecord:
    return AppRecord(**row._mapping)
