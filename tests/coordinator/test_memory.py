"""Silos in the coordinator's own process: the same service, the same bits."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.coordinator.support import SILOS, engine, plan_of, until, work

from septum.adapters.channel.memory import MemoryChannel
from septum.coordinator.driver import Pace
from septum.coordinator.memory import MemoryService
from septum.errors import ConnectionFailedError, DigestError, NotFoundError
from septum.protocol.messages import Await, End, Invitation, Join, Outcome, Wait
from septum.protocol.plan import digest_of

pytestmark = pytest.mark.anyio

WIDE = 40_000  # blobs, and models that are fetched


def serve(channel, silo, directory, width):
    """A silo in a thread of its own, as an agent would be."""
    while isinstance(offer := channel.poll(()), Wait):
        pass
    assert isinstance(offer, Invitation)
    told = channel.exchange(offer.run, Join(offer.plan.digest))
    while not isinstance(told, End):
        made = work(told, silo, width)
        if made is None:
            told = channel.exchange(offer.run, Await())
            continue
        report, data = made
        if report.payload.inline is None:
            file = directory / f"{silo}.payload"
            file.write_bytes(data)
            channel.send_blob(offer.run, report.payload.digest, file)
        if report.base and width == WIDE:
            channel.fetch_blob(offer.run, told.model.digest, directory / silo, size_bytes=told.model.size_bytes)
        told = channel.exchange(offer.run, report)
    return told


@pytest.mark.parametrize("width", [3, WIDE])
async def test_silos_in_memory_reach_the_same_model(tmp_path, width):
    async with engine() as e:
        expected = await e.finish(plan_of(), width=width)
    async with engine() as e:
        service = MemoryService(e.service, asyncio.get_running_loop())
        channels = {silo: MemoryChannel(silo, service) for silo in SILOS}
        run = await e.service.submit(plan_of(), "k")
        ends = await asyncio.gather(
            *(asyncio.to_thread(serve, channels[silo], silo, tmp_path, width) for silo in SILOS)
        )
        assert {end.outcome for end in ends} == {Outcome.FINISHED}
        assert (await e.service.run(run.id)).model == expected


async def test_closing_a_channel_ends_what_it_holds_and_no_other(tmp_path):
    async with engine(pace=Pace(hold_s=30.0)) as e:
        service = MemoryService(e.service, asyncio.get_running_loop())
        closing, other = MemoryChannel("hungary", service), MemoryChannel("basel", service)
        problems = []

        def poll():
            with pytest.raises(ConnectionFailedError) as caught:
                closing.poll(())
            problems.append(caught.value)

        thread = threading.Thread(target=poll)
        thread.start()
        waiting = asyncio.ensure_future(asyncio.to_thread(other.poll, ()))
        await until(lambda: e.driver.held.silos() == {"hungary", "basel"})
        await asyncio.to_thread(closing.close)
        await asyncio.to_thread(thread.join, 10)
        assert problems
        assert not waiting.done()
        await asyncio.to_thread(other.close)
        with pytest.raises(ConnectionFailedError):
            await waiting


async def test_errors_come_through_as_over_the_network(tmp_path):
    async with engine() as e:
        channel = MemoryChannel("hungary", MemoryService(e.service, asyncio.get_running_loop()))
        (tmp_path / "f").write_bytes(b"other")
        run = (await e.service.submit(plan_of(), "k")).id
        with pytest.raises(NotFoundError, match="r-nope"):
            await asyncio.to_thread(channel.exchange, "r-nope", Await())
        with pytest.raises(DigestError):
            await asyncio.to_thread(channel.send_blob, run, digest_of(b"announced"), tmp_path / "f")
