"""The audit logs keep the contract of their port; in SQLite an event lies in the transaction of what it records."""

import sqlite3
from contextlib import closing, contextmanager

import pytest
from tests.contracts.in_postgres import InPostgres

from septum.adapters.store.open import DATABASE_NAME, open_store
from septum.errors import AuditError, ConflictError
from septum.ports.groups import Group
from septum.protocol.audit import AuditKind, Record, read_event
from septum.protocol.feed import Change, Kind
from septum.testing.contracts.audit import RECORDS, AuditContract, fill
from septum.testing.memory_audit import MemoryAudit

MADE = Record(Kind.GROUP_ADDED, "ada", {"group": "cardio"})


class TestMemoryAudit(AuditContract):
    @contextmanager
    def make(self, directory):
        del directory
        yield MemoryAudit()


class TestSqliteAudit(AuditContract):
    open = staticmethod(open_store)

    @contextmanager
    def make(self, directory):
        with self.open(directory / "data") as stores:
            for silo in self.silos():
                stores.registry.invite(silo, b"hash", expires_at=1.0)
            yield stores.audit


class TestPostgresAudit(InPostgres, TestSqliteAudit):
    pass


@pytest.fixture
def stores(tmp_path):
    with open_store(tmp_path / "data") as stores:
        yield stores


def kinds(stores):
    return [read_event(entry.event).kind for entry in stores.audit.after(0)]


def test_a_write_and_its_event_are_one_transaction(stores, tmp_path):
    with stores.audit.recording([MADE], at=1.0):
        stores.groups.add(Group("cardio"))
    assert kinds(stores) == ["coordinator.opened", "group.added"]
    stores.close()
    with open_store(tmp_path / "data") as again:
        assert kinds(again) == ["coordinator.opened", "group.added", "coordinator.opened"]
        assert again.audit.check() == 3


def test_a_write_that_fails_or_changes_nothing_records_nothing(stores):
    stores.groups.add(Group("cardio"))
    with pytest.raises(ConflictError), stores.audit.recording([MADE], at=1.0, sign=True):
        stores.groups.add(Group("cardio"))
    with stores.audit.recording([MADE], at=1.0):
        stores.groups.drop("cardio", "a")
    stores.groups.add(Group("lung"))
    assert kinds(stores) == ["coordinator.opened"]
    assert stores.audit.newest_head() is None


def test_what_the_feed_is_told_is_recorded_with_it(stores):
    changes = [Change(Kind.GROUP_ADDED, "ada", group="cardio"), Change(Kind.SILO_OFFLINE, silo="basel")]
    with stores.feed.telling(changes, at=1.0):
        stores.groups.add(Group("cardio"))
    stores.feed.add([Change(Kind.SILO_ONLINE, silo="basel"), Change(Kind.SILO_BUDGET_LOW, silo="basel")], at=2.0)
    assert kinds(stores) == ["coordinator.opened", "group.added", "silo.budget_low"]  # not whose network came and went
    assert len(stores.feed.after(0)) == 4


def test_the_first_event_says_why_the_log_begins(stores):
    first = read_event(stores.audit.after(0)[0].event)
    assert first.kind == AuditKind.OPENED.value
    assert first.about["because"] == "a new data directory"


def test_the_key_is_the_same_after_a_restart(stores, tmp_path):
    before = stores.audit.sign(at=1.0)
    stores.close()
    with open_store(tmp_path / "data") as again:
        assert again.audit.sign(at=2.0).key == before.key


# --- somebody changes the database -------------------------------------------------------------------------------


def changed(tmp_path, statement, *values):
    """A log of some events under heads, which somebody changes while no coordinator runs, and checks."""
    with open_store(tmp_path / "data") as stores:
        fill(stores.audit)
        stores.audit.sign(at=9.0)
        fill(stores.audit)
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE_NAME)) as database, database:
        assert database.execute(statement, values).rowcount == 1
    with open_store(tmp_path / "data") as stores:
        return stores.audit.check()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE audit SET event = replace(event, 'ben', 'bob') WHERE seq = 3", "audit event 3 "),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 5", "audit event 5 "),
        ("UPDATE audit SET nodes = zeroblob(length(nodes)) WHERE seq = 4", "audit event 4 "),
        ("UPDATE audit SET kind = 'run.endes' WHERE seq = 6", "audit event 6 "),
        ("UPDATE audit SET at = '1971' || substr(at, 5) WHERE seq = 6", "audit event 6 "),
        ("UPDATE audit SET made_by = 'x' WHERE seq = 7", "audit event 7 "),
        ("UPDATE audit SET run = '' WHERE seq = 3", "audit event 3 "),
        ("UPDATE audit SET silo = 'bern' WHERE seq = 2", "audit event 2 "),
        ("UPDATE audit SET silo = 'bern' WHERE seq = 3", "audit event 3 "),
        ("DELETE FROM audit WHERE seq = 5", "audit event 5 .* it is gone"),
        ("DELETE FROM audit WHERE seq = 1", "audit event 1 .* it is gone"),
    ],
)
def test_whatever_is_changed_is_found_and_the_first_bad_event_named(statement, named, tmp_path):
    with pytest.raises(AuditError, match=named):
        changed(tmp_path, statement)


def test_a_log_that_nobody_changed_holds(tmp_path):
    assert changed(tmp_path, "UPDATE coordinator SET epoch = epoch + 0") == 2 * len(RECORDS) + 2


def test_an_end_that_a_head_knows_of_and_is_gone_is_missed(tmp_path):
    with open_store(tmp_path / "data") as stores:
        fill(stores.audit)
        size = stores.audit.sign(at=9.0).head.size
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE_NAME)) as database, database:
        database.execute("DELETE FROM audit WHERE seq > ?", (size - 2,))
    with (
        open_store(tmp_path / "data") as stores,
        pytest.raises(AuditError, match=r"end is missing|head that was signed"),
    ):
        stores.audit.check()


def test_a_chain_that_was_made_anew_is_not_what_the_heads_were_signed_over(tmp_path):
    """By somebody who knows how the log is made, and has not got the key."""
    with open_store(tmp_path / "data") as stores:
        fill(stores.audit)
        stores.audit.sign(at=9.0)
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE_NAME)) as database, database:
        database.execute("DELETE FROM audit")
    with open_store(tmp_path / "data") as stores:
        for record in RECORDS:
            stores.audit.append([record], at=7.0)
        with pytest.raises(AuditError, match="signed over 8 events is not that of the events here"):
            stores.audit.check()
