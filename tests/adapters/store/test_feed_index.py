"""The feed is long, and what is sought in it is rare: a filter without a match reads no entry."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import Engine, event

from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.protocol.feed import SEES_ALL, FeedFilter, Kind

FILTERS = {
    "run": FeedFilter(run="r-none"),
    "silo": FeedFilter(silo="none"),
    "project": FeedFilter(project="none"),
    "kind": FeedFilter(kinds=frozenset({Kind.SILO_OFFLINE, Kind.TOKEN_MADE})),
}


@pytest.mark.parametrize("column", FILTERS)
def test_each_filter_has_an_index_by_which_it_is_looked_up(tmp_path, column):
    asked = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        asked.append((statement, parameters))

    with open_store(tmp_path) as stores:
        event.listen(Engine, "before_cursor_execute", note)
        try:
            assert list(stores.feed.page(SEES_ALL, FILTERS[column], limit=50)) == []
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    (sought,) = [one for one in asked if "FROM feed" in one[0]]
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sought[0]}", sought[1])]
    assert plan[0].startswith(f"SEARCH feed USING INDEX feed_by_{column} ")
