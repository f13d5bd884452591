"""What do the coordinator's tests need? Small real payloads, an engine on fakes, and silos that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from septum.algorithms.evaluation import Evaluation
from septum.coordinator.apps import VERIFY, Apps
from septum.coordinator.audit import Audit
from septum.coordinator.driver import Driver, Pace
from septum.coordinator.feed import Feed
from septum.coordinator.fleet import Fleet
from septum.coordinator.loads import Loads
from septum.coordinator.logs import Logs
from septum.coordinator.projects import Projects
from septum.coordinator.registered import Registered
from septum.coordinator.rosters import Rosters
from septum.coordinator.service import RunService
from septum.ports.groups import Group
from septum.ports.projects import Project
from septum.ports.store import Pending, RunStore, Transition
from septum.ports.telemetry import Kept
from septum.protocol import payload, tensors
from septum.protocol.facts import Fact
from septum.protocol.messages import (
    Await,
    Blob,
    End,
    Evaluate,
    Instruction,
    Invitation,
    Join,
    Poll,
    Prepare,
    Report,
    Stage,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, Plan, StrategyRef
from septum.testing.fakes import (
    FakeClock,
    MemoryAccounts,
    MemoryApps,
    MemoryBlobs,
    MemoryFeed,
    MemoryRegistry,
    MemoryRunStore,
)
from septum.testing.memory_audit import MemoryAudit
from septum.testing.memory_models import MemoryModelRegistry
from septum.testing.telemetry import MemoryLogs, MemorySystem

SILOS = ("cleveland", "hungary", "switzerland")
WIDTH = 3
EVALUATION = Evaluation(4, 3, 2.5, 0.75, np.array([[-2, 1, 1], [5, 1, 1]], np.int64))
MAX_BLOB_BYTES = 1 << 20
NO_ROSTERS = Rosters(Path("a-folder-that-is-not-there"))


def plan_of(silos: Sequence[str] = SILOS, **settings: object) -> Plan:
    given = {"rounds": 2, "hyper": {"rounds": 2, "lr": 0.1}, **settings}
    return Plan("heart", AppRef("heart", "1.0.0", "sha256:" + "0" * 64), silos=tuple(sorted(silos)), **given)


def adam_plan(silos: Sequence[str] = SILOS, **settings: object) -> Plan:
    return plan_of(silos, strategy=StrategyRef("fedadam"), **settings)


def prepared(*, initial: bool, width: int = WIDTH) -> bytes:
    parameters = {"w": np.zeros(width, np.float32)} if initial else None
    return tensors.encode(payload.prepared_tensors({"scale.sum": np.ones(2)}, parameters))


def update(value: float, width: int = WIDTH, **others: np.ndarray) -> bytes:
    arrays = {"w": np.full(width, value, np.float32), **others}
    return tensors.encode(payload.update_tensors(arrays, EVALUATION))


def evaluated() -> bytes:
    return tensors.encode(payload.evaluation_tensors(EVALUATION))


def work(instruction: Instruction, silo: str, width: int = WIDTH) -> tuple[Report, bytes] | None:
    """The report that an instruction asks for, with all bytes of its payload; None when it asks for none.

    The update depends on silo and round alone, as training does.
    """
    match instruction:
        case Prepare(attempt, initial):
            data = prepared(initial=initial, width=width)
            return Report(Stage.PREPARE, 0, attempt, "", blob_of(data), 10), data
        case Train(round_, attempt, model):
            data = update(0.1 * round_ + 0.01 * len(silo), width)
            return Report(Stage.TRAIN, round_, attempt, model.digest, blob_of(data), 10), data
        case Evaluate(round_, attempt, model):
            data = evaluated()
            return Report(Stage.EVALUATE, round_, attempt, model.digest, blob_of(data), 0), data
        case _:
            return None


@dataclass(slots=True)
class Engine:
    driver: Driver
    service: RunService
    store: RunStore
    blobs: MemoryBlobs
    clock: FakeClock

    async def facts_of(self, run_id: str) -> list[Fact]:
        """The journal of a run."""
        return [entry.fact for entry in await self.service.journal(run_id, after=0, limit=1000)]

    async def join(self, silo: str, run_id: str, plan: Plan) -> Instruction:
        return await self.service.exchange(silo, run_id, Join(plan.digest))

    async def asked(self, silo: str, run_id: str, told: Instruction) -> Instruction:
        """What a silo is told to do next, however long that takes."""
        while isinstance(told, Wait):
            told = await self.service.exchange(silo, run_id, Await())
        return told

    async def start_round_one(self, plan: Plan, key: str = "k") -> tuple[str, dict[str, Instruction]]:
        """A run whose silos have been asked for round 1."""
        run_id = (await self.service.submit(plan, key)).id
        asked = await asyncio.gather(*(self.join(silo, run_id, plan) for silo in plan.silos))
        asked = [await self.asked(silo, run_id, told) for silo, told in zip(plan.silos, asked, strict=True)]
        reports = [work(instruction, silo) for instruction, silo in zip(asked, plan.silos, strict=True)]
        trains = await asyncio.gather(
            *(self.report(silo, run_id, made) for silo, made in zip(plan.silos, reports, strict=True))
        )
        told = [await self.asked(silo, run_id, train) for silo, train in zip(plan.silos, trains, strict=True)]
        return run_id, dict(zip(plan.silos, told, strict=True))

    async def report(self, silo: str, run_id: str, made: tuple[Report, bytes] | None) -> Instruction:
        assert made is not None
        report, data = made
        if report.payload.inline is None:
            live, mark = await self.service.upload_to(silo, run_id)
            await asyncio.to_thread(self.service.store_payload, live, [data], report.payload.digest)
            self.service.uploaded(live, silo, report.payload.digest, mark)
        return await self.service.exchange(silo, run_id, report)

    async def serve(self, silo: str, width: int = WIDTH) -> End:
        """A silo that takes the first run it is offered and does all that it is asked."""
        while isinstance(offer := await self.service.poll(silo, Poll()), Wait):
            pass
        assert isinstance(offer, Invitation)
        told = await self.join(silo, offer.run, offer.plan)
        while not isinstance(told, End):
            made = work(told, silo, width)
            told = await (
                self.service.exchange(silo, offer.run, Await()) if made is None else self.report(silo, offer.run, made)
            )
        return told

    async def finish(self, plan: Plan, key: str = "k", width: int = WIDTH) -> str:
        """A whole run; the digest of its last model."""
        run_id = (await self.service.submit(plan, key)).id
        await asyncio.gather(*(self.serve(silo, width) for silo in plan.silos))
        model = (await self.service.run(run_id)).model
        assert model is not None
        return model


@asynccontextmanager
async def engine(
    store: RunStore | None = None,
    blobs: MemoryBlobs | None = None,
    clock: FakeClock | None = None,
    pace: Pace | None = None,
    labels: Collection[str] = (),
) -> AsyncIterator[Engine]:
    store, blobs, clock = store or MemoryRunStore(), blobs or MemoryBlobs(), clock or FakeClock()
    driver = Driver(store, blobs, clock, pace)
    driver.queue.labels = frozenset(labels)
    await driver.start()
    try:
        yield Engine(driver, RunService(driver, blobs, max_blob_bytes=MAX_BLOB_BYTES), store, blobs, clock)
    finally:
        await driver.close()


class CountingStore(MemoryRunStore):
    """A MemoryRunStore that remembers what was committed together."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Sequence[Transition]] = []

    def commit(self, transitions: Sequence[Transition], *, at: float) -> tuple[tuple[Pending, ...], ...]:
        done = super().commit(transitions, at=at)
        self.commits.append(transitions)
        return done


async def until(condition: object, *, tries: int = 2000) -> None:
    """Let the loop turn until a condition holds; threads may have to do something for it."""
    assert callable(condition)
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to be")


def digest_only(blob: Blob) -> Blob:
    return blob.without_bytes()


def feed_of(engine: Engine) -> Feed:
    """A feed that forgets at the end of the test."""
    return Feed(MemoryFeed(), engine.driver.performer, engine.clock, 1000)


def audit_of(engine: Engine) -> Audit:
    """An audit log that nobody keeps for longer than the test."""
    return Audit(MemoryAudit(), engine.driver.performer, engine.clock)


def fleet_of(engine: Engine, registry: MemoryRegistry) -> Fleet:
    """No silo has said anything."""
    return Fleet(MemoryAccounts(registry), engine.driver.performer, engine.clock, feed_of(engine), lambda _: "default")


class Nobody:
    """A store of groups and of projects that has none."""

    def groups(self) -> Sequence[Group]:
        return ()

    def projects(self, names: Iterable[str] | None = None) -> Sequence[Project]:
        del names
        return ()


def registered_of(engine: Engine) -> Registered:
    """No model has a name."""
    driver, clock = engine.driver, engine.clock
    projects = Projects(Nobody(), Nobody(), driver.performer, clock, feed_of(engine))
    return Registered(MemoryModelRegistry(), engine.service, projects, Nobody(), feed_of(engine), clock)


def apps_of(engine: Engine) -> Apps:
    """No packages, and none can be pushed."""
    driver = engine.driver
    return Apps(MemoryApps(), engine.blobs, driver.performer, engine.clock, VERIFY, MAX_BLOB_BYTES, feed_of(engine))


def telling_of(engine: Engine) -> tuple[Logs, Loads]:
    """Nobody has told anything."""
    kept = Kept(3_600.0, 1 << 20)
    return Logs(MemoryLogs(), engine.service, engine.clock, kept), Loads(MemorySystem(), engine.clock)
