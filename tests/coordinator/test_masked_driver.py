"""What a masked round costs the driver, and what a coordinator loses that is killed in the middle of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.coordinator.support import EVALUATION, CountingStore, Engine, engine, until, work
from tests.protocol.driving import masked_plan_of
from tests.silo.masked_parts import Parts, journal_in

from septum.coordinator.driver import Pace
from septum.errors import StorageError
from septum.ports.store import Pending, Transition
from septum.protocol import payload, tensors
from septum.protocol.closing import ENOUGH_S
from septum.protocol.messages import (
    Agree,
    Await,
    End,
    Evaluate,
    Instruction,
    MakeKeys,
    Masked,
    Outcome,
    Prepare,
    ShareKeys,
    SiloMessage,
    Stage,
    Train,
    Unmask,
    blob_of,
)
from septum.protocol.plan import Plan, Vote
from septum.protocol.run_state import Step
from septum.testing.fakes import FakeClock, MemoryBlobs

pytestmark = pytest.mark.anyio

PATIENT = Pace(hold_s=20.0, flush_s=30.0, retry_s=0.05)
Stops = Callable[[Instruction], bool]


def never(_: Instruction) -> bool:
    return False


def poor_on_the_rows(round_: int) -> bytes:
    update = {"w": np.full(3, 0.1 * round_, np.float32)}
    return tensors.encode(payload.update_tensors(update, replace(EVALUATION, log_loss_sum=100.0)))


class Silos:
    """Masked parts with real keys that train as they are told, until something is asked at which they stop.

    The models of the rounds `poor` do badly on everybody's test rows.
    """

    def __init__(self, folder: Path, plan: Plan, run: str, poor: Sequence[int] = ()) -> None:
        self.plan = plan
        self.poor = poor
        self.trained: dict[int, str] = {}  # the base of each round
        self.parts = Parts(folder, plan, run)

    def say(self, silo: str, told: Instruction) -> SiloMessage:
        if isinstance(told, MakeKeys | ShareKeys | Agree | Unmask):
            return self.parts.parts[silo].answer(told)
        made = work(told, silo)
        if made is None:
            return Await()
        assert isinstance(told, Prepare | Train | Evaluate)
        report, plain = made
        if isinstance(told, Train):
            self.trained[told.round] = told.model.digest
            if told.round - 1 in self.poor:
                plain = poor_on_the_rows(told.round)
                report = replace(report, payload=blob_of(plain))
        self.parts.parts[silo].asked(told)
        masked = Masked(report.stage, report.round, report.attempt, report.base, report.payload)
        return self.parts.parts[silo].protect(masked, plain, 10, self.parts.folder / silo)

    async def serve(self, e: Engine, silo: str, stops: Stops = never) -> Instruction:
        """Join, and answer; what was asked last."""
        told = await e.join(silo, self.parts.run, self.plan)
        while not isinstance(told, End) and not stops(told):
            told = await e.service.exchange(silo, self.parts.run, self.say(silo, told))
        return told

    async def serve_all(self, e: Engine, silos: Sequence[str], stops: Stops = never) -> list[Instruction]:
        return await asyncio.gather(*(self.serve(e, silo, stops) for silo in silos))


def unmasks(round_: int) -> Stops:
    return lambda told: isinstance(told, Unmask) and (told.stage, told.round) == (Stage.TRAIN, round_)


async def started(e: Engine, folder: Path) -> Silos:
    plan = masked_plan_of(rounds=3)
    return Silos(folder, plan, (await e.service.submit(plan, "k")).id)


async def model_of(e: Engine, run: str) -> str | None:
    return (await e.service.run(run)).model


async def test_a_masked_round_is_two_commits(tmp_path):
    """Whose results are summed, before anybody signs that; and the end of the round with the opening of the next."""
    store = CountingStore()
    async with engine(store, pace=PATIENT) as e:
        silos = await started(e, tmp_path)
        await silos.serve_all(e, silos.plan.silos)
    committed = [transition.run for commit in store.commits for transition in commit]
    second = [run for run in committed if (run.stage, run.round) == (Stage.TRAIN, 2)]
    assert [run.exchange.step for run in second] == [Step.WORK, Step.AGREE]
    assert second[1].begun == silos.plan.silos


class MortalStore(CountingStore):
    """Takes nothing any more once it is dead: what a coordinator that is killed would not have written."""

    dead = False

    def commit(self, transitions: Sequence[Transition], *, at: float) -> tuple[tuple[Pending, ...], ...]:
        if self.dead:
            raise StorageError("killed")
        return super().commit(transitions, at=at)


@pytest.mark.parametrize("revealed", [0, 1, 3])
async def test_a_coordinator_that_is_killed_before_the_end_of_unmasking_makes_the_same_model(tmp_path, revealed):
    """It forgot the signatures. Silos sign the same again, and reveal the same also to other signatures than before."""
    async with engine(pace=PATIENT) as e:
        undisturbed = await started(e, tmp_path / "a")
        await undisturbed.serve_all(e, undisturbed.plan.silos)
        expected = await model_of(e, undisturbed.parts.run)
    store, blobs, clock = MortalStore(), MemoryBlobs(), FakeClock()
    async with engine(store, blobs, clock, pace=PATIENT) as e:
        silos = await started(e, tmp_path / "b")
        run, names = silos.parts.run, silos.plan.silos
        told = await silos.serve_all(e, names, unmasks(2))
        store.dead = True
        said = [silos.say(silo, asked) for silo, asked in zip(names[:revealed], told, strict=False)]
        sent = [asyncio.ensure_future(e.service.exchange(s, run, one)) for s, one in zip(names, said, strict=False)]
        await until(lambda: len(e.driver.lives[run].run.exchange.reveals) == revealed)
    await asyncio.gather(*sent, return_exceptions=True)
    store.dead = False
    assert store.get(run).run.exchange.step is Step.AGREE  # so the signatures are lost
    async with engine(store, blobs, clock, pace=PATIENT) as e:
        again = asyncio.ensure_future(silos.serve_all(e, names[:3], unmasks(2)))
        await until(lambda: len(e.driver.lives[run].run.exchange.signatures) == 3)
        clock.advance(ENOUGH_S)
        e.driver.nudge()
        assert {len(asked.signatures) for asked in await again} == {3}  # and of one silo there are none any more
        await silos.serve_all(e, names)
        assert await model_of(e, run) == expected
    assert {t.run.attempt for commit in store.commits for t in commit if t.run.round == 2} == {1}


async def test_a_model_that_is_voted_down_is_trained_from_no_more_and_the_one_before_again_by_the_same_silos(tmp_path):
    """The journals have the first sum about that model, and sign a second one over the same silos."""
    plan = masked_plan_of(rounds=5, vote=Vote())
    async with engine(pace=PATIENT) as e:
        silos = Silos(tmp_path, plan, (await e.service.submit(plan, "k")).id, poor=[2])
        ends = await silos.serve_all(e, plan.silos)
        view = await e.service.run(silos.parts.run)
        listed = await e.service.models(silos.parts.run)
    assert {end.outcome for end in ends} == {Outcome.FINISHED}, ends
    assert (view.finished_rounds, view.burnt, view.vote) == (5, 0, Vote())
    assert silos.trained[4] == silos.trained[2] != silos.trained[3]
    assert [model.round for model in listed] == [0, 1, 3, 4, 5]
    assert silos.trained[3] not in [model.digest for model in listed]
    for silo in plan.silos:
        about = [one for one in journal_in(silos.parts.folder, silo).all() if one.query.base == silos.trained[2]]
        assert [(one.round, one.silos) for one in about] == [(2, plan.silos), (4, plan.silos)]
