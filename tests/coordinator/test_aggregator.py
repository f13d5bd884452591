"""A run that names a label is driven by a coordinator that carries it, and waits in the queue while there is none."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
from tests.coordinator.running import KEYS, Running, finish, free_port, start_round_one, together
from tests.coordinator.support import SILOS, engine, plan_of, until

from septum.client import Client
from septum.errors import ConfigError
from septum.protocol import facts
from septum.protocol.feed import Kind
from septum.protocol.messages import Join, Train
from septum.protocol.run_state import Resume, Stop
from septum.protocol.views import RunStatus
from septum.testing.fakes import FakeClock, MemoryBlobs, MemoryRunStore

pytestmark = pytest.mark.anyio

EU = replace(plan_of(), aggregator="eu")
NOT_HERE = "it is for a coordinator labelled eu, and this one is labelled us; position 1 in the queue"


async def test_a_run_that_no_coordinator_may_drive_is_refused_with_the_labels_there_are():
    async with engine(labels=("us", "gpu")) as e:
        with pytest.raises(ConfigError, match=r"labelled 'eu'.*there are: gpu, us") as refused:
            await e.service.submit(EU, "one")
        assert "--aggregator gpu" in refused.value.hint
    async with engine() as e:
        with pytest.raises(ConfigError, match="labelled 'eu'; none has any"):
            await e.service.submit(EU, "one")
    async with engine(labels=("eu", "us")) as e:
        assert (await e.service.submit(EU, "one")).aggregator == "eu"
        assert (await e.service.submit(plan_of(), "two")).aggregator == "any"


async def test_a_run_that_waits_or_has_ended_begins_nowhere_without_the_label():
    store, blobs, clock = MemoryRunStore(), MemoryBlobs(), FakeClock()
    async with engine(store, blobs, clock, labels=("eu",)) as e:
        run = (await e.service.submit(EU, "one")).id
        await e.service.command(run, Stop())
    async with engine(store, blobs, clock, labels=("us",)) as e:
        other = await e.service.submit(plan_of(), "two")
        assert other.status is RunStatus.GATHERING  # nobody waits behind what cannot begin
        view = await e.service.command(run, Resume())
        assert (view.status, view.reason) == (RunStatus.QUEUED, NOT_HERE)
        await e.service.command(other.id, Stop())  # there is room now, and it is looked at again
        assert (await e.service.run(run)).reason == NOT_HERE
    async with engine(store, blobs, clock, labels=("eu",)) as e:
        await until(lambda: e.driver.lives[run].stored.deadline is not None)
        assert (await e.service.run(run)).status is RunStatus.GATHERING


@contextmanager
def up(data_dir, port, *labels):
    running = Running(data_dir, listen=f"127.0.0.1:{port}", labels=labels)
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.served
def test_a_run_at_work_waits_while_its_label_is_gone_and_goes_on_when_it_is_back(tmp_path):
    """Its finished rounds stay; the attempt that was under way is made again."""
    port = free_port()
    with up(tmp_path, port, "eu") as running:
        silos = [running.enrolled(name) for name in SILOS]
        run, told = start_round_one(silos, EU, next(KEYS), 3)
        asked = {silo.name: one for silo, one in zip(silos, told, strict=True)}
        told = together(silos, lambda silo: silo.report(run, asked[silo.name], 3))
        assert {(one.round, one.attempt, type(one)) for one in told} == {(2, 1, Train)}

    with up(tmp_path, port, "us") as running, Client(running.access) as client:
        next(entry for entry in client.feed.watch(after=0, run=run) if entry.change.kind is Kind.RUN_QUEUED)
        view = client.run(run)
        assert (view.status, view.finished_rounds, view.reason) == (RunStatus.QUEUED, 1, NOT_HERE)
        assert [one.id for one in client.runs(statuses=[RunStatus.QUEUED])] == [run]
        assert client.health().labels == ("us",)
        with pytest.raises(ConfigError, match="there are: us"):
            client.submit(EU, key="another")
        told = replace(silos[0], coordinator=running).say(run, Join(EU.digest))
        assert told.reason == "the run waits in the queue"

    with up(tmp_path, port, "eu") as running, Client(running.access) as client:
        here = [replace(silo, coordinator=running) for silo in silos]
        told = together(here, lambda silo: silo.asked(run, Join(EU.digest)))
        assert {(one.round, one.attempt, type(one)) for one in told} == {(2, 2, Train)}
        finish(here, run, told, 3)
        assert client.run(run).status is RunStatus.FINISHED
        said = [entry.fact for entry in client.whole_journal(run)]
    waits = [fact for fact in said if isinstance(fact, facts.RunQueued)]
    assert waits == [facts.RunQueued("it is for a coordinator labelled eu, and this one is labelled us")]
