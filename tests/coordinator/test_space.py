"""A disk without room pauses what needs it, costs no silo its deadline, and loses nothing."""

from __future__ import annotations

import asyncio

import pytest
from tests.coordinator.support import SILOS, engine, plan_of, until, work

from septum.coordinator.driver import Pace
from septum.errors import StorageError
from septum.protocol import facts
from septum.protocol.codec import dumps, to_json
from septum.protocol.messages import Train
from septum.protocol.run_state import Presence
from septum.protocol.views import RunStatus
from septum.testing.fakes import FakeClock, MemoryBlobs, MemoryRunStore

pytestmark = pytest.mark.anyio

PATIENT = Pace(hold_s=20.0, flush_s=30.0, retry_s=0.05)
QUICK = Pace(hold_s=20.0, flush_s=0.0, retry_s=0.05)


class FullBlobs(MemoryBlobs):
    free = 0

    def free_bytes(self):
        return self.free


async def test_a_run_whose_upload_had_no_room_is_paused_until_there_is_and_no_deadline_passes():
    blobs = FullBlobs()
    async with engine(blobs=blobs, pace=QUICK) as e:
        run_id, trains = await e.start_round_one(plan_of(deadline_s=60.0))
        live = e.driver.lives[run_id]
        e.service.no_room(live, StorageError("no space left on device"), 10**6)
        await until(lambda: live.stored.paused)
        view = await e.service.run(run_id)
        assert (view.status, "no space left" in view.reason) == (RunStatus.PAUSED, True)
        e.clock.advance(10_000)
        blobs.free = 10**6  # enough for the upload alone, and not for what else is written
        e.driver.nudge()
        await asyncio.sleep(0.2)
        assert live.run.paused
        blobs.free = 10**9
        await until(lambda: not live.stored.paused)
        assert list(live.run.active) == list(SILOS)
        told = await asyncio.gather(*(e.report(s, run_id, work(trains[s], s)) for s in SILOS))
        assert all(isinstance(one, Train) and one.round == 2 for one in told)
        kinds = [type(fact) for fact in await e.facts_of(run_id)]
        assert (kinds.count(facts.RunPaused), kinds.count(facts.RunResumed)) == (1, 1)


async def test_a_run_that_waits_for_room_still_does_after_a_restart():
    store, blobs = MemoryRunStore(), FullBlobs()
    async with engine(store, blobs, pace=QUICK) as e:
        run_id, _ = await e.start_round_one(plan_of())
        e.service.no_room(e.driver.lives[run_id], StorageError("no space left on device"), 0)
        await until(lambda: store.get(run_id).run.paused)
    async with engine(store, blobs, pace=QUICK) as e:
        blobs.free = 10**9
        await until(lambda: not e.driver.lives[run_id].run.paused)


class StuckStore(MemoryRunStore):
    stuck = False

    def commit(self, transitions, *, at):
        if self.stuck:
            raise StorageError("no space left for the database")
        return super().commit(transitions, at=at)


async def test_engine_time_stands_still_while_nothing_can_be_committed():
    store, clock = StuckStore(), FakeClock()
    async with engine(store, clock=clock, pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of(deadline_s=60.0))
        store.stuck = True
        live = e.driver.lives[run_id]
        reports = [asyncio.ensure_future(e.report(s, run_id, work(trains[s], s))) for s in SILOS]
        await until(lambda: live.run.round == 2)  # closed in memory; nobody is told
        await until(lambda: e.driver.stuck)
        view = await e.service.run(run_id)
        assert (view.status, view.finished_rounds) == (RunStatus.PAUSED, 0)  # what is not on disk is not told
        assert "no space left for the database" in view.reason
        assert (await e.service.runs(limit=1))[0].view == dumps(to_json(view))
        clock.advance(10_000)
        e.driver.nudge()
        await asyncio.sleep(0.1)
        assert not any(report.done() for report in reports)
        store.stuck = False
        told = await asyncio.gather(*reports)
        assert all(isinstance(one, Train) and one.round == 2 for one in told)
        assert (await e.service.run(run_id)).finished_rounds == 1
        assert set(live.run.presence.values()) == {Presence.ACTIVE}
        clock.advance(59)
        e.driver.nudge()
        await asyncio.sleep(0.05)
        assert set(live.run.presence.values()) == {Presence.ACTIVE}
        clock.advance(2)
        e.driver.nudge()
        await until(lambda: set(live.run.presence.values()) == {Presence.ABSENT})
