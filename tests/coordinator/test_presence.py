"""Who comes and who goes is told once, and a coordinator that was away itself accuses nobody."""

import pytest
from tests.coordinator.support import engine

from septum.coordinator.feed import Feed
from septum.coordinator.presence import Presence
from septum.errors import StorageError
from septum.protocol.feed import Kind
from septum.protocol.views import ONLINE_S, SiloStatus, SiloView, silo_status
from septum.testing.fakes import MemoryFeed

pytestmark = pytest.mark.anyio


class Silos:
    """Enrolled silos that were seen when the test says so."""

    def __init__(self, clock, *names):
        self.clock = clock
        self.seen = dict.fromkeys(names, 0.0)
        self.revoked, self.paused = set(), set()

    def see(self, *names):
        self.seen |= dict.fromkeys(names, self.clock.unix())

    def views(self):
        return [
            SiloView(
                name,
                silo_status(
                    enrolled_at=1.0,
                    seen_at=seen,
                    revoked=name in self.revoked,
                    paused=name in self.paused,
                    now=self.clock.unix(),
                ),
                1.0,
                seen,
            )
            for name, seen in self.seen.items()
        ]


class FullFeed(MemoryFeed):
    full = False

    def add(self, changes, *, at):
        if self.full:
            raise StorageError("no space left")
        super().add(changes, at=at)


class Watched:
    def __init__(self, e, *names):
        self.store = FullFeed()
        self.clock = e.clock
        self.silos = Silos(e.clock, *names)
        self.presence = Presence(self.silos.views, Feed(self.store, e.driver.performer, e.clock, 100), e.clock)

    async def told(self):
        before = self.store.newest()
        await self.presence.look()
        return [(one.change.kind, one.change.silo) for one in self.store.after(before)]


async def test_a_silo_that_comes_goes_and_comes_back_is_told_each_time_once():
    async with engine() as e:
        w = Watched(e, "basel", "bern")
        assert await w.told() == []
        w.silos.see("basel")
        assert await w.told() == [(Kind.SILO_ONLINE, "basel")]
        assert await w.told() == []
        e.clock.advance(ONLINE_S)
        assert await w.told() == []
        e.clock.advance(0.1)
        assert await w.told() == [(Kind.SILO_OFFLINE, "basel")]
        assert await w.told() == []
        w.silos.see("basel", "bern")
        assert await w.told() == [(Kind.SILO_ONLINE, "basel"), (Kind.SILO_ONLINE, "bern")]


async def test_a_silo_that_is_paused_is_there_and_one_that_is_revoked_is_not():
    async with engine() as e:
        w = Watched(e, "basel")
        w.silos.see("basel")
        await w.told()
        w.silos.paused.add("basel")
        assert w.silos.views()[0].status is SiloStatus.PAUSED
        assert await w.told() == []
        w.silos.revoked.add("basel")
        assert await w.told() == [(Kind.SILO_OFFLINE, "basel")]


async def test_after_a_restart_what_was_told_is_known_and_silos_have_their_time_to_come_back():
    async with engine() as e:
        w = Watched(e, "basel", "bern")
        w.silos.see("basel", "bern")
        await w.told()
        e.clock.advance(3600.0)  # the coordinator was away
        again = Watched(e, "basel", "bern")
        again.store, again.silos = w.store, w.silos
        again.presence = Presence(w.silos.views, Feed(w.store, e.driver.performer, e.clock, 100), e.clock)
        again.presence.start(w.store.silos_online())
        await again.presence.close()
        assert await again.told() == []
        again.silos.see("bern")
        assert await again.told() == []
        e.clock.advance(ONLINE_S + 1)
        again.silos.see("bern")
        assert await again.told() == [(Kind.SILO_OFFLINE, "basel")]


async def test_what_cannot_be_written_is_told_the_next_time():
    async with engine() as e:
        w = Watched(e, "basel")
        w.silos.see("basel")
        w.store.full = True
        with pytest.raises(StorageError):
            await w.told()
        w.store.full = False
        assert await w.told() == [(Kind.SILO_ONLINE, "basel")]
