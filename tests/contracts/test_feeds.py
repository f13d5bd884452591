"""The feeds keep the contract of their port; in SQLite what is told lies in the transaction of what it tells."""

import threading
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import insert
from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.feed import _row
from septum.adapters.store.open import open_store
from septum.adapters.store.schema import FEED
from septum.errors import ConflictError
from septum.ports.groups import Group
from septum.protocol.feed import Change, Kind
from septum.testing.contracts.feed import FeedContract, told
from septum.testing.fakes import MemoryFeed

MADE, LEFT = Change(Kind.GROUP_ADDED, "ada", group="cardio"), Change(Kind.GROUP_LEFT, "ada", silo="a", group="cardio")


class TestMemoryFeed(FeedContract):
    @contextmanager
    def make(self, directory):
        del directory
        yield MemoryFeed()


class TestSqliteFeed(FeedContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory):
        with self.open(directory / "data") as stores:
            yield stores.feed


class TestPostgresFeed(InPostgres, TestSqliteFeed):
    pass


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.processes)])
def opened(request, tmp_path):
    """What opens the store, each time the same."""
    if request.param == "SQLite":
        yield lambda: open_store(tmp_path / "data")
        return
    server = request.getfixturevalue("postgres")
    with server.store() as name:
        yield lambda: open_store(tmp_path / "data", server.address(name))


@pytest.fixture
def stores(opened):
    with opened() as stores:
        yield stores


def test_a_write_and_what_it_tells_are_one_transaction(stores, opened):
    with stores.feed.telling([MADE], at=1.0):
        stores.groups.add(Group("cardio"))
    assert told(stores.feed) == [MADE]
    stores.close()
    with opened() as again:
        assert told(again.feed) == [MADE]


def test_a_write_that_fails_tells_nothing(stores):
    stores.groups.add(Group("cardio"))
    with pytest.raises(ConflictError), stores.feed.telling([MADE], at=1.0):
        stores.groups.add(Group("cardio"))
    assert told(stores.feed) == []


def test_a_write_that_changes_nothing_tells_nothing(stores):
    stores.groups.add(Group("cardio"))
    with stores.feed.telling([LEFT], at=1.0):
        stores.groups.drop("cardio", "a")
    stores.groups.add(Group("lung"))  # nor does a later one
    assert told(stores.feed) == []


def test_only_the_first_write_tells(stores):
    with stores.feed.telling([MADE], at=1.0):
        stores.groups.add(Group("cardio"))
        stores.groups.add(Group("lung"))
    assert told(stores.feed) == [MADE]


def test_what_another_thread_writes_meanwhile_tells_nothing(stores):
    with stores.feed.telling([MADE], at=1.0):
        thread = threading.Thread(target=stores.groups.add, args=(Group("lung"),))
        thread.start()
        thread.join()
        assert told(stores.feed) == []
        stores.groups.add(Group("cardio"))
    assert told(stores.feed) == [MADE]


def test_a_trim_keeps_as_many_as_it_says_whatever_failed_between(stores):
    for number in range(6):
        with stores.feed.telling([MADE], at=1.0):
            stores.groups.add(Group(f"group-{number}"))
        with pytest.raises(ConflictError), stores.feed.telling([MADE, LEFT], at=1.0):
            stores.groups.add(Group(f"group-{number}"))
    with suppress(ZeroDivisionError), stores.feed._database.write() as connection:
        connection.execute(insert(FEED), _row(LEFT, 1.5))
        raise ZeroDivisionError  # after the entry was added, before it is committed
    stores.feed.add([LEFT], at=2.0)
    before = [entry.seq for entry in stores.feed.after(0)]
    assert (len(before), sorted(set(before))) == (7, before)
    assert stores.feed.trim(3) == 4
    assert [entry.seq for entry in stores.feed.after(0)] == before[-3:]
