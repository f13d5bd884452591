"""Blobs that are kept on a machine which is away for a while: what needs them waits, and nothing counts for lost."""

from __future__ import annotations

import asyncio

import pytest
from tests.coordinator.support import SILOS, engine, plan_of, until, work

from septum.coordinator.driver import Pace
from septum.ports.blobs import AwayError
from septum.protocol import facts
from septum.protocol.messages import Train
from septum.protocol.run_state import Resume, Stop
from septum.protocol.views import RunStatus
from septum.testing.fakes import MemoryBlobs, MemoryRunStore

pytestmark = pytest.mark.anyio

QUICK = Pace(hold_s=20.0, flush_s=0.0, retry_s=0.05)


class AwayBlobs(MemoryBlobs):
    """Durable blobs are on another machine. `cold`: nothing of it is here."""

    away = False
    cold = False

    def put(self, area, data, *, durable, digest="", limit=0):
        self._ask(durable)
        return super().put(area, data, durable=durable, digest=digest, limit=limit)

    def get(self, area, digest):
        self._ask(self.cold and not area.startswith("spool-"))
        return super().get(area, digest)

    def open(self, area, digest, *, last=False):
        self._ask(self.cold and not area.startswith("spool-"))
        return super().open(area, digest, last=last)

    def free_bytes(self):
        self._ask(True)
        return super().free_bytes()

    def _ask(self, there):
        if there and self.away:
            raise AwayError("could not ask s3://blobs: it is away", hint="aws s3 ls s3://blobs")


async def test_a_model_that_cannot_be_stored_now_pauses_its_run_which_goes_on_by_itself():
    blobs = AwayBlobs()
    async with engine(blobs=blobs, pace=QUICK) as e:
        run_id, trains = await e.start_round_one(plan_of(rounds=2))
        blobs.away = True
        live = e.driver.lives[run_id]
        reports = [asyncio.ensure_future(e.report(s, run_id, work(trains[s], s))) for s in SILOS]
        await until(lambda: live.stored.paused)
        view = await e.service.run(run_id)
        assert (view.status, "it is away" in view.reason) == (RunStatus.PAUSED, True)
        e.clock.advance(60)
        e.driver.nudge()
        await asyncio.sleep(0.1)
        assert live.run.paused  # it was tried again
        blobs.away = False
        e.clock.advance(60)
        e.driver.nudge()
        told = await asyncio.gather(*reports)
        assert all(isinstance(one, Train) and one.round == 2 for one in told)
        assert not [fact for fact in await e.facts_of(run_id) if isinstance(fact, facts.ModelLost)]


async def test_a_coordinator_that_cannot_look_at_its_models_does_not_take_them_for_lost():
    store, blobs = MemoryRunStore(), AwayBlobs()
    async with engine(store, blobs, pace=QUICK) as e:
        run_id, _ = await e.start_round_one(plan_of(rounds=2))
    blobs.away = blobs.cold = True
    with pytest.raises(AwayError):
        async with engine(store, blobs, pace=QUICK):
            pytest.fail("it began")
    blobs.away = False
    async with engine(store, blobs, pace=QUICK) as e:
        assert not [fact for fact in await e.facts_of(run_id) if isinstance(fact, facts.ModelLost)]


async def test_a_silo_waits_for_a_model_that_cannot_be_read_now():
    store, blobs = MemoryRunStore(), AwayBlobs()
    plan = plan_of(rounds=2)
    async with engine(store, blobs, pace=QUICK) as e:
        run_id, trains = await e.start_round_one(plan)
        e.driver.shelf.forget(run_id, trains[SILOS[0]].model.digest)
        e.driver.lives[run_id].filled = None
        blobs.away = blobs.cold = True
        again = asyncio.ensure_future(e.join(SILOS[0], run_id, plan))
        await until(lambda: e.driver.lives[run_id].stored.paused)
        assert not again.done()
        blobs.away = False
        assert await again == trains[SILOS[0]]
        assert not [fact for fact in await e.facts_of(run_id) if isinstance(fact, facts.ModelLost)]


async def test_a_run_whose_model_cannot_be_read_now_is_not_resumed():
    store, blobs = MemoryRunStore(), AwayBlobs()
    async with engine(store, blobs, pace=QUICK) as e:
        run_id, trains = await e.start_round_one(plan_of(rounds=2))
        await e.service.command(run_id, Stop())
        e.driver.shelf.forget(run_id, trains[SILOS[0]].model.digest)
        blobs.away = blobs.cold = True
        with pytest.raises(AwayError):
            await e.service.command(run_id, Resume())
        assert (await e.service.run(run_id)).status is RunStatus.STOPPED
        blobs.away = False
        await e.service.command(run_id, Resume())
        assert (await e.service.run(run_id)).status is not RunStatus.STOPPED
