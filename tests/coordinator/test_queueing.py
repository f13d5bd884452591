"""Runs wait where their silos have no room, without burning a deadline, and begin by themselves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.coordinator.support import SILOS, CountingStore, engine, plan_of, until

from septum.errors import ConfigError, ProtocolError
from septum.protocol import facts
from septum.protocol.messages import End, Invitation, Join, Outcome, Over, Poll, Refuse, Serving, Wait
from septum.protocol.priority import Priority
from septum.protocol.resources import Capacity, Resources
from septum.protocol.run_state import Pause, Prioritise, Resume, Stop
from septum.protocol.views import RunStatus
from septum.testing.fakes import FakeClock, MemoryBlobs, MemoryRunStore

pytestmark = pytest.mark.anyio

ONE_EACH = dict.fromkeys(SILOS, Capacity(1))


def named(name, **settings):
    return replace(plan_of(**settings), name=name)


async def submitted(e, name, priority=Priority.NORMAL, **settings):
    return await e.service.submit(named(name, **settings), name, priority=priority)


async def status(e, run):
    return (await e.service.run(run)).status


async def test_a_run_whose_silos_are_full_waits_with_the_reason_and_begins_when_the_other_ends():
    async with engine() as e:
        e.driver.queue.offers = lambda: ONE_EACH
        first = await submitted(e, "first")
        second = await submitted(e, "second")

        assert first.status is RunStatus.GATHERING
        assert (second.status, second.position) == (RunStatus.QUEUED, 1)
        assert second.reason.startswith(f"cleveland serves 1 of 1 runs: {first.id}; hungary serves")
        e.clock.advance(10_000)
        e.driver.nudge()
        await until(lambda: e.driver.lives[first.id].run.outcome is Outcome.FAILED)  # nobody came in 60 s
        await until(lambda: e.driver.lives[second.id].stored.deadline is not None)
        assert await status(e, second.id) is RunStatus.GATHERING
        journal = [type(entry.fact) for entry in await e.service.journal(second.id, after=0, limit=10)]
        assert journal == [facts.RunCreated, facts.RunQueued, facts.RunDequeued]


async def test_silos_are_invited_to_a_run_once_it_has_left_the_queue_and_not_before():
    async with engine() as e:
        e.driver.queue.offers = lambda: ONE_EACH
        first = await submitted(e, "first")
        second = await submitted(e, "second")
        offer = await e.service.poll("hungary", Poll())
        assert isinstance(offer, Invitation)
        assert offer.run == first.id
        waiting = asyncio.ensure_future(e.service.poll("hungary", Poll((first.id,))))
        await asyncio.sleep(0)
        assert not waiting.done()

        await e.service.command(first.id, Stop())

        told = await waiting
        while isinstance(told, Wait):
            told = await e.service.poll("hungary", Poll())
        assert isinstance(told, Invitation)
        assert told.run == second.id


async def test_the_queue_outlives_the_coordinator():
    store, blobs, clock = MemoryRunStore(), MemoryBlobs(), FakeClock()
    async with engine(store, blobs, clock) as e:
        e.driver.queue.offers = lambda: ONE_EACH
        first = await submitted(e, "first")
        runs = [
            await submitted(e, name, priority) for name, priority in (("low", Priority.LOW), ("high", Priority.HIGH))
        ]
    async with engine(store, blobs, clock) as e:
        e.driver.queue.offers = lambda: ONE_EACH
        e.driver.reckon()
        assert [await status(e, run.id) for run in (first, *runs)] == [
            RunStatus.GATHERING,
            RunStatus.QUEUED,
            RunStatus.QUEUED,
        ]
        await e.service.command(first.id, Stop())
        await until(lambda: e.driver.lives[runs[1].id].run.deadline is not None)
        low = await e.service.run(runs[0].id)
        assert (low.status, low.position, low.priority) == (RunStatus.QUEUED, 1, Priority.LOW)


async def test_a_run_that_fits_begins_in_the_commit_that_makes_it():
    store = CountingStore()
    async with engine(store) as e:
        e.driver.queue.offers = lambda: ONE_EACH
        before = len(store.commits)
        first = await submitted(e, "first")
        assert first.status is RunStatus.GATHERING
        assert len(store.commits) == before


async def test_runs_that_are_submitted_at_one_time_never_take_more_than_there_is():
    async with engine() as e:
        e.driver.queue.offers = lambda: ONE_EACH
        views = await asyncio.gather(*(submitted(e, name) for name in ("a", "b", "c")))
        assert sorted(view.status.value for view in views) == ["gathering", "queued", "queued"]


async def test_a_higher_priority_begins_first_and_can_be_given_later():
    async with engine() as e:
        e.driver.queue.offers = lambda: ONE_EACH
        first, second, third = [await submitted(e, name) for name in ("first", "second", "third")]
        assert (await e.service.command(third.id, Prioritise(Priority.HIGH))).position == 1
        assert (await e.service.run(second.id)).position == 2
        await e.service.command(first.id, Stop())
        await until(lambda: e.driver.lives[third.id].run.deadline is not None)
        assert await status(e, second.id) is RunStatus.QUEUED
        with pytest.raises(ProtocolError, match="has begun"):
            await e.service.command(third.id, Prioritise(Priority.LOW))


async def test_a_run_that_ended_is_resumed_into_the_queue_where_its_silos_are_full():
    async with engine() as e:
        e.driver.queue.offers = lambda: ONE_EACH
        first = await submitted(e, "first")
        await e.service.command(first.id, Stop())
        second = await submitted(e, "second")
        assert second.status is RunStatus.GATHERING

        view = await e.service.command(first.id, Resume())

        assert (view.status, view.position) == (RunStatus.QUEUED, 1)
        told = await e.service.exchange("hungary", first.id, Join(named("first").digest))
        assert told == End(Outcome.STOPPED, "the run waits in the queue")
        await e.service.command(second.id, Stop())
        await until(lambda: e.driver.lives[first.id].run.deadline is not None)


async def test_a_run_that_ended_is_resumed_at_once_where_there_is_room():
    store = CountingStore()
    async with engine(store) as e:
        e.driver.queue.offers = lambda: ONE_EACH
        first = await submitted(e, "first")
        await e.service.command(first.id, Stop())
        before = len(store.commits)
        assert (await e.service.command(first.id, Resume())).status is RunStatus.GATHERING
        assert len(store.commits) == before + 1


async def test_a_paused_run_keeps_its_room_and_one_paused_in_the_queue_lets_others_pass():
    async with engine() as e:
        e.driver.queue.offers = lambda: ONE_EACH
        first, second, third = [await submitted(e, name) for name in ("first", "second", "third")]
        await e.service.command(first.id, Pause())
        assert await status(e, second.id) is RunStatus.QUEUED
        await e.service.command(second.id, Pause())
        await e.service.command(first.id, Stop())
        await until(lambda: e.driver.lives[third.id].run.deadline is not None)
        assert await status(e, second.id) is RunStatus.PAUSED


async def test_more_room_in_a_silo_lets_a_run_begin():
    async with engine() as e:
        offers = dict(ONE_EACH)
        e.driver.queue.offers = lambda: offers
        await submitted(e, "first")
        second = await submitted(e, "second")
        offers |= dict.fromkeys(SILOS, Capacity(2))
        e.driver.reckon()
        await until(lambda: e.driver.lives[second.id].run.deadline is not None)


async def test_resources_are_reckoned_and_what_can_never_be_is_refused_at_submit():
    async with engine() as e:
        e.driver.queue.offers = lambda: dict.fromkeys(SILOS, Capacity(4, cpus=2.0))
        assert (await submitted(e, "first", resources=Resources(cpus=1.5))).status is RunStatus.GATHERING
        assert (await submitted(e, "small", resources=Resources(cpus=0.5))).status is RunStatus.GATHERING
        waits = await submitted(e, "third", resources=Resources(cpus=0.5))
        assert waits.reason.startswith("cleveland has 0 of 2 processors left, where the run needs 0.5; it serves r-")
        with pytest.raises(ConfigError, match="cleveland offers 2 processors \\(cpus\\), the run needs 4"):
            await submitted(e, "never", resources=Resources(cpus=4))


async def test_a_run_that_has_waited_long_begins_before_more_urgent_ones():
    async with engine() as e:
        e.driver.queue.offers = lambda: {"cleveland": Capacity(1)}
        first = await submitted(e, "first")
        await e.service.command(first.id, Pause())  # it keeps its room for as long as that lasts
        low = await submitted(e, "low", Priority.LOW)
        e.clock.advance(7 * 3600)
        normal = await submitted(e, "normal")
        assert ((await e.service.run(low.id)).position, normal.position) == (1, 2)
        await e.service.command(first.id, Stop())
        await until(lambda: e.driver.lives[low.id].run.deadline is not None)
        assert await status(e, normal.id) is RunStatus.QUEUED


async def test_a_silo_is_told_which_of_the_runs_that_it_works_for_are_over():
    """Ended, back in the queue, refused, another silo's or unknown; whether it was in it or not is not told."""
    async with engine() as e:
        offers = {}
        e.driver.queue.offers = lambda: offers
        runs = {name: (await submitted(e, name)).id for name in ("works", "ended", "queued", "refused")}
        foreign = (await e.service.submit(plan_of(["cleveland"]), "foreign")).id
        await e.service.command(runs["ended"], Stop())
        await e.service.command(runs["queued"], Stop())
        offers |= ONE_EACH
        await e.service.command(runs["queued"], Resume())
        await e.service.exchange("hungary", runs["refused"], Refuse("apps", "no"))
        asked = (*runs.values(), foreign, "r-unknown")

        over = await e.service.over("hungary", Serving(asked))

        assert over == Over(tuple(run for run in asked if run != runs["works"]))
