"""Where does the feed live? In the database, written in the transaction of what it tells. Port: ports/feed.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, false, func, insert, or_, select, true

from septum.adapters.store.audit import append
from septum.adapters.store.database import Database
from septum.adapters.store.schema import FEED
from septum.protocol.audit import records_of
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.protocol.feed import Change, FeedEntry, FeedFilter, Kind, Sight

_ADD = insert(FEED)
_AFTER = select(FEED).where(FEED.c.seq > bindparam("after")).order_by(FEED.c.seq).limit(bindparam("most"))
_NEWEST_FIRST = select(FEED).order_by(FEED.c.seq.desc()).limit(bindparam("most"))
_NEWEST = select(func.max(FEED.c.seq))
_CAME_OR_WENT = select(FEED.c.silo, FEED.c.kind).where(
    FEED.c.seq.in_(
        select(func.max(FEED.c.seq))
        .where(FEED.c.kind.in_([Kind.SILO_ONLINE.value, Kind.SILO_OFFLINE.value]))
        .group_by(FEED.c.silo)
    )
)
_OLDER = select(FEED.c.seq).order_by(FEED.c.seq.desc()).offset(bindparam("keep")).limit(1)
_FORGET = delete(FEED).where(FEED.c.seq <= bindparam("until"))


class SqlFeed:
    """The feed in a database. See `ports.feed.FeedStore` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def telling(self, changes: Sequence[Change], *, at: float) -> AbstractContextManager[None]:
        """While this is open, the next write of any store of this file, in this thread, adds these."""

        def tell(connection: Connection) -> None:
            append(connection, records_of(changes), at)
            if changes:
                connection.execute(_ADD, [_row(change, at) for change in changes])

        return self._database.along(tell)

    def add(self, changes: Sequence[Change], *, at: float) -> None:
        """Add what nothing else was written for."""
        with self._database.write() as connection:
            append(connection, records_of(changes), at)
            connection.execute(_ADD, [_row(change, at) for change in changes])

    def after(self, seq: int, *, limit: int = 1000) -> Sequence[FeedEntry]:
        """At most `limit` entries after entry `seq`, in order."""
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(_AFTER, {"after": seq, "most": limit})]

    def page(self, sight: Sight, wanted: FeedFilter, *, limit: int, before: int = 0) -> Sequence[FeedEntry]:
        """At most `limit` entries that are in sight and wanted, newest first."""
        conditions = [_in_sight(sight), *_conditions(wanted), *([FEED.c.seq < before] if before else [])]
        with self._database.read() as connection:
            found = connection.execute(_NEWEST_FIRST.where(*conditions), {"most": limit})
            return [_entry(row) for row in found]

    def newest(self) -> int:
        """The number of the newest entry; 0 where there is none."""
        with self._database.read() as connection:
            return int(connection.scalar(_NEWEST) or 0)

    def silos_online(self) -> Mapping[str, bool]:
        """Of each silo of which it is known: whether it was told last that it is online, or that it is offline."""
        with self._database.read() as connection:
            return {row.silo: row.kind == Kind.SILO_ONLINE.value for row in connection.execute(_CAME_OR_WENT)}

    def trim(self, keep: int) -> int:
        """Forget all but the newest `keep` entries; how many went."""
        with self._database.read() as connection:  # counting takes a while, and a round may wait for the writer
            until = connection.scalar(_OLDER, {"keep": keep})
        if until is None:
            return 0
        with self._database.write() as connection:
            return connection.execute(_FORGET, {"until": until}).rowcount


def _in_sight(sight: Sight) -> ColumnElement[bool]:
    """What `Sight.sees` says, for the database."""
    seen = [
        FEED.c.noun == noun.value if places is None else and_(FEED.c.noun == noun.value, FEED.c.place.in_(places))
        for noun, places in sorted(sight.places.items(), key=lambda item: item[0].value)
    ]
    return or_(false(), *seen)


def _conditions(wanted: FeedFilter) -> list[ColumnElement[bool]]:
    given = [(FEED.c.project, wanted.project), (FEED.c.run, wanted.run), (FEED.c.silo, wanted.silo)]
    kinds = FEED.c.kind.in_(sorted(kind.value for kind in wanted.kinds)) if wanted.kinds else true()
    return [*(column == value for column, value in given if value), kinds]


def _row(change: Change, at: float) -> dict[str, object]:
    return {
        "at": at,
        "noun": change.kind.noun.value,
        "kind": change.kind.value,
        "place": change.place,
        "run": change.run,
        "silo": change.silo,
        "project": change.project,
        "content": dumps(to_json(change)).decode(),
    }


def _entry(row: Row[Any]) -> FeedEntry:
    return FeedEntry(row.seq, row.at, from_json(Change, loads(row.content.encode())))
