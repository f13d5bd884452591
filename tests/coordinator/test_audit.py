"""What waits together is one transaction, reads are recorded once a minute, and refusals cannot fill the disk."""

from __future__ import annotations

import asyncio

import pytest
from tests.coordinator.support import engine, until

from septum.coordinator.audit import READ_ONCE_S, REFUSALS, Audit
from septum.errors import StorageError
from septum.protocol.audit import AuditKind, Record, read_event
from septum.testing.memory_audit import MemoryAudit

pytestmark = pytest.mark.anyio
REFUSED = Record(AuditKind.ACCESS_REFUSED, about={"asked": "GET /runs"})


class Counting(MemoryAudit):
    """Counts its transactions, and fails when it is told to."""

    def __init__(self):
        super().__init__()
        self.appends, self.failed, self.full = 0, 0, False

    def append(self, records, *, at):
        if self.full:
            self.failed += 1
            raise StorageError("no space")
        self.appends += 1
        super().append(records, at=at)


@pytest.fixture
async def here(anyio_backend):
    async with engine() as e:
        store = Counting()
        yield Audit(store, e.driver.performer, e.clock), store, e.clock


def events(store):
    return [read_event(entry.event) for entry in store.entries]


async def test_refusals_that_could_not_be_recorded_when_the_disk_was_full_are_recorded_later(here):
    audit, store, _ = here
    for _ in range(REFUSALS + 20):
        await audit.refused(REFUSED)
    store.full = True
    audit.start()
    await until(lambda: store.failed)
    await audit.close()
    store.full = False
    audit.start()
    await until(lambda: len(store.entries) == REFUSALS + 1)
    last = events(store)[-1]
    assert (last.kind, last.about) == (AuditKind.REFUSALS.value, {"count": "20"})
    await audit.close()


async def test_what_is_recorded_at_one_time_is_one_transaction(here):
    audit, store, _ = here
    await asyncio.gather(*(audit.record(Record(AuditKind.SIGNED_IN, f"p-{n}")) for n in range(20)))
    assert [event.by for event in events(store)] == [f"p-{n}" for n in range(20)]
    assert store.appends == 1


async def test_it_is_on_the_disk_when_it_is_answered_or_there_is_an_error(here):
    audit, store, _ = here
    store.full = True
    with pytest.raises(StorageError):
        await audit.record(Record(AuditKind.SIGNED_IN, "ada"))
    with pytest.raises(StorageError):
        await audit.read(AuditKind.PEOPLE_READ, "ada", asked="GET /people")
    store.full = False
    await audit.read(AuditKind.PEOPLE_READ, "ada", asked="GET /people")  # one that was not recorded is recorded then
    assert [event.kind for event in events(store)] == ["people.read"]


async def test_the_same_read_of_the_same_person_is_recorded_once_a_minute(here):
    audit, store, clock = here
    for by, asked in (("ada", "a"), ("ada", "a"), ("ben", "a"), ("ada", "b"), ("ada", "a")):
        await audit.read(AuditKind.PEOPLE_READ, by, asked=asked)
    clock.advance(READ_ONCE_S)
    await audit.read(AuditKind.PEOPLE_READ, "ada", asked="a")
    assert [(event.by, event.about["asked"]) for event in events(store)] == [
        ("ada", "a"),
        ("ben", "a"),
        ("ada", "b"),
        ("ada", "a"),
    ]


async def test_many_refusals_are_counted_and_of_those_who_are_known_apart(here):
    audit, store, _ = here
    for _ in range(REFUSALS + 20):
        await audit.refused(REFUSED)
    await audit.refused(Record(AuditKind.ACCESS_REFUSED, "ada"))
    assert [event.by for event in events(store)] == [""] * REFUSALS + ["ada"]
    await audit.close()
    assert len(store.entries) == REFUSALS + 1  # it was not started, so nothing is due
    audit.start()
    await audit.close()
    more = events(store)[-1]
    assert (more.kind, more.by, more.about) == ("access.refusals", "", {"count": "20"})
    assert store.newest_head().head.size == len(store.entries)


async def test_what_was_there_at_a_start_is_under_a_head_at_once(here):
    """By which the first silo that comes knows the log, and not a minute later."""
    audit, store, _ = here
    await audit.record(REFUSED)
    assert store.newest_head() is None
    audit.start()
    await until(lambda: store.newest_head() is not None)
    assert store.newest_head().head.size == 1
    await audit.close()


async def test_a_refusal_is_answered_though_the_disk_is_full(here):
    audit, store, _ = here
    store.full = True
    await audit.refused(REFUSED)
    assert store.entries == []
