"""Fault 1: the coordinator is killed at every commit and every effect, and each run ends as if nothing had been.

One federation lives through all of it: its coordinator dies some hundred times. Each point is met before and after (a
blob also in the middle), in the story that reaches it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.oidc_provider import OidcProvider
from tests.e2e.processes import is_alive
from tests.e2e.runs import port_of
from tests.faults.counting import APP, ROWS, UNCLOSED, Counting, counting_in, until
from tests.faults.counting import persist as keep_asking
from tests.faults.dying import Fate, Kill, Remove, When
from tests.faults.kill_points import COORDINATOR_POINTS, Story
from tests.faults.people_promises import PROMISES
from tests.faults.people_story import Peopled, live_in_projects
from tests.faults.programs import Program
from tests.faults.truth import assert_nobody_lies, at_work
from tests.sdk.packaging import app_folder, built

from septum.adapters.identity.app_signatures import Signed, sign
from septum.cli.federation import Federation
from septum.client import Client, operator_access
from septum.coordinator.service import run_id_of
from septum.errors import AppError, ConnectionFailedError, NotFoundError
from septum.protocol import facts
from septum.protocol.deploying import DeployState
from septum.protocol.description import SiloDescription, Standing
from septum.protocol.facts import Fact
from septum.protocol.feed import FeedEntry, Kind, change_of, submitted
from septum.protocol.log_lines import LogFilter, LogView
from septum.protocol.messages import Outcome, Stage
from septum.protocol.plan import Plan, StrategyRef
from septum.protocol.priority import Priority
from septum.protocol.registered import ModelStage
from septum.protocol.resources import Resources
from septum.protocol.run_state import Run
from septum.protocol.views import JournalView, RunStatus
from septum.silo.config import CONFIG_NAME, read_config
from septum.silo.line import open_line

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

RESUMES_S = 10.0
COMES_BY_S = 20.0
WATCHED = ("StageOpened train", "ModelMeasured", "RunEnded")
BLOBS = ("put ", "append ")  # points with a middle
DESCRIPTION = SiloDescription("0.1", "3.11", "Linux x86_64", 2, labels={"site": "a"})
LARGE = 40_000  # parameters: 160 KB, so payloads, models and optimizer states are all blobs
T = TypeVar("T")


@dataclass(slots=True)
class Place:
    """A federation whose coordinator kills itself where it is told to, and comes back."""

    federation: Federation
    counting: Counting
    fate: Fate
    client: Client
    program: Program
    provider: OidcProvider
    digests: dict[tuple[object, ...], str] = field(default_factory=dict)

    def persist(self, call: Callable[[], T]) -> T:
        assert self.program.running, f"the coordinator under test ended: {self.program.said}"
        return keep_asking(call)

    def submit(self, name: str, plan: Plan) -> str:
        return self.persist(lambda: self.client.submit(plan, key=name)).id

    def facts(self, run: str) -> list[Fact]:
        found: list[JournalView] = []
        while page := self._page(run, found[-1].seq if found else 0):
            found += page
        return [entry.fact for entry in found]

    def _page(self, run: str, after: int) -> tuple[JournalView, ...]:
        return self.persist(lambda: self.client.journal(run, after=after))

    def until_ended(self, run: str) -> RunStatus:
        """By its journal, which is on disk: a view may be ahead of it."""
        until(lambda: isinstance(self.facts(run)[-1], facts.RunEnded), f"{run} ends: {self.program.said}")
        return self.persist(lambda: self.client.run(run)).status

    def until_fact(self, run: str, kind: type[Fact], **fields: object) -> None:
        def there() -> bool:
            found = [fact for fact in self.facts(run) if isinstance(fact, kind)]
            return any(all(getattr(fact, name) == v for name, v in fields.items()) for fact in found)

        until(there, f"{kind.__name__} {fields} in {run}")

    def assert_honest(self) -> None:
        """What is said of runs and silos is what really runs."""
        assert_nobody_lies(self.client, self.agents)

    @property
    def agents(self) -> dict[str, int]:
        return {silo: self.federation.pid(silo) for silo in ROWS}

    def count(self, run: str, kind: type[Fact]) -> int:
        return sum(isinstance(fact, kind) for fact in self.facts(run))

    def undisturbed(self, plan: Plan) -> str:
        key = (plan.rounds, plan.hyper["width"], plan.hyper["overflow"], plan.strategy.name)
        if key not in self.digests:
            self.digests[key] = self.counting.undisturbed(plan)
        return self.digests[key]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("kills")
    counting = counting_in(folder)
    with counting.federation(folder / "federation") as federation:
        federation.base.mkdir()
        federation.start()
        port = port_of(federation)
        federation.kill("coordinator")
        provider = OidcProvider(folder / "provider")
        settings = f"approve_own = true\n{provider.settings(federation.operator_dir)}"
        (federation.operator_dir / "coordinator.toml").write_text(settings)
        fate = Fate(folder / "fate", COORDINATOR_POINTS)
        where = (str(federation.operator_dir), str(port), str(folder / "fate"))
        program = Program("tests.faults.coordinator_to_kill", *where, log=folder / "coordinator.log")
        try:
            with closing(Client(operator_access(federation.operator_dir))) as client:
                yield Place(federation, counting, fate, client, program, provider)
        finally:
            provider.close()
            program.stop()


def deaths(point: str, run: str = "") -> list[Kill | Remove]:
    """Die there before, in the middle of a blob, and after: each time the run comes by again."""
    whens = (When.BEFORE, When.WITHIN, When.AFTER) if point.startswith(BLOBS) else (When.BEFORE, When.AFTER)
    kills: list[Kill | Remove] = [Kill(point, when, run) for when in whens]
    if COORDINATOR_POINTS[point] is Story.LARGE and not point.startswith("drop "):
        kills = [Kill(point, whens[0], run, skip=1), *kills[1:]]  # in a later round, with an optimizer that has a state
    if point == "put a model":  # models are in one area, of all runs
        return [Kill(point, when) for when in whens]
    if point.startswith("open "):  # what only a start does, about no run
        return [Kill("commit: StageOpened train", When.AFTER, run), *(Kill(point, when) for when in whens)]
    return kills


# --- the stories ---------------------------------------------------------------------------------------------------


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


def paused(place: Place, point: str) -> str:
    gate = place.counting.gate(point)
    plan = place.counting.plan(point, 3, {"gate": str(gate)})
    place.fate.arm(*deaths(point, run_id_of(point)))
    run = place.submit(point, plan)
    place.until_fact(run, facts.StageOpened, stage=Stage.TRAIN)
    while place.fate.outstanding:
        place.persist(lambda: place.client.pause(run))
        place.persist(lambda: place.client.resume(run))
    place.persist(place.assert_honest)
    assert {silo for silo, id_ in at_work(place.agents) if id_ == run} == set(ROWS)
    gate.touch()
    return finished(place, point, plan, [])


def stopped(place: Place, point: str) -> str:
    gate = place.counting.gate(point)
    plan = place.counting.plan(point, 3, {"gate": str(gate)})
    place.fate.arm(*deaths(point, run_id_of(point)))
    run = place.submit(point, plan)
    place.until_fact(run, facts.StageOpened, stage=Stage.TRAIN)
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
    gate = place.counting.gate(point)
    plan = place.counting.plan(point, 3, {"gate": str(gate)})
    place.fate.arm(*deaths(point, run_id_of(point)))
    run = place.submit(point, plan)
    place.until_fact(run, facts.StageOpened, stage=Stage.TRAIN)
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
    lose = [Kill("commit: ModelMeasured", When.AFTER, run), Remove(blobs / "models", "*/*")]
    plan = place.counting.plan(point, 3, {})
    return finished(place, point, plan, [*lose, *deaths(point, run)], made=[0, 1, 1, 2, 3])


def enrolling(place: Place, point: str) -> None:
    silo = f"new-{list(COORDINATOR_POINTS).index(point)}"
    place.fate.arm(*deaths(point))
    token = place.persist(lambda: place.client.invite(silo)).token
    folder = place.counting.folder / silo
    until(lambda: enroll(place, folder, token), f"{silo} enrols")
    with closing(open_line(folder, read_config(folder / CONFIG_NAME))) as line:
        for said in (DESCRIPTION, Standing(True, "maintenance")):
            place.persist(partial(line.tell, said))
    place.persist(lambda: place.client.revoke(silo))
    while place.fate.outstanding:  # the rest is written when the coordinator ends
        lives = len(readies(place))
        subprocess.run(["kill", "-TERM", str(readies(place)[-1].pid)], check=True)
        until(lambda lives=lives: len(readies(place)) > lives, "the coordinator is back")
    told = place.persist(lambda: place.client.silo(silo))
    assert (told.description, told.standing) == (DESCRIPTION, Standing(True, "maintenance"))
    known = {view.name: view for view in place.persist(place.client.silos)}
    assert known[silo].status.value == "revoked"
    until(lambda: all(view.seen_at > 0 for view in place.persist(place.client.silos) if view.name in ROWS), "all seen")


def enroll(place: Place, folder: Path, token: str) -> bool:
    where = ["--dir", str(folder), "--url", operator_access(place.federation.operator_dir).url]
    done = subprocess.run(
        [sys.executable, "-m", "septum", "silo", "enroll", *where],
        env={"SEPTUM_INVITATION": token, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in (0, ConnectionFailedError.exit_code), done.stdout + done.stderr
    return done.returncode == 0


def pushing(place: Place, point: str) -> None:
    """A package that was pushed is whole, and signed; one that is not sound leaves nothing."""
    folder = place.counting.folder / f"pushed-{list(COORDINATOR_POINTS).index(point)}"
    version = f"1.0.{list(COORDINATOR_POINTS).index(point)}"
    package = built(app_folder(folder / "app", version=version), folder)
    unsound = package.path.read_bytes()[:-1]
    (folder / "unsound").write_bytes(unsound)
    what = Signed(package.name, package.version, package.digest)
    signatures = json.dumps([asdict(sign(what, Ed25519PrivateKey.generate()))])
    place.fate.arm(*deaths(point))
    place.persist(lambda: place.client.push_app(package.path, package.digest, signatures.encode()))
    with pytest.raises(AppError):
        place.persist(lambda: place.client.push_app(folder / "unsound", _digest_of(folder / "unsound")))
    known = {view.digest: view for view in place.persist(place.client.apps)}
    assert (known[package.digest].version, known[package.digest].signatures) == (version, signatures)
    kept = [path for path in (place.federation.operator_dir / "blobs" / "apps").rglob("*") if path.is_file()]
    assert {_digest_of(path) for path in kept} == set(known)
    assert len(kept) == len(known)
    for name in ("quick", "long"):
        place.persist(partial(place.client.set_preset, package.digest, name, {"rounds": 7}))
    with suppress(NotFoundError):  # of a repetition, when the answer was lost
        place.persist(lambda: place.client.drop_preset(package.digest, "quick"))
    assert place.persist(lambda: place.client.app(package.digest)).presets == {"long": {"rounds": 7}}
    place.persist(lambda: place.client.remove_app(package.digest))
    assert package.digest not in {view.digest for view in place.persist(place.client.apps)}
    assert [path for path in kept if path.exists() and _digest_of(path) == package.digest] == []


def peopling(place: Place, point: str) -> None:
    place.fate.arm(*deaths(point))
    access = operator_access(place.federation.operator_dir)
    here = Peopled(access, place.persist, place.provider, lambda: place.fate.outstanding)
    PROMISES[point](here, place.client.people, list(COORDINATOR_POINTS).index(point))


def grouping(place: Place, point: str) -> None:
    place.fate.arm(*deaths(point))
    access = operator_access(place.federation.operator_dir)
    here = Peopled(access, place.persist, place.provider, lambda: place.fate.outstanding)
    live_in_projects(here, list(COORDINATOR_POINTS).index(point))


def coming(place: Place, point: str) -> None:
    """A silo comes: that is told once, whoever dies meanwhile."""
    silo = f"comes-{list(COORDINATOR_POINTS).index(point)}"
    place.fate.arm(*deaths(point))
    folder = place.counting.folder / silo
    token = place.persist(lambda: place.client.invite(silo)).token
    until(lambda: enroll(place, folder, token), f"{silo} enrols")

    def told() -> list[Kind]:
        return [entry.change.kind for entry in reversed(place.persist(lambda: place.client.feed.page(silo=silo)))]

    with closing(open_line(folder, read_config(folder / CONFIG_NAME))) as line:

        def heard() -> bool:  # again and again: when it was seen last is in memory for some seconds
            place.persist(partial(line.tell, DESCRIPTION))
            return Kind.SILO_ONLINE in told()

        until(heard, f"{silo} is told to be there")
    while place.fate.outstanding:  # what is too old goes when the coordinator starts
        lives = len(readies(place))
        subprocess.run(["kill", "-TERM", str(readies(place)[-1].pid)], check=True)
        until(lambda lives=lives: len(readies(place)) > lives, "the coordinator is back")
    first, *rest = told()
    while rest[0] is first is Kind.SILO_INVITED:  # its answer was lost, so it was asked for again
        del rest[0]
    assert rest == [Kind.SILO_ENROLLED, Kind.SILO_ONLINE]


def deploying(place: Place, point: str) -> None:
    """A version comes, is approved, deployed and retired, each once; what silos say of it is there."""
    run = place.submit("deploying", place.counting.plan("deploying", 1, {}))
    assert place.until_ended(run) is RunStatus.FINISHED
    name, models = f"model-{list(COORDINATOR_POINTS).index(point)}", place.client.registered
    place.fate.arm(*deaths(point))
    assert place.persist(lambda: models.register(run, name)).version.version == 1
    assert place.persist(lambda: models.approve(name, 1)).stage is ModelStage.APPROVED
    made = place.persist(lambda: models.deploy(name, 1, silos=tuple(ROWS)))
    id_ = made.deployment.id

    def heard() -> bool:  # their stewards have said nothing of the name
        states = place.persist(lambda: models.deployment(id_)).states
        return [one.told.state for one in states] == [DeployState.WAITING] * len(ROWS)

    until(heard, "every silo says that it waits")
    assert place.persist(lambda: models.version(name, 1)).stage is ModelStage.DEPLOYED
    assert place.persist(lambda: models.retire(name, 1)).stage is ModelStage.RETIRED
    assert [one.version.version for one in place.persist(lambda: models.versions(name))] == [1]
    assert place.persist(lambda: models.deployment(id_)).used_by == ()


def telling(place: Place, point: str) -> str:
    """Every line that a silo told of the run is there once, and none is missing."""
    run = run_id_of(point)
    kills: list[Kill | Remove] = [Kill(point, when) for when in (When.BEFORE, When.AFTER)]
    if point != "add lines of a log":  # what a start does
        kills.insert(0, Kill("commit: StageOpened train", When.AFTER, run))
    finished(place, point, place.counting.plan(point, 3, {}), kills)
    until(lambda: not place.fate.outstanding, "the story comes by", COMES_BY_S)
    for silo in ROWS:
        lines: list[LogView] = []

        def all_told(silo: str = silo, lines: list[LogView] = lines) -> bool:
            lines[:] = place.persist(lambda: place.client.logs.page(run, LogFilter(silo=silo), limit=1000))
            return any(line.text == "run_ended outcome=finished" for line in lines)

        until(all_told, f"{silo} has told all of {run}")
        said = [(line.at, line.text) for line in lines]
        assert len(said) == len(set(said))
        assert not [text for _, text in said if "missing" in text]
        rounds = [line.round for line in lines if line.text.startswith("working stage=train")]
        assert sorted(set(rounds)) == [1, 2, 3]
    until(lambda: bool(place.persist(place.client.loads.of_coordinator).points), "the machine is looked at")
    return run


def _digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


STORIES: Mapping[Story, Callable[[Place, str], str | None]] = {
    Story.PLAIN: plain,
    Story.LARGE: large,
    Story.SLOW: slow,
    Story.PAUSED: paused,
    Story.STOPPED: stopped,
    Story.LEFT: left,
    Story.FAILING: failing,
    Story.REFUSED: refused,
    Story.QUEUED: queued,
    Story.OVERFLOWING: overflowing,
    Story.PAYLOAD_LOST: payload_lost,
    Story.MODEL_LOST: model_lost,
    Story.ENROLLING: enrolling,
    Story.PUSHING: pushing,
    Story.ASKING: asking,
    Story.PEOPLING: peopling,
    Story.GROUPING: grouping,
    Story.COMING: coming,
    Story.DEPLOYING: deploying,
    Story.TELLING: telling,
}


# --- what each promises --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", COORDINATOR_POINTS)
def test_a_coordinator_that_is_killed_there_goes_on_as_if_nothing_had_been(place, point):
    begun = place.fate.now()
    run = STORIES[COORDINATOR_POINTS[point]](place, point)
    until(lambda: not place.fate.outstanding, "the story comes by", COMES_BY_S)  # some of it after the run's end
    if run is not None:
        assert_it_resumed_in_time(place, run, begun)
        until(lambda: not leftovers(place, run), f"what {run} needed no longer is removed: {leftovers(place, run)}")
        assert_the_feed_is_true(place, run)
    place.persist(place.assert_honest)


def assert_the_feed_is_true(place: Place, run: str) -> None:
    """It has what the journal says of the run's status, once and in that order."""
    stored = Run(run, place.persist(lambda: place.client.plan(run)))
    changes = [submitted(stored, "", "operator"), *(change_of(stored, "", fact) for fact in place.facts(run))]
    told = place.persist(lambda: place.client.feed.page(run=run, limit=1000))
    assert [replace(entry.change, by="") for entry in reversed(told)] == [
        replace(change, by="") for change in changes if change is not None
    ]


def test_who_watches_while_the_coordinator_is_killed_misses_nothing_and_hears_nothing_twice(place):
    name = "watched"
    run = run_id_of(name)
    place.fate.arm(*(Kill(f"commit: {point}", when, run) for point in WATCHED for when in (When.BEFORE, When.AFTER)))
    assert place.submit(name, place.counting.plan(name, 4, {})) == run
    seen: list[JournalView] = []
    changes: list[FeedEntry] = []

    def watch() -> None:
        with closing(Client(operator_access(place.federation.operator_dir))) as client:
            seen.extend(client.watch(run))

    def follow() -> None:
        with closing(Client(operator_access(place.federation.operator_dir))) as client:
            for entry in client.feed.watch(after=0, run=run):
                changes.append(entry)
                if entry.change.kind is Kind.RUN_ENDED:
                    return

    watching = [threading.Thread(target=one) for one in (watch, follow)]
    for one in watching:
        one.start()
    assert place.until_ended(run) is RunStatus.FINISHED
    for one in watching:
        one.join(60)
    assert place.fate.outstanding == []
    assert [entry.seq for entry in seen] == list(range(1, len(seen) + 1))
    assert [entry.fact for entry in seen] == place.facts(run)
    assert [entry.change.kind for entry in changes] == [Kind.RUN_SUBMITTED, Kind.RUN_STARTED, Kind.RUN_ENDED]


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


def readies(place: Place) -> list:
    return [entry for entry in place.fate.entries() if entry.point == "ready"]


def leftovers(place: Place, run: str) -> list[str]:
    blobs = place.federation.operator_dir / "blobs"
    kinds = "*" if place.persist(lambda: place.client.run(run)).status is RunStatus.FINISHED else "spool*"
    return [path.name for path in (*blobs.glob(f"{kinds}{run}*"), *blobs.glob(f".*/{kinds}{run}*"))]


def assert_it_resumed_in_time(place: Place, run: str, begun: float) -> None:
    """From each time that the coordinator took requests again to the next commit of the run, if there is one."""
    entries = place.fate.entries(begun)
    commits = [
        one.at for one in entries if one.point.startswith("commit: ") and one.when == "done" and run in one.about
    ]
    assert commits
    for entry in entries:
        later = [at for at in commits if at > entry.at]
        assert entry.point != "ready" or not later or later[0] - entry.at < RESUMES_S
