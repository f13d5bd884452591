"""Which packages were pushed? Their records. Port: ports/apps.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.missing import not_found, preset_not_found, taken
from septum.adapters.store.schema import APPS, PRESETS, REMOVED_APPS
from septum.ports.apps import AppRecord
from septum.protocol.codec import Scalar, dumps, loads, to_json

_ONE = select(APPS).where(APPS.c.digest == bindparam("of_digest"))
_OF_VERSION = select(APPS).where(APPS.c.name == bindparam("of_name"), APPS.c.version == bindparam("of_version"))
_ALL = select(APPS).order_by(APPS.c.name, APPS.c.pushed_at.desc(), APPS.c.digest)
_DIGESTS = select(APPS.c.digest)
_ADD = insert(APPS)
_SIGN = update(APPS).where(APPS.c.digest == bindparam("of_digest")).values(signatures=bindparam("signed"))
_ALL_PRESETS = select(PRESETS).order_by(PRESETS.c.app, PRESETS.c.name)
_PRESETS = _ALL_PRESETS.where(PRESETS.c.app == bindparam("of_digest"))
_ADD_PRESET = insert(PRESETS)
_DROP_PRESET = delete(PRESETS).where(PRESETS.c.app == bindparam("of_digest"), PRESETS.c.name == bindparam("of_name"))
_REMOVED = select(REMOVED_APPS).where(
    REMOVED_APPS.c.name == bindparam("of_name"), REMOVED_APPS.c.version == bindparam("of_version")
)
_ADD_REMOVED = insert(REMOVED_APPS)
_DROP_REMOVED = delete(REMOVED_APPS).where(REMOVED_APPS.c.digest == bindparam("of_digest"))
_DROP_PRESETS = delete(PRESETS).where(PRESETS.c.app == bindparam("of_digest"))
_REMOVE = delete(APPS).where(APPS.c.digest == bindparam("of_digest"))


class SqlApps:
    """Packages in a database. See `ports.apps.AppRegistry` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: AppRecord) -> AppRecord:
        """Know a package, or replace the signatures of one that is known."""
        with self._database.write() as connection:
            title = {"of_name": record.name, "of_version": record.version}
            known = connection.execute(_OF_VERSION, title).first()
            removed = connection.execute(_REMOVED, title).first()
            for one in (known, removed):
                if one is not None and one.digest != record.digest:
                    raise taken(record, one.digest, removed=one is removed)
            if known is None:
                connection.execute(_DROP_REMOVED, {"of_digest": record.digest})
                connection.execute(_ADD, {column.name: getattr(record, column.name) for column in APPS.columns})
            else:
                connection.execute(_SIGN, {"of_digest": record.digest, "signed": record.signatures})
            return _one(connection, record.digest)

    def get(self, digest: str) -> AppRecord:
        """One package. Raises NotFoundError."""
        with self._database.read() as connection:
            return _one(connection, digest)

    def all(self) -> Sequence[AppRecord]:
        """Every package, by name, the newest push first."""
        with self._database.read() as connection:
            presets: dict[str, list[Row[Any]]] = {}
            for row in connection.execute(_ALL_PRESETS):
                presets.setdefault(row.app, []).append(row)
            return [_record(row, presets.get(row.digest, [])) for row in connection.execute(_ALL)]

    def set_preset(self, digest: str, name: str, values: Mapping[str, Scalar]) -> AppRecord:
        """Give a package a preset, in place of one of that name."""
        with self._database.write() as connection:
            _one(connection, digest)
            connection.execute(_DROP_PRESET, {"of_digest": digest, "of_name": name})
            content = dumps(to_json(values)).decode()
            connection.execute(_ADD_PRESET, {"app": digest, "name": name, "content": content})
            return _one(connection, digest)

    def drop_preset(self, digest: str, name: str) -> AppRecord:
        """Take a preset back. Raises NotFoundError."""
        with self._database.write() as connection:
            known = _one(connection, digest)
            if name not in known.presets:
                raise preset_not_found(known, name)
            connection.execute(_DROP_PRESET, {"of_digest": digest, "of_name": name})
            return _one(connection, digest)

    def remove(self, digest: str) -> None:
        """Forget a package and its presets; one that is not there is ignored."""
        with self._database.write() as connection:
            known = connection.execute(_ONE, {"of_digest": digest}).first()
            if known is None:
                return
            connection.execute(_DROP_PRESETS, {"of_digest": digest})
            connection.execute(_REMOVE, {"of_digest": digest})
            connection.execute(_ADD_REMOVED, {"name": known.name, "version": known.version, "digest": digest})


def _one(connection: Connection, digest: str) -> AppRecord:
    row = connection.execute(_ONE, {"of_digest": digest}).first()
    if row is None:
        raise not_found("app", digest, connection.scalars(_DIGESTS).all())
    return _record(row, connection.execute(_PRESETS, {"of_digest": digest}).all())


def _record(row: Row[Any], presets: Sequence[Row[Any]]) -> AppRecord:
    given = {one.name: cast("dict[str, Scalar]", loads(one.content.encode())) for one in presets}
    return AppRecord(**row._mapping, presets=given)
