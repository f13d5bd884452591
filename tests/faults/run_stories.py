"""What happens to a run while its coordinator is killed, and does it end as if nothing had been?"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tests.e2e.processes import is_alive
from tests.faults.counting import APP, ROWS, until
from tests.faults.dying import Kill, Remove, When
from tests.faults.mortal import Place, deaths
from tests.faults.truth import at_work
from tests.folders import files_in

from septum.coordinator.areas import silo_models_area
from septum.coordinator.service import run_id_of
from septum.protocol import facts
from septum.protocol.messages import Outcome, Stage
from septum.protocol.plan import Plan, StrategyRef
from septum.protocol.priority import Priority
from septum.protocol.resources import Resources
from septum.protocol.views import RunStatus

LARGE = 40_000  # parameters: 160 KB, so payloads, models and optimizer states are all blobs


def plain(place: Place, point: str, **plan: object) -> str:
    return finished(place, point, place.counting.plan(point, 3, {}, **plan), deaths(point, run_id_of(point)))


def asking(place: Place, point: str) -> str:
    """The answer is there once, and right: x is 0, 0.5, .. in each silo's 12, 16 and 20 rows, y is 0, 1, 0, 1, .."""
    place.fate.arm(*deaths(point, run_id_of(point)))
    run = place.submit(point, place.counting.query(point))
    assert place.until_ended(run) is RunStatus.FINISHED, place.facts(run)[-5:]
    (made,) = (fact.answer for fact in place.facts(run) if isinstance(fact, facts.StatisticsMade))
    assert (made.rows, made.silos) == (48, tuple(sorted(ROWS)))
    assert [column.groups for column in made.columns] == [(15, 12, 21), (24, 24)]
    assert not place.counting.trail(point).exists()
    return run


def large(place: Place, point: str) -> str:
    plan = place.counting.plan(point, 5, {"width": LARGE}, strategy=StrategyRef("fedadam"))
    return finished(place, point, plan, deaths(point, run_id_of(point)))


def keeping(place: Place, point: str) -> str:
    """Every silo's own model of every round is there in the end, once, and its bytes are those of its digest."""
    width = {} if point.startswith("put ") else {"width": LARGE}  # what is small is in memory, and not shared
    plan = place.counting.plan(point, 3, width, keep_silo_models=True)
    run = finished(place, point, plan, deaths(point, run_id_of(point)))
    found = place.persist(lambda: place.client.silo_models(run))
    assert [(one.round, one.silo) for one in found] == [(round_, silo) for round_ in (1, 2, 3) for silo in sorted(ROWS)]
    assert place.count(run, facts.SiloModelsKept) == 3
    for number, one in enumerate(found):
        place.persist(partial(place.client.download_silo_model, one, place.counting.folder / f"{run}-{number}"))
    area = place.federation.operator_dir / "blobs" / silo_models_area(run)
    there = {f"blake3:{path.name}" for path in files_in(area)}
    assert there == {digest for one in found for digest in (one.update, one.digest)}
    return run


def slow(place: Place, point: str) -> str:
    place.fate.hold(True)
    try:
        return finished(place, point, place.counting.plan(point, 2, {}), deaths(point, run_id_of(point)))
    finally:
        place.fate.hold(False)


def failing(place: Place, point: str) -> str:
    plan = place.counting.plan(point, 3, {"fails": "north 2"})
    run = finished(place, point, plan, deaths(point, run_id_of(point)), again={("north", 2): 2})
    failed = [fact for fact in place.facts(run) if isinstance(fact, facts.SiloFailed)]
    assert [(fact.silo, fact.round) for fact in failed] == [("north", 2)]
    return run


def gated(place: Place, point: str) -> tuple[Path, Plan, str]:
    """A run that dies there and waits in its first training, and the gate that lets it go on."""
    gate = place.counting.gate(point)
    plan = place.counting.plan(point, 3, {"gate": str(gate)})
    place.fate.arm(*deaths(point, run_id_of(point)))
    run = place.submit(point, plan)
    place.until_fact(run, facts.StageOpened, stage=Stage.TRAIN)
    return gate, plan, run


def paused(place: Place, point: str) -> str:
    gate, plan, run = gated(place, point)
    while place.fate.outstanding:
        place.persist(lambda: place.client.pause(run))
        place.persist(lambda: place.client.resume(run))
    place.persist(place.assert_honest)
    assert {silo for silo, id_ in at_work(place.agents) if id_ == run} == set(ROWS)
    gate.touch()
    return finished(place, point, plan, [])


def stopped(place: Place, point: str) -> str:
    gate, plan, run = gated(place, point)
    place.persist(lambda: place.client.stop(run))
    while place.fate.outstanding:
        place.persist(lambda: place.client.resume(run))
        place.persist(lambda: place.client.stop(run))
    place.persist(place.assert_honest)
    gate.touch()
    place.persist(lambda: place.client.resume(run))
    again = {(silo, 1): 2 for silo in ROWS}  # the stop broke the first training off, if it came in time
    return finished(place, point, plan, [], again=again)


def left(place: Place, point: str) -> str:
    gate, plan, run = gated(place, point)
    while place.fate.outstanding:
        restart_agent(place, "south", run)
        until(lambda: place.count(run, facts.SiloReturned) == place.count(run, facts.SiloLeft), "south is back")
    place.persist(place.assert_honest)
    gate.touch()
    return finished(place, point, plan, [])


def restart_agent(place: Place, silo: str, run: str) -> None:
    """End it, so that it takes its leave if it can, and start it; it is back at work on the run."""
    said = place.federation.log(silo)

    def sessions() -> int:
        return sum('"consent_granted"' in line and run in line for line in said.read_text().splitlines())

    before, pid = sessions(), place.federation.pid(silo)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not is_alive(pid), f"the agent of {silo} ends")
    place.federation.kill(silo)  # nothing but a zombie by now; this waits for it
    place.federation.start_agent(silo)
    until(lambda: sessions() > before, f"{silo} is at work again")


def refused(place: Place, point: str) -> str:
    plan = place.counting.plan(point, 3, {})
    wrong = Plan(plan.name, type(plan.app)(APP.app.name, "1", f"sha256:{'0' * 64}"), plan.hyper, plan.silos, 3)
    place.fate.arm(*deaths(point, run_id_of(point)))
    run = place.submit(point, wrong)
    assert place.until_ended(run) is RunStatus.FAILED
    said = [fact for fact in place.facts(run) if isinstance(fact, facts.SiloRefused)]
    assert len(said) == len({fact.silo for fact in said}) >= 1
    return run


def queued(place: Place, point: str) -> str:
    """Another run takes all processors of its silos; then it is told to go on, and this one begins by itself."""
    all_ = Resources(cpus=min(offered_cpus(place)))
    gate = place.counting.gate(f"{point} before")
    before = place.counting.plan(f"{point} before", 1, {"gate": str(gate)}, resources=all_)
    plan = place.counting.plan(point, 2, {}, resources=all_)
    first = place.submit(f"{point} before", before)
    place.fate.arm(*deaths(point, run_id_of(point)))
    run = place.submit(point, plan)
    assert place.persist(lambda: place.client.run(run)).status is RunStatus.QUEUED
    steps = 2 if point == "commit: RunDequeued" else 20  # that one comes once, when the other run has ended
    for priority in [Priority.HIGH, Priority.LOW] * steps:
        if not place.fate.outstanding:
            break
        place.persist(lambda priority=priority: place.client.prioritise(run, priority))
        place.persist(lambda: place.client.stop(run))
        waits = place.persist(lambda: place.client.resume(run))
        assert (waits.status, waits.position) == (RunStatus.QUEUED, 1)
    place.persist(place.assert_honest)
    gate.touch()
    assert place.until_ended(first) is RunStatus.FINISHED
    return finished(place, point, plan, [])


def offered_cpus(place: Place) -> list[float]:
    """What each silo gives, once all have said it."""

    def said() -> list[float]:
        details = [place.persist(lambda silo=silo: place.client.silo(silo)).description for silo in ROWS]
        gives = [one.capacity.cpus for one in details if one is not None and one.capacity is not None]
        return [cpus for cpus in gives if cpus is not None]

    until(lambda: len(said()) == len(ROWS), "every silo says what it gives")
    return said()


def overflowing(place: Place, point: str) -> str:
    plan = place.counting.plan(point, 3, {"overflow": 2}, attempts=2, strategy=StrategyRef("fedavgm", {"lr": 100.0}))
    place.fate.arm(*deaths(point, run_id_of(point)))
    run = place.submit(point, plan)
    assert place.until_ended(run) is RunStatus.FAILED
    assert models_made(place, run) == [0, 1]
    assert set(place.counting.trainings(point).values()) == {1}
    return run


def payload_lost(place: Place, point: str) -> str:
    run, blobs = run_id_of(point), place.federation.operator_dir / "blobs"
    lose = [Kill("commit: outbox + Combine train", When.AFTER, run), Remove(blobs / f"spool-{run}", "*/*")]
    plan = place.counting.plan(point, 2, {})
    place.fate.hold(True)
    try:
        return finished(place, point, plan, [*lose, *deaths(point, run)])
    finally:
        place.fate.hold(False)


def model_lost(place: Place, point: str) -> str:
    run, blobs = run_id_of(point), place.federation.operator_dir / "blobs"
    lose = [Kill("commit: ModelMeasured", When.AFTER, run), Remove(blobs / f"models-{run}", "*/*")]
    plan = place.counting.plan(point, 3, {})
    return finished(place, point, plan, [*lose, *deaths(point, run)], made=[0, 1, 1, 2, 3])


def finished(
    place: Place,
    name: str,
    plan: Plan,
    plans: list[Kill | Remove],
    *,
    again: Mapping[tuple[str, int], int] | None = None,
    made: list[int] | None = None,
) -> str:
    """Play a run to its end: the undisturbed digest, each model once, no training twice but those in `again`."""
    if plans:
        place.fate.arm(*plans)
    run = place.submit(name, plan)
    assert place.until_ended(run) is RunStatus.FINISHED, place.facts(run)[-5:]
    assert place.persist(lambda: place.client.run(run)).model == place.undisturbed(plan)
    assert models_made(place, run) == (made or list(range(plan.rounds + 1)))
    ended = [fact for fact in place.facts(run) if isinstance(fact, facts.RunEnded)]
    assert ended[-1].outcome is Outcome.FINISHED
    trained = place.counting.trainings(name)
    assert set(trained) == {(silo, round_) for silo in plan.silos for round_ in range(1, plan.rounds + 1)}
    assert {work: times for work, times in trained.items() if times > (again or {}).get(work, 1)} == {}
    return run


def models_made(place: Place, run: str) -> list[int]:
    return [fact.round for fact in place.facts(run) if isinstance(fact, facts.ModelMade)]
