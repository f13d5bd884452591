"""The driver: durable before answered, one commit a barrier, nothing lost in a restart, nobody forgotten."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.coordinator.support import SILOS, CountingStore, adam_plan, engine, plan_of, until, update, work

from septum.coordinator.driver import Pace
from septum.errors import (
    AuthError,
    ConflictError,
    ConnectionFailedError,
    NotFoundError,
    ProtocolError,
    SeptumError,
    StorageError,
    TensorError,
)
from septum.ports.store import Pending, Transition
from septum.protocol import facts
from septum.protocol.codec import from_json, loads
from septum.protocol.messages import (
    Await,
    Blob,
    End,
    Failure,
    Invitation,
    Join,
    Leave,
    Outcome,
    Poll,
    Prepare,
    Refuse,
    Stage,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import digest_of
from septum.protocol.run import RETRY_S
from septum.protocol.run_state import Combine, Discard, Pause, Phase, Presence, Resume, Stop
from septum.protocol.views import RunStatus, RunView
from septum.testing.fakes import FakeClock, MemoryBlobs, MemoryRunStore

pytestmark = pytest.mark.anyio

QUICK = Pace(hold_s=0.05, flush_s=30.0, retry_s=0.05)
PATIENT = Pace(hold_s=20.0, flush_s=30.0, retry_s=0.05)


async def test_a_run_goes_from_submission_to_its_end_and_measures_every_model():
    async with engine() as e:
        model = await e.finish(plan_of())
        view = from_json(RunView, loads((await e.service.runs(limit=1))[0].view))
        assert (view.status, view.finished_rounds, view.model) == (RunStatus.FINISHED, 2, model)
        assert view.metrics is not None
        assert view.metrics.rows == 4 * len(SILOS)
        models = await e.service.models(view.id)
        assert [m.round for m in models] == [0, 1, 2]
        assert all(m.metrics is not None for m in models)


async def test_a_brisk_barrier_is_one_commit():
    store = CountingStore()
    async with engine(store, pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        before = len(store.commits)
        await asyncio.gather(*(e.report(silo, run_id, work(trains[silo], silo)) for silo in SILOS))
        committed = store.commits[before:]
        assert len(committed) == 1
        assert committed[0][0].run.round == 2


async def test_reports_of_two_runs_that_wait_together_share_a_commit():
    store = CountingStore()
    async with engine(store, pace=PATIENT) as e:
        plans = {key: replace(plan_of(), name=key) for key in ("a", "b")}
        runs = {key: (await e.service.submit(plan, key)).id for key, plan in plans.items()}
        before = len(store.commits)
        joins = [e.join(silo, runs[key], plans[key]) for silo in SILOS for key in plans]
        await asyncio.gather(*joins)
        assert len(store.commits) == before + 1
        assert len(store.commits[-1]) == 2


async def test_a_lone_report_is_committed_after_the_flush_time():
    store = CountingStore()
    async with engine(store, pace=replace(PATIENT, flush_s=0.02)) as e:
        run_id, trains = await e.start_round_one(plan_of())
        report, data = work(trains["hungary"], "hungary")
        waiting = asyncio.ensure_future(e.service.exchange("hungary", run_id, report))
        await until(lambda: "hungary" in store.get(run_id).run.reports)
        assert not waiting.done()
        assert e.blobs.get(f"spool-{run_id}", digest_of(data)) == data
        waiting.cancel()


class GatedStore(MemoryRunStore):
    """Commits wait until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()

    def commit(self, transitions: Sequence[Transition], *, at: float) -> tuple[tuple[Pending, ...], ...]:
        self.arrived.set()
        assert self.gate.wait(10)
        return super().commit(transitions, at=at)


async def test_no_answer_leaves_before_its_commit_is_done():
    store = GatedStore()
    async with engine(store, pace=PATIENT) as e:
        plan = plan_of(("cleveland",))
        run_id = (await e.service.submit(plan, "k")).id
        store.gate.clear()
        store.arrived.clear()
        answer = asyncio.ensure_future(e.join("cleveland", run_id, plan))
        assert await asyncio.to_thread(store.arrived.wait, 5)
        await asyncio.sleep(0.02)
        assert not answer.done()
        store.gate.set()
        assert isinstance(await answer, Prepare)


class FailingStore(MemoryRunStore):
    """Commits raise `error` while there is one."""

    error: SeptumError | None = None
    failed = 0

    def commit(self, transitions: Sequence[Transition], *, at: float) -> tuple[tuple[Pending, ...], ...]:
        if self.error is not None:
            self.failed += 1
            raise self.error
        return super().commit(transitions, at=at)


async def test_a_full_disk_acknowledges_nothing_and_is_tried_again():
    store = FailingStore()
    async with engine(store, pace=PATIENT) as e:
        plan = plan_of(("cleveland",))
        run_id = (await e.service.submit(plan, "k")).id
        store.error = SeptumError("no space left for the database")
        answer = asyncio.ensure_future(e.join("cleveland", run_id, plan))
        await until(lambda: store.failed >= 2)
        assert not answer.done()
        assert store.get(run_id).run.phase is Phase.GATHER
        store.error = None
        assert isinstance(await answer, Prepare)
        assert store.get(run_id).run.phase is Phase.PREPARE


async def test_another_coordinator_on_the_store_stops_this_one_and_its_requests():
    store = FailingStore()
    async with engine(store, pace=PATIENT) as e:
        plan = plan_of(("cleveland",))
        run_id = (await e.service.submit(plan, "k")).id
        store.error = ConflictError("another coordinator has taken over")
        with pytest.raises(ConflictError, match="taken over"):
            await e.join("cleveland", run_id, plan)
        with pytest.raises(ConflictError, match="taken over"):
            await e.driver.wait()
        store.error = None


async def test_a_pending_combine_is_performed_after_a_restart_with_the_same_bits():
    async with engine() as e:
        expected = await e.finish(plan_of())
    store, blobs = MemoryRunStore(), FullBlobs()
    async with engine(store, blobs, pace=replace(PATIENT, flush_s=0.01)) as e:
        run_id, trains = await e.start_round_one(plan_of())
        blobs.stuck.clear()
        reports = [asyncio.ensure_future(e.report(s, run_id, work(trains[s], s))) for s in SILOS]
        await until(lambda: store.get(run_id).run.combining)  # committed while the combining stands still
        crashed, left = crash(store, blobs, run_id)
        for report in reports:
            report.cancel()
        blobs.stuck.set()
    async with engine(crashed, left, pace=replace(PATIENT, flush_s=0.01)) as e:
        await until(lambda: e.driver.lives[run_id].run.round == 2)
        ends = await asyncio.gather(*(e.serve(silo) for silo in SILOS))
        assert {end.outcome for end in ends} == {Outcome.FINISHED}
        assert (await e.service.run(run_id)).model == expected
        await until(lambda: not crashed.unfinished())


def crash(store: MemoryRunStore, blobs: MemoryBlobs, run_id: str) -> tuple[MemoryRunStore, MemoryBlobs]:
    """What a kill at this moment leaves behind."""
    ((stored, pending),) = store.unfinished()
    effects = tuple(entry.effect for entry in pending)
    assert [type(effect) for effect in effects] == [Combine]
    left, bytes_left = MemoryRunStore(), MemoryBlobs()
    left.create(stored.run, [], at=0.0)
    left.commit([Transition(stored.run, 1, effects=effects)], at=0.0)
    for contribution in stored.run.reports.values():
        area = f"spool-{run_id}"
        bytes_left.put(area, blobs.get(area, contribution.payload.digest), durable=False)
    models = f"models-{run_id}"
    bytes_left.put(models, blobs.get(models, stored.run.model.digest), durable=True)
    return left, bytes_left


class FullBlobs(MemoryBlobs):
    """A blob store that can be full, or stand still, for models."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.stuck = threading.Event()
        self.stuck.set()

    def put(self, area, data, *, durable, digest="", limit=0):
        if area.startswith("models-"):
            assert self.stuck.wait(10)
            if self.full:
                raise StorageError("could not store a blob: no space left on device")
        return super().put(area, data, durable=durable, digest=digest, limit=limit)


@pytest.mark.parametrize("operator", [True, False])
async def test_a_disk_full_while_combining_pauses_the_run_which_goes_on_by_itself_or_when_told(operator):
    async with engine() as e:
        expected = await e.finish(plan_of())
    blobs = FullBlobs()
    async with engine(blobs=blobs, pace=replace(PATIENT, flush_s=0.0)) as e:
        run_id, trains = await e.start_round_one(plan_of())
        blobs.full = True
        reports = [asyncio.ensure_future(e.report(s, run_id, work(trains[s], s))) for s in SILOS]
        await until(lambda: e.driver.lives[run_id].stored.paused)
        view = await e.service.run(run_id)
        assert (view.status, "no space left" in view.reason) == (RunStatus.PAUSED, True)
        assert not any(report.done() for report in reports)
        blobs.full = False
        if operator:
            await e.service.command(run_id, Resume())
        else:
            e.clock.advance(RETRY_S)
            e.driver.nudge()
        assert all(isinstance(told, Train) and told.round == 2 for told in await asyncio.gather(*reports))
        await asyncio.gather(*(e.serve(silo) for silo in SILOS))
        assert (await e.service.run(run_id)).model == expected


async def test_after_a_restart_silos_are_told_what_the_state_says_and_the_result_is_the_same():
    async with engine() as e:
        expected = await e.finish(adam_plan())
    store, blobs = MemoryRunStore(), MemoryBlobs()
    async with engine(store, blobs) as e:
        run_id, trains = await e.start_round_one(adam_plan())
    async with engine(store, blobs, FakeClock(monotonic=5000.0)) as e:
        assert await e.service.exchange("hungary", run_id, Await()) == trains["hungary"]
        await asyncio.gather(*(e.serve(silo) for silo in SILOS))
        assert (await e.service.run(run_id)).model == expected


async def test_deadlines_pause_while_the_coordinator_is_down():
    store, blobs, clock = MemoryRunStore(), MemoryBlobs(), FakeClock(monotonic=100.0)
    async with engine(store, blobs, clock) as e:
        run_id, _ = await e.start_round_one(plan_of(deadline_s=50.0))
    clock = FakeClock(monotonic=9.0)  # another boot: the clock begins anew
    async with engine(store, blobs, clock, PATIENT) as e:
        live = e.driver.lives[run_id]
        clock.advance(49.0)
        e.driver.nudge()
        await asyncio.sleep(0.01)
        assert live.run.presence["hungary"] is Presence.ACTIVE
        clock.advance(2.0)
        e.driver.nudge()
        await until(lambda: live.run.presence["hungary"] is Presence.ABSENT)


async def test_a_deadline_closes_the_round_with_a_quorum():
    clock = FakeClock()
    async with engine(clock=clock, pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of(quorum=2, deadline_s=50.0))
        two = [asyncio.ensure_future(e.report(s, run_id, work(trains[s], s))) for s in SILOS[:2]]
        await until(lambda: len(e.driver.lives[run_id].run.reports) == 2)
        clock.advance(51.0)
        e.driver.nudge()
        assert {told.round for told in await asyncio.gather(*two)} == {2}
        left = [fact for fact in await e.facts_of(run_id) if isinstance(fact, facts.SiloLeft)]
        assert [fact.silo for fact in left] == ["switzerland"]


async def test_a_real_deadline_needs_no_nudge():
    class Ticking(FakeClock):
        def monotonic(self) -> float:
            return asyncio.get_running_loop().time()

    async with engine(clock=Ticking(), pace=PATIENT) as e:
        plan = plan_of(gather_s=0.03)
        run_id = (await e.service.submit(plan, "k")).id
        told = await e.join("hungary", run_id, plan)
        assert isinstance(told, End)
        assert "1 of 3 silos joined" in told.reason


async def test_a_request_with_nothing_to_answer_is_told_to_wait():
    async with engine(pace=QUICK) as e:
        plan = plan_of()
        run_id = (await e.service.submit(plan, "k")).id
        assert await e.join("hungary", run_id, plan) == Wait()
        assert await e.service.poll("nobody", Poll()) == Wait()


async def test_a_newer_request_of_a_silo_replaces_the_older():
    async with engine(pace=PATIENT) as e:
        plan = plan_of()
        run_id = (await e.service.submit(plan, "k")).id
        older = asyncio.ensure_future(e.join("hungary", run_id, plan))
        await until(lambda: e.driver.held.get(run_id, "hungary") is not None)
        newer = asyncio.ensure_future(e.join("hungary", run_id, plan))
        assert await older == Wait()
        await asyncio.gather(*(e.join(s, run_id, plan) for s in ("cleveland", "switzerland")))
        assert isinstance(await newer, Prepare)


async def test_a_silo_holds_no_more_requests_than_allowed():
    async with engine(pace=replace(PATIENT, per_silo=2)) as e:
        plans = [plan_of(seed=n) for n in range(3)]
        runs = [(await e.service.submit(plan, f"k{n}")).id for n, plan in enumerate(plans)]
        asked = []
        for run_id, plan in zip(runs, plans, strict=True):
            asked.append(asyncio.ensure_future(e.join("hungary", run_id, plan)))
            await asyncio.sleep(0.01)
        assert await asked[0] == Wait()
        assert not asked[1].done()
        assert not asked[2].done()
        for task in asked:
            task.cancel()


async def test_a_cancelled_request_leaves_nothing_behind():
    async with engine(pace=PATIENT) as e:
        plan = plan_of()
        run_id = (await e.service.submit(plan, "k")).id
        for held in (e.join("hungary", run_id, plan), e.service.poll("elsewhere", Poll())):
            request = asyncio.ensure_future(held)
            await until(lambda: len(e.driver.held.silos()) == 1)
            request.cancel()
            await until(lambda: not e.driver.held.silos())


async def test_a_waiting_poll_is_answered_when_a_run_wants_the_silo():
    async with engine(pace=PATIENT) as e:
        wanted, other = (asyncio.ensure_future(e.service.poll(silo, Poll())) for silo in ("hungary", "other"))
        await asyncio.sleep(0)
        plan = plan_of()
        run_id = (await e.service.submit(plan, "k")).id
        assert await wanted == Invitation(run_id, plan)
        assert not other.done()
        other.cancel()


async def test_nobody_is_invited_to_what_it_serves_or_refused_or_what_has_ended():
    async with engine(pace=QUICK) as e:
        plan = plan_of(quorum=2)
        run_id = (await e.service.submit(plan, "k")).id
        assert await e.service.poll("hungary", Poll((run_id,))) == Wait()
        told = await e.service.exchange("cleveland", run_id, Refuse("apps", "this app is not approved here"))
        assert isinstance(told, End)
        assert await e.service.poll("cleveland", Poll()) == Wait()
        await e.service.command(run_id, Stop())
        assert await e.service.poll("switzerland", Poll()) == Wait()


async def test_a_silo_that_asked_before_the_end_is_asked_anew_when_the_run_is_resumed():
    async with engine(pace=PATIENT) as e:
        run_id, _ = await e.start_round_one(plan_of())
        asked = asyncio.ensure_future(e.service.poll("hungary", Poll((run_id,))))
        await asyncio.sleep(0)
        await e.service.command(run_id, Stop())
        await asyncio.sleep(0.01)
        assert not asked.done()
        await e.service.command(run_id, Resume())
        assert await asyncio.wait_for(asked, 5) == Wait()
        soon = e.service.poll("hungary", Poll((run_id,)))  # its part may just be ending
        assert await asyncio.wait_for(soon, 5) == Wait()
        assert isinstance(await e.service.poll("hungary", Poll()), Invitation)


async def test_a_silo_that_leaves_is_answered_at_once():
    async with engine(pace=PATIENT) as e:
        run_id, _ = await e.start_round_one(plan_of(quorum=2))
        assert await e.service.exchange("hungary", run_id, Leave("maintenance")) == Wait()
        assert e.store.get(run_id).run.presence["hungary"] is Presence.ABSENT


async def test_a_silo_that_comes_and_goes_in_a_loop_does_not_fill_the_journal():
    async with engine(pace=PATIENT) as e:
        run_id, _ = await e.start_round_one(plan_of())
        refused = 0
        for _ in range(20):
            held = asyncio.create_task(e.join("hungary", run_id, plan_of()))
            leaving = asyncio.create_task(e.service.exchange("hungary", run_id, Leave("bye")))
            await asyncio.sleep(0.02)
            refused += leaving.done() and isinstance(leaving.exception(), ConnectionFailedError)
            held.cancel()
        entries = await e.service.journal(run_id, after=0, limit=1000)
        assert sum(isinstance(entry.fact, facts.SiloLeft) for entry in entries) == 1
        assert refused > 10


async def test_stopping_ends_what_is_held_and_drops_the_spool():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        report = asyncio.ensure_future(e.report("hungary", run_id, work(trains["hungary"], "hungary")))
        await until(lambda: e.driver.lives[run_id].run.reports)
        view = await e.service.command(run_id, Stop("enough"))
        assert (view.status, view.reason) == (RunStatus.STOPPED, "enough")
        assert await report == End(Outcome.STOPPED, "enough")
        await until(lambda: not e.blobs._areas.get(f"spool-{run_id}"))


async def test_pausing_holds_silos_back_and_resuming_lets_them_go_on():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        await e.service.command(run_id, Pause())
        asked = asyncio.ensure_future(e.service.exchange("hungary", run_id, Await()))
        await asyncio.sleep(0.01)
        assert not asked.done()
        await e.service.command(run_id, Resume())
        assert await asked == trains["hungary"]


async def test_a_stopped_run_is_resumed_from_its_last_model_even_after_a_restart():
    async with engine() as e:
        expected = await e.finish(adam_plan())
    store, blobs = MemoryRunStore(), MemoryBlobs()
    async with engine(store, blobs) as e:
        run_id, trains = await e.start_round_one(adam_plan())
        await asyncio.gather(*(e.report(s, run_id, work(trains[s], s)) for s in SILOS))
        await e.service.command(run_id, Stop())
    async with engine(store, blobs) as e:
        assert run_id not in e.driver.lives
        silos = [asyncio.ensure_future(e.serve(silo)) for silo in SILOS]
        await asyncio.sleep(0.01)
        await e.service.command(run_id, Resume())
        await asyncio.gather(*silos)
        assert (await e.service.run(run_id)).model == expected


async def test_large_payloads_go_through_the_spool_and_are_gone_when_their_round_is_closed():
    width = 40_000  # 160 kB a payload: no longer inline
    async with engine(pace=replace(PATIENT, flush_s=0.01)) as e:
        plan = adam_plan()
        await e.finish(plan, width=width)
        run_id = (await e.service.runs(limit=1))[0].run_id
        await until(lambda: not e.store.unfinished())
        assert not e.blobs._areas.get(f"spool-{run_id}")
        assert not e.blobs._areas.get(f"optimizer-{run_id}")


async def test_only_the_optimizer_states_of_the_newest_model_and_of_the_one_before_are_kept():
    async with engine(pace=PATIENT) as e:
        plan = adam_plan(rounds=4)
        run_id, trains = await e.start_round_one(plan)
        for _ in range(3):
            told = await asyncio.gather(*(e.report(s, run_id, work(trains[s], s)) for s in SILOS))
            trains = dict(zip(SILOS, told, strict=True))
        await until(lambda: len(e.blobs._areas[f"optimizer-{run_id}"]) == 2)
        run = e.store.get(run_id).run
        assert run.optimizer is not None
        assert set(e.blobs._areas[f"optimizer-{run_id}"]) == {run.optimizer.digest, run.previous.optimizer.digest}


async def test_a_report_whose_payload_is_not_there_is_asked_to_send_it():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        report, _ = work(trains["hungary"], "hungary")
        missing = replace(report, payload=Blob(digest_of(b"never sent"), 10))
        with pytest.raises(NotFoundError, match=missing.payload.digest):
            await e.service.exchange("hungary", run_id, missing)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (update(float("nan")), "'update.w' holds nan at element 0"),
        (update(float("inf")), "'update.w' holds inf"),
        (update(1.0, width=4), r"'update.w' has shape \[4\], expected \[3\]"),
        (b"no tensors at all", "tensor header"),
    ],
)
async def test_a_wrong_payload_is_refused_naming_silo_and_tensor_and_changes_nothing(payload, problem):
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        report, _ = work(trains["hungary"], "hungary")
        before = e.driver.lives[run_id].run
        with pytest.raises(TensorError, match=problem) as caught:
            await e.service.exchange("hungary", run_id, replace(report, payload=blob_of(payload)))
        assert "round 1: silo 'hungary'" in caught.value.message
        assert e.driver.lives[run_id].run.reports == before.reports


async def test_a_report_that_comes_in_the_moment_before_it_is_asked_for_does_not_pass_unread():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of(("hungary",)))
        first, _ = work(trains["hungary"], "hungary")
        early = replace(first, attempt=2, payload=blob_of(b"no tensors at all"))
        failing = e.service.exchange("hungary", run_id, Failure(Stage.TRAIN, 1, 1, "no"))
        told = await asyncio.gather(failing, e.service.exchange("hungary", run_id, early), return_exceptions=True)
        assert isinstance(told[1], ProtocolError)
        assert e.driver.lives[run_id].run.reports == {}


async def test_only_the_silo_that_was_asked_brings_the_initial_model_and_it_must():
    async with engine(pace=PATIENT) as e:
        run_id = (await e.service.submit(plan_of(), "k")).id
        asked = await asyncio.gather(*(e.join(silo, run_id, plan_of()) for silo in SILOS))
        for silo, told in zip(SILOS, asked, strict=True):
            wrong = replace(told, initial=not told.initial)
            problem = "is there, though the initial model was asked for" if told.initial else "was not asked for"
            with pytest.raises(TensorError, match=problem):
                await e.report(silo, run_id, work(wrong, silo))
        trains = await asyncio.gather(
            *(e.report(silo, run_id, work(told, silo)) for silo, told in zip(SILOS, asked, strict=True))
        )
        assert [told.round for told in trains] == [1, 1, 1]


async def test_a_late_report_is_not_even_looked_at_and_answered_with_what_is_to_be_done_now():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        told = await asyncio.gather(*(e.report(s, run_id, work(trains[s], s)) for s in SILOS))
        report, _ = work(trains["hungary"], "hungary")
        late = replace(report, payload=Blob(digest_of(b"gone"), 10))
        assert await e.service.exchange("hungary", run_id, late) == told[1]


async def test_a_repeat_of_an_accepted_report_is_not_looked_at_either():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        report, _ = work(trains["hungary"], "hungary")
        first = asyncio.ensure_future(e.service.exchange("hungary", run_id, report))
        await until(lambda: e.driver.lives[run_id].run.reports)
        gone = replace(report, payload=Blob(digest_of(b"gone"), 10))
        repeat = asyncio.ensure_future(e.service.exchange("hungary", run_id, gone))
        others = [e.report(s, run_id, work(trains[s], s)) for s in SILOS if s != "hungary"]
        told = (await asyncio.gather(*others))[0]
        assert (await first, await repeat) == (Wait(), told)


async def test_a_report_from_another_model_is_refused():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        report, _ = work(trains["hungary"], "hungary")
        with pytest.raises(ProtocolError, match="started from model"):
            await e.service.exchange("hungary", run_id, replace(report, base=digest_of(b"other")))


async def test_a_silo_that_is_not_in_the_plan_is_refused():
    async with engine(pace=PATIENT) as e:
        run_id, _ = await e.start_round_one(plan_of())
        for asked in (
            e.service.exchange("other", run_id, Await()),
            e.service.upload_to("other", run_id),
            e.service.model_for("other", run_id, digest_of(b"")).__aenter__(),
        ):
            with pytest.raises(ProtocolError, match="'other' is not part of run"):
                await asked


async def test_a_stranger_who_asks_in_the_moment_a_round_is_closed_does_not_stop_the_coordinator():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        reports = (e.report(silo, run_id, work(told, silo)) for silo, told in trains.items())
        strange = (e.service.exchange("other", run_id, message) for message in (Await(), Leave("")))
        *told, _, _ = refused = await asyncio.gather(*reports, *strange, return_exceptions=True)
        assert [one.round for one in told] == [2, 2, 2]
        assert all("'other' is not part of run" in one.message for one in refused[-2:])


async def test_the_same_submission_again_is_the_same_run_and_another_plan_a_conflict():
    async with engine() as e:
        first = await e.service.submit(plan_of(), "key")
        assert (await e.service.submit(plan_of(), "key")).id == first.id
        with pytest.raises(ConflictError, match=first.id):
            await e.service.submit(plan_of(seed=7), "key")
        assert len(await e.service.runs(limit=10)) == 1


async def test_a_silo_that_leaves_is_not_kept_waiting_for_its_next_instruction():
    async with engine() as e:
        plan = plan_of()
        run_id = (await e.service.submit(plan, "k")).id
        held = asyncio.create_task(e.join("hungary", run_id, plan))
        await until(lambda: e.driver.held.get(run_id, "hungary") is not None)
        await e.service.exchange("hungary", run_id, Leave("paused"))
        assert await asyncio.wait_for(held, 2.0) == Wait()


async def test_revoking_a_silo_ends_its_requests_and_its_part_in_runs():
    async with engine(pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of(quorum=2))
        waiting = asyncio.ensure_future(e.report("hungary", run_id, work(trains["hungary"], "hungary")))
        polling = asyncio.ensure_future(e.service.poll("hungary", Poll((run_id,))))
        await until(lambda: len(tuple(e.driver.held)) == 2)
        e.service.end_held("hungary", AuthError("the key of silo 'hungary' was revoked"))
        await e.service.revoked("hungary")
        for asked in (waiting, polling):
            with pytest.raises(AuthError, match="revoked"):
                await asked
        assert e.store.get(run_id).run.presence["hungary"] is Presence.ABSENT


async def test_the_journal_is_followed_without_polling_until_the_run_has_ended():
    async with engine(pace=PATIENT) as e:
        run_id = (await e.service.submit(plan_of(), "k")).id
        with e.service.journals.watch(run_id) as viewer:
            assert b"run_created" in await viewer.take(5)
            coming = asyncio.ensure_future(viewer.take(60))
            await asyncio.sleep(0.01)
            assert not coming.done()
            await e.service.command(run_id, Stop())
            assert b"run_ended" in await coming
            assert await viewer.take(5) is None


async def test_going_down_answers_what_is_held_and_what_still_comes():
    async with engine(pace=PATIENT) as e:
        run_id = (await e.service.submit(plan_of(), "k")).id
        polling = asyncio.ensure_future(e.service.poll("other", Poll()))
        with e.service.journals.watch(run_id, after=1) as viewer:
            following = asyncio.ensure_future(viewer.take(60))
            await asyncio.sleep(0.01)
            e.driver.drain(SeptumError("going down"))
        with pytest.raises(SeptumError, match="going down"):
            await polling
        with pytest.raises(SeptumError, match="going down"):
            await e.service.exchange("hungary", run_id, Join(plan_of().digest))
        with pytest.raises(SeptumError, match="going down"):
            await e.service.upload_to("hungary", run_id)
        assert await asyncio.wait_for(following, 5) is None


async def test_what_waits_for_its_flush_is_committed_on_the_way_down():
    store, blobs = MemoryRunStore(), MemoryBlobs()
    async with engine(store, blobs, pace=PATIENT) as e:
        run_id, trains = await e.start_round_one(plan_of())
        report, data = work(trains["hungary"], "hungary")
        asked = asyncio.ensure_future(e.service.exchange("hungary", run_id, report))
        await until(lambda: e.driver.lives[run_id].run.reports)
        asked.cancel()
    assert list(store.get(run_id).run.reports) == ["hungary"]
    assert blobs.get(f"spool-{run_id}", digest_of(data)) == data


async def test_nothing_stays_in_the_outbox_of_an_ended_run():
    store = CountingStore()
    async with engine(store, pace=replace(PATIENT, flush_s=0.01)) as e:
        await e.finish(plan_of())
        await until(lambda: not store.unfinished())
    discards = [x for commit in store.commits for t in commit for x in t.effects if isinstance(x, Discard)]
    assert discards  # it was there, and was performed
