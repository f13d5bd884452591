"""What rots or is lost on the coordinator's disk is noticed, told, and made again."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.coordinator.support import SILOS, adam_plan, engine, plan_of, until, work

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.coordinator.areas import models_area, optimizer_area, spool_area
from septum.coordinator.driver import Pace
from septum.coordinator.spool import LONG_S
from septum.protocol import facts
from septum.protocol.messages import Await, Train, Wait
from septum.protocol.run_state import Resume
from septum.protocol.views import RunStatus
from septum.testing.fakes import FakeClock, MemoryRunStore

pytestmark = pytest.mark.anyio

PATIENT = Pace(hold_s=20.0, flush_s=30.0, retry_s=0.05)
QUICK = Pace(hold_s=0.05, flush_s=0.0, retry_s=0.05)
BIG = 30_000  # 120 KB: too much for a message


async def expected_model(plan, width):
    async with engine() as e:
        return await e.finish(plan, width=width)


def rot(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


async def rounds(e, run_id, plan, width, count):
    """Everybody joins and works until `count` rounds are finished; what they are told then."""
    answers = await asyncio.gather(*(e.join(s, run_id, plan) for s in SILOS))
    for _ in range(count + 1):
        told = {s: await e.asked(s, run_id, answer) for s, answer in zip(SILOS, answers, strict=True)}
        answers = await asyncio.gather(*(e.report(s, run_id, work(told[s], s, width)) for s in SILOS))
    return {s: await e.asked(s, run_id, answer) for s, answer in zip(SILOS, answers, strict=True)}


@pytest.mark.parametrize("width", [3, BIG])
@pytest.mark.parametrize("how", ["rotten", "gone"])
async def test_a_model_that_is_lost_while_the_coordinator_is_down_is_made_again(tmp_path, caplog, width, how):
    plan = adam_plan(rounds=4)
    expected = await expected_model(plan, width)
    store, blobs = MemoryRunStore(), DirectoryBlobs(tmp_path)
    async with engine(store, blobs, pace=PATIENT) as e:
        run_id = (await e.service.submit(plan, "k")).id
        await rounds(e, run_id, plan, width, 2)
        path = blobs.stored_file(models_area(run_id), store.get(run_id).run.model.digest)
    rot(path) if how == "rotten" else path.unlink()
    with caplog.at_level(logging.CRITICAL):
        async with engine(store, DirectoryBlobs(tmp_path)) as e:
            await asyncio.gather(*(e.serve(silo, width) for silo in SILOS))
            assert (await e.service.run(run_id)).model == expected
            assert [fact for fact in await e.facts_of(run_id) if isinstance(fact, facts.ModelLost)]
    assert "bytes_lost" in caplog.messages


async def test_a_model_that_rots_while_nobody_looks_is_noticed_when_it_is_given_out(tmp_path):
    plan = plan_of(rounds=3)
    expected = await expected_model(plan, 3)
    store, blobs = MemoryRunStore(), DirectoryBlobs(tmp_path)
    async with engine(store, blobs, pace=QUICK) as e:
        run_id = (await e.service.submit(plan, "k")).id
        told = await rounds(e, run_id, plan, 3, 2)
        digest = store.get(run_id).run.model.digest
        rot(blobs.stored_file(models_area(run_id), digest))
        e.driver.shelf.forget(run_id, digest)
        e.driver.lives[run_id].filled = None
        first = await e.service.exchange("hungary", run_id, Await())
        again = first if not isinstance(first, Wait) else await e.service.exchange("hungary", run_id, Await())
        assert isinstance(again, Train)
        assert (again.round, told["hungary"].round) == (2, 3)
        await asyncio.gather(*(e.serve(silo) for silo in SILOS))
        assert (await e.service.run(run_id)).model == expected


@pytest.mark.parametrize("what", ["model", "optimizer"])
async def test_what_rots_after_all_silos_have_the_model_is_noticed_by_who_combines(tmp_path, what):
    plan = adam_plan(rounds=3)
    expected = await expected_model(plan, BIG)
    store, blobs = MemoryRunStore(), DirectoryBlobs(tmp_path)
    async with engine(store, blobs, pace=QUICK) as e:
        run_id = (await e.service.submit(plan, "k")).id
        told = await rounds(e, run_id, plan, BIG, 2)
        run = store.get(run_id).run
        area = models_area(run_id) if what == "model" else optimizer_area(run_id)
        rot(blobs.stored_file(area, getattr(run, what).digest))
        await asyncio.gather(*(e.report(silo, run_id, work(told[silo], silo, BIG)) for silo in SILOS))
        await asyncio.gather(*(e.serve(silo, BIG) for silo in SILOS))
        assert (await e.service.run(run_id)).model == expected
        (lost,) = [fact for fact in await e.facts_of(run_id) if isinstance(fact, facts.ModelLost)]
        assert lost.round == run.finished


async def test_a_report_that_rots_while_the_others_are_waited_for_is_asked_for_again(tmp_path):
    plan = plan_of(rounds=2)
    expected = await expected_model(plan, BIG)
    blobs, clock = DirectoryBlobs(tmp_path), FakeClock()
    async with engine(None, blobs, clock, pace=QUICK) as e:
        run_id = (await e.service.submit(plan, "k")).id
        told = await rounds(e, run_id, plan, BIG, 1)
        await e.report("hungary", run_id, work(told["hungary"], "hungary", BIG))
        (digest,) = blobs.digests(spool_area(run_id))
        rot(blobs.stored_file(spool_area(run_id), digest))
        clock.advance(LONG_S + 1)
        await asyncio.gather(*(e.serve(silo, BIG) for silo in SILOS))
        assert (await e.service.run(run_id)).model == expected
        (lost,) = [fact for fact in await e.facts_of(run_id) if isinstance(fact, facts.PayloadsLost)]
        assert lost.silos == ("hungary",)


@pytest.mark.parametrize("width", [3, BIG])
async def test_a_report_whose_bytes_a_power_loss_took_is_asked_for_again(tmp_path, width):
    plan = plan_of(rounds=2)
    expected = await expected_model(plan, width)
    store, blobs = MemoryRunStore(), DirectoryBlobs(tmp_path)
    async with engine(store, blobs, pace=QUICK) as e:
        run_id = (await e.service.submit(plan, "k")).id
        told = await rounds(e, run_id, plan, width, 1)
        await e.report("hungary", run_id, work(told["hungary"], "hungary", width))
        await until(lambda: store.get(run_id).run.reports)  # committed: it was acknowledged
        payload = store.get(run_id).run.reports["hungary"].payload
        path = blobs.stored_file(f"spool-{run_id}", payload.digest)
    path.write_bytes(bytes(payload.size_bytes))  # the size is there, the bytes are not: they were not synced
    async with engine(store, DirectoryBlobs(tmp_path)) as e:
        await asyncio.gather(*(e.serve(silo, width) for silo in SILOS))
        assert (await e.service.run(run_id)).model == expected
        (lost,) = [fact for fact in await e.facts_of(run_id) if isinstance(fact, facts.PayloadsLost)]
        assert lost.silos == ("hungary",)


async def test_a_model_that_is_lost_twice_waits_for_an_operator(tmp_path):
    plan = plan_of(rounds=4)
    expected = await expected_model(plan, 3)
    store, blobs = MemoryRunStore(), DirectoryBlobs(tmp_path)
    async with engine(store, blobs, pace=PATIENT) as e:
        run_id = (await e.service.submit(plan, "k")).id
        await rounds(e, run_id, plan, 3, 3)
        run = store.get(run_id).run
        newest, before = (
            blobs.stored_file(models_area(run.id), blob.digest) for blob in (run.model, run.previous.model)
        )
    kept = before.read_bytes()
    rot(newest)
    rot(before)
    for _ in range(2):
        async with engine(store, DirectoryBlobs(tmp_path)) as e:
            await until(lambda: e.store.get(run_id).run.finished == 2)
    async with engine(store, DirectoryBlobs(tmp_path)) as e:
        await until(lambda: e.driver.lives[run_id].stored.paused)
        view = await e.service.run(run_id)
        assert (view.status, view.finished_rounds) == (RunStatus.PAUSED, 2)
        assert "has rotted" in view.reason
        before.write_bytes(kept)  # from a backup
        await e.service.command(run_id, Resume())
        await asyncio.gather(*(e.serve(silo) for silo in SILOS))
        assert (await e.service.run(run_id)).model == expected
