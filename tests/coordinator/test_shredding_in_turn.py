"""A run is shredded in its turn: nothing else makes files of it meanwhile, and nobody is told what is not so."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.coordinator.support import engine, feed_of, plan_of, registered_of, until, work

from septum.adapters.store.open import open_store
from septum.adapters.store.sqlite_file import SqliteFile
from septum.coordinator.areas import models_area, spool_area
from septum.coordinator.caller import OPERATOR
from septum.coordinator.shredding import RunSecrets, Shredding, finish_shredding
from septum.errors import ConflictError, StorageError
from septum.protocol.run_state import Resume, Stop
from septum.testing.contracts.samples import ended_run
from septum.testing.fakes import MemoryBlobs, MemoryRunStore

pytestmark = pytest.mark.anyio


class GatedBlobs(MemoryBlobs):
    """Models are stored when the gate is open."""

    def __init__(self):
        super().__init__()
        self.gate, self.arrived = threading.Event(), threading.Event()
        self.gate.set()

    def put(self, area, data, **how):
        if area.startswith("models-"):
            self.arrived.set()
            assert self.gate.wait(10)
        return super().put(area, data, **how)


def shredding_of(e, registered, feed=None):
    return Shredding(e.driver, e.blobs, e.service, registered, feed or feed_of(e), RunSecrets(e.store), e.clock)


async def test_what_a_run_that_was_resumed_and_stopped_meanwhile_combines_is_waited_for():
    blobs = GatedBlobs()
    async with engine(blobs=blobs) as e:
        plan, registered = plan_of(), registered_of(e)
        run, _ = await e.start_round_one(plan)
        await e.service.command(run, Stop())
        async with registered.keeping:  # models are removed, say
            asked = asyncio.ensure_future(shredding_of(e, registered).shred(OPERATOR, run))
            await asyncio.sleep(0.05)
            await e.service.command(run, Resume())
            told = await asyncio.gather(*(e.join(silo, run, plan) for silo in plan.silos))
            told = [await e.asked(silo, run, one) for silo, one in zip(plan.silos, told, strict=True)]
            blobs.arrived.clear()
            blobs.gate.clear()
            reports = [
                asyncio.ensure_future(e.report(silo, run, work(one, silo)))
                for silo, one in zip(plan.silos, told, strict=True)
            ]
            await until(blobs.arrived.is_set)
            await e.service.command(run, Stop())
        await asyncio.sleep(0.05)
        assert e.store.salt(run)
        blobs.gate.set()
        assert (await asked).run.shredded_at is not None
        assert blobs.digests(models_area(run)) == []
        await asyncio.gather(*reports, return_exceptions=True)


class AwayStore(MemoryRunStore):
    """A store that can be away, as a server may be."""

    away = False

    def get(self, run_id):
        self._ask()
        return super().get(run_id)

    def shred(self, run_id, *, by, at):
        self._ask()
        super().shred(run_id, by=by, at=at)

    def _ask(self):
        if self.away:
            raise StorageError("the server does not answer", hint="pg_isready")


async def test_where_the_store_cannot_tell_whether_it_was_shredded_that_is_what_is_said_and_asked_again_it_is():
    store = AwayStore()
    async with engine(store) as e:
        registered = registered_of(e)
        run, _ = await e.start_round_one(plan_of())
        await e.service.command(run, Stop())
        shredding, store.away = shredding_of(e, registered), True
        with pytest.raises(StorageError, match="does not answer"):
            await shredding.shred(OPERATOR, run)
        store.away = False
        with pytest.raises(ConflictError, match="is being shredded") as error:
            await e.service.command(run, Resume())
        assert error.value.hint == f"septum run shred {run} --yes"
        assert (await shredding.shred(OPERATOR, run)).run.shredded_by == "operator"
        with pytest.raises(ConflictError, match="was shredded"):
            await e.service.command(run, Resume())


class HoldingBlobs(MemoryBlobs):
    """A bucket without the right to remove what is in one run's models."""

    def drop(self, area):
        if area == "models-r-1":
            raise StorageError("could not remove models-r-1: AccessDenied", hint="aws sts get-caller-identity")
        super().drop(area)


def test_files_that_cannot_be_removed_keep_no_coordinator_from_starting_and_are_tried_again(caplog):
    store, blobs = MemoryRunStore(), HoldingBlobs()
    for run in ("r-1", "r-2"):
        store.create(ended_run(run), (), at=1.0)
        blobs.put(models_area(run), b"abc", durable=True)
        store.shred(run, by="ada", at=2.0)
    blobs.put(spool_area("r-1"), b"abc", durable=True)
    finish_shredding(store, blobs)
    assert (list(store.with_files()), blobs.digests(models_area("r-2"))) == (["r-1"], [])
    assert blobs.digests(spool_area("r-1")) == []
    (line,) = [line for line in caplog.records if line.msg == "shredding_unfinished"]
    assert (line.run_id, line.hint) == ("r-1", "septum run shred r-1 --yes")


def test_what_a_kill_right_after_the_commit_left_of_the_salt_goes_at_the_next_start(tmp_path, monkeypatch):
    def files_with(secret):
        return [path.name for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]

    with open_store(tmp_path) as stores:
        stores.runs.create(ended_run("r-1"), (), at=1.0)
        salt = stores.run_keys.salt("r-1")
        with monkeypatch.context() as patch:
            patch.setattr(SqliteFile, "end_shredding", lambda *_, **__: None)  # it was killed before
            stores.run_keys.shred("r-1", by="ada", at=2.0)
        assert files_with(salt)
        finish_shredding(stores.run_keys, MemoryBlobs())
        assert files_with(salt) == []
        assert stores.runs.get("r-1").shredded_by == "ada"
        assert list(stores.run_keys.with_files()) == []


class LeavingStore(MemoryRunStore):
    """A store in which something of a salt may be left, as while a backup reads it."""

    read = True

    def shred(self, run_id, *, by, at):
        super().shred(run_id, by=by, at=at)
        if self.read:
            raise StorageError("what was deleted may still be there")


async def test_where_something_of_the_salt_may_be_left_the_next_start_looks_again_though_the_files_are_gone():
    store = LeavingStore()
    async with engine(store) as e:
        registered = registered_of(e)
        run, _ = await e.start_round_one(plan_of())
        await e.service.command(run, Stop())
        feed, woken = feed_of(e), []
        feed.on_told.append(lambda: woken.append(run))
        why = f"run {run} was shredded, and is not gone to the last: what was deleted may still be there"
        with pytest.raises(StorageError, match=why) as error:
            await shredding_of(e, registered, feed).shred(OPERATOR, run)
        assert error.value.hint == f"septum run shred {run} --yes, when that has ended"
        assert woken == [run]  # whoever watches the feed: it is told there
        assert (e.blobs.digests(models_area(run)), list(store.with_files())) == ([], [run])
        finish_shredding(store, e.blobs)
        assert list(store.with_files()) == [run]
        store.read = False
        finish_shredding(store, e.blobs)
        assert list(store.with_files()) == []


async def test_files_that_cannot_be_removed_are_named_with_what_to_do():
    store, blobs = MemoryRunStore(), HoldingBlobs()
    store.create(ended_run("r-1"), (), at=1.0)
    async with engine(store, blobs) as e:
        with pytest.raises(StorageError, match="run r-1 was shredded, and is not gone to the last: could not") as error:
            await shredding_of(e, registered_of(e)).shred(OPERATOR, "r-1")
        assert error.value.hint == "aws sts get-caller-identity; septum run shred r-1 --yes, when that has ended"
        assert list(store.with_files()) == ["r-1"]
