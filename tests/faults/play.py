"""How is a schedule of faults played against a real federation, with runs at work all the while?"""

from __future__ import annotations

import heapq
import itertools
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.audited import check, heads_seen_beside, key_in, read
from tests.e2e.processes import children_of, is_alive
from tests.e2e.runs import port_of
from tests.faults.counting import Counting, counting_in, until
from tests.faults.dying import Fate
from tests.faults.evidence import history_of
from tests.faults.history import RunRecord, violations
from tests.faults.kill_points import COORDINATOR_POINTS
from tests.faults.programs import Program
from tests.faults.schedules import Fault, Kind
from tests.faults.truth import assert_nobody_lies
from tests.postgres_server import Server

from septum.cli.federation import Federation
from septum.client import Client, operator_access
from septum.errors import ConnectionFailedError, ProtocolError, SeptumError
from septum.protocol.plan import Plan, StrategyRef
from septum.protocol.views import JournalView, RunStatus
from septum.testing.network import Line, NetworkProxy, Passage

ROWS = {"east": 12, "north": 16, "south": 20}
AT_ONCE = 2  # runs at work; an agent takes four
LARGE = 40_000  # parameters: 160 KB, past what a message carries
END_S = 120.0  # for the runs to finish, once everything has been made good
ENDED = (RunStatus.FINISHED, RunStatus.STOPPED, RunStatus.FAILED)
SLOW = Line(latency_s=0.05, bytes_per_s=200_000)


@dataclass(frozen=True, slots=True)
class Played:
    """What became of it."""

    summary: str
    violations: Sequence[str]


@dataclass(slots=True)
class Stage:
    """A federation whose silos reach the coordinator through lines that can be cut, and who is out of action now."""

    federation: Federation
    counting: Counting
    fate: Fate
    client: Client
    lines: dict[str, NetworkProxy]
    folder: Path
    port: int
    server: Server | None
    database: str
    coordinator: Program = field(init=False)
    plans: dict[str, Plan] = field(default_factory=dict)  # by run id
    out: set[str] = field(default_factory=set)
    held_up: set[str] = field(default_factory=set)  # runs that an operator paused or stopped
    broken: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    # --- the coordinator ---

    def start_coordinator(self) -> None:
        lives = self.ready_count
        self.coordinator = self._coordinator()
        until(lambda: self.ready_count > lives or not self.coordinator.running, "the coordinator is ready")
        assert self.coordinator.running, self.coordinator.said
        self.out.discard("coordinator")

    def _coordinator(self) -> Program:
        where = (str(self.federation.operator_dir), str(self.port), str(self.folder / "fate"), "--once")
        return Program("tests.faults.coordinator_to_kill", *where, log=self.folder / "coordinator.log")

    @property
    def ready_count(self) -> int:
        return sum(entry.point == "ready" for entry in self.fate.entries())

    def second_coordinator(self) -> None:
        """It has to end by itself, and say whose the directory is."""
        log = self.folder / "second.log"
        where = (str(self.federation.operator_dir), "0", str(self.folder / "fate"), "--once")
        second = Program("tests.faults.coordinator_to_kill", *where, log=log)
        until(lambda: not second.running or "coordinator_starts" in second.said, "the second coordinator ends")
        if second.running or f"process id {self.coordinator.pid}" not in second.said:
            self.broken.append(f"a second coordinator was not refused: {second.said}")
        second.kill()

    # --- runs ---

    def keep_busy(self) -> None:
        """Submit runs until enough are at work."""
        with suppress(ConnectionFailedError):
            at_work = [run for run in self.client.runs() if run.status not in ENDED or run.id in self.held_up]
            for _ in range(AT_ONCE - len(at_work)):
                name = f"run-{next(self.numbers)}"
                plan = self.next_plan(name)
                with suppress(ConnectionFailedError):
                    self.client.submit(plan, key=name)
                self.plans[name] = plan

    def next_plan(self, name: str) -> Plan:
        """In turns: all must report and the digest is known; a quorum is enough; large tensors."""
        more = {"attempts": 100, "gather_s": 600.0}
        match len(self.plans) % 3:
            case 0:
                return self.counting.plan(name, 60, {}, **more)
            case 1:
                return self.counting.plan(name, 80, {"carries": False}, quorum=2, deadline_s=1.5, **more)
            case _:
                return self.counting.plan(name, 15, {"width": LARGE}, strategy=StrategyRef("fedadam"), **more)

    def journal(self, run: str) -> list[JournalView]:
        found: list[JournalView] = []
        while page := self.client.journal(run, after=found[-1].seq if found else 0):
            found += page
        return found


def play(faults: Sequence[Fault], seconds: float, folder: Path, server: Server | None = None) -> Played:
    """Play them while runs are at work, make everything good, let the runs finish, and check their history.

    `server`: of PostgreSQL, which nobody else needs; without one the coordinator has a SQLite file.
    """
    counting = counting_in(folder / "work", ROWS)
    with ExitStack() as stack:
        stage = _set(counting, folder, server, stack)
        _perform(stage, faults, seconds)
        return _judge(stage)


def _set(counting: Counting, folder: Path, server: Server | None, stack: ExitStack) -> Stage:
    database = "" if server is None else stack.enter_context(server.database())
    federation = stack.enter_context(counting.federation(folder / "federation"))
    federation.operator_dir.mkdir(mode=0o700, parents=True)
    if server is not None:
        (federation.operator_dir / "coordinator.toml").write_text(f'[store]\nurl = "{server.url(database)}"\n')
    federation.start()
    port = port_of(federation)
    federation.stop()  # the coordinator gives the database up
    lines = {silo: stack.enter_context(NetworkProxy(port)) for silo in ROWS}
    for site in federation.sites:
        config = site.folder / "state" / "silo.toml"
        config.write_text(config.read_text().replace(f":{port}", f":{lines[site.name].port}"))
    fate = Fate(folder / "fate", COORDINATOR_POINTS)
    client = stack.enter_context(Client(operator_access(federation.operator_dir)))
    stage = Stage(federation, counting, fate, client, lines, folder, port, server, database)
    stage.start_coordinator()
    stack.callback(lambda: stage.coordinator.stop())
    for silo in ROWS:
        federation.start_agent(silo)
    return stage


def _perform(stage: Stage, faults: Sequence[Fault], seconds: float) -> None:
    """Let each fault happen in its turn, and make it good again.

    The schedule's clock stands still while a process is started, so that on a slow machine faults do not pile up;
    those that are left when the time is over do not happen.
    """
    begun, stood_still_s, order = time.monotonic(), 0.0, itertools.count()
    coming = deque(faults)
    remedies: list[tuple[float, int, Callable[[], None]]] = []
    pause = threading.Event()
    while time.monotonic() - begun < seconds:
        started = time.monotonic()
        now = started - begun - stood_still_s
        if remedies and remedies[0][0] <= now:
            heapq.heappop(remedies)[2]()
        elif coming and coming[0].at_s <= now:
            fault = coming.popleft()
            remedy = _strike(stage, fault)
            if remedy is not None:
                heapq.heappush(remedies, (now + fault.lasts_s, next(order), remedy))
        else:
            if "coordinator" not in stage.out:
                stage.keep_busy()
            pause.wait(0.05)
            continue
        stood_still_s += time.monotonic() - started
    while remedies:
        heapq.heappop(remedies)[2]()


def _strike(stage: Stage, fault: Fault) -> Callable[[], None] | None:
    """Let it happen; what makes it good again. None, where it cannot hit."""
    if fault.kind is Kind.SECOND_COORDINATOR:
        remedy = _second(stage)
    elif fault.kind is Kind.CRASH_DATABASE:
        remedy = _crash_database(stage)
    elif fault.kind in (Kind.PAUSE, Kind.STOP):
        remedy = _operate(stage, fault)
    elif fault.silo:
        remedy = _strike_silo(stage, fault)
    else:
        remedy = _strike_coordinator(stage, fault)
    if remedy is not None:
        stage.done[fault.kind.value] += 1
    return remedy


def _second(stage: Stage) -> Callable[[], None] | None:
    if "coordinator" in stage.out:
        return None
    stage.second_coordinator()
    return _nothing


def _nothing() -> None:
    pass


def _crash_database(stage: Stage) -> Callable[[], None] | None:
    """Not while a coordinator is out: one that starts has to find its database."""
    server = stage.server
    if server is None or server.process is None or "coordinator" in stage.out:
        return None
    server.stop()
    stage.out |= {"coordinator", "database"}  # nobody is to strike it, or to ask it, meanwhile

    def start() -> None:
        server.start()
        stage.out -= {"coordinator", "database"}

    return start


def _operate(stage: Stage, fault: Fault) -> Callable[[], None] | None:
    if "coordinator" in stage.out:
        return None
    at_work = [run.id for run in stage.client.runs() if run.status not in ENDED and run.id not in stage.held_up]
    if not at_work:
        return None
    run = at_work[0]
    with suppress(ProtocolError):  # it has just ended
        stage.client.pause(run) if fault.kind is Kind.PAUSE else stage.client.stop(run)
        stage.held_up.add(run)
        return lambda: _resume(stage, run)
    return None


def _resume(stage: Stage, run: str) -> None:
    def resumed() -> bool:
        try:
            stage.client.resume(run)
        except ConnectionFailedError:
            return False
        except ProtocolError:  # it had finished
            return True
        return True

    if "coordinator" not in stage.out and resumed():
        stage.held_up.discard(run)


def _strike_coordinator(stage: Stage, fault: Fault) -> Callable[[], None] | None:
    if "coordinator" in stage.out:
        return None
    stage.out.add("coordinator")
    if fault.kind is Kind.FREEZE_COORDINATOR:
        return _freeze(stage, "coordinator", [stage.coordinator.pid])
    stage.coordinator.kill() if fault.kind is Kind.KILL_COORDINATOR else stage.coordinator.stop()
    return stage.start_coordinator


def _strike_silo(stage: Stage, fault: Fault) -> Callable[[], None] | None:
    silo, line = fault.silo, stage.lines[fault.silo]
    match fault.kind:
        case Kind.CUT:
            line.cut()
            return _nothing
        case Kind.SWALLOW:
            line.swallow()
            return _nothing
        case Kind.REFUSE | Kind.HALF_OPEN:
            line.become(Line(passage=Passage.REFUSED if fault.kind is Kind.REFUSE else Passage.HALF_OPEN))
            return line.heal
        case Kind.SLOW:
            line.become(SLOW)
            return line.heal
    if silo in stage.out:
        return None
    agent = stage.federation.pid(silo)
    workers = sorted(children_of(agent))
    if fault.kind in (Kind.KILL_WORKERS, Kind.KILL_SILO):
        _signal(workers, signal.SIGKILL)
    if fault.kind is Kind.KILL_WORKERS:
        return _nothing
    stage.out.add(silo)
    match fault.kind:
        case Kind.FREEZE_AGENT:
            return _freeze(stage, silo, [agent])
        case Kind.FREEZE_WORKERS:
            return _freeze(stage, silo, workers)
        case Kind.END_AGENT:
            _signal([agent], signal.SIGTERM)
            until(lambda: not is_alive(agent), f"the agent of {silo} ends")
    stage.federation.kill(silo)
    return lambda: _start_agent(stage, silo)


def _start_agent(stage: Stage, silo: str) -> None:
    stage.federation.start_agent(silo)
    stage.out.discard(silo)


def _freeze(stage: Stage, who: str, pids: Sequence[int]) -> Callable[[], None]:
    _signal(pids, signal.SIGSTOP)

    def thaw() -> None:
        _signal(pids, signal.SIGCONT)
        stage.out.discard(who)

    return thaw


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _judge(stage: Stage) -> Played:
    """Everything has been made good: every run has to finish now."""
    for line in stage.lines.values():
        line.heal()
    client = stage.client

    def finished() -> bool:
        assert stage.coordinator.running, stage.coordinator.said
        try:
            for run in client.runs():
                if run.status in (RunStatus.PAUSED, RunStatus.STOPPED):
                    client.resume(run.id)
            return all(run.status in ENDED for run in client.runs())
        except (ConnectionFailedError, SeptumError):
            return False

    stuck: list[str] = []
    try:
        until(finished, "every run has ended", END_S)
    except AssertionError as error:
        stuck = [str(error), *(f"{run.id} is stuck: {run}" for run in client.runs() if run.status not in ENDED)]
    records = []
    for run in client.runs():
        plan = stage.plans[run.name]
        undisturbed = stage.counting.undisturbed(plan) if plan.quorum == len(plan.silos) else ""
        records.append(RunRecord(run.id, plan, stage.journal(run.id), undisturbed))
        if run.status is RunStatus.FAILED:
            stuck.append(f"{run.id} ({run.name}) failed: {run.reason}")
    logs = {silo: stage.federation.log(silo) for silo in ROWS}
    blobs = stage.federation.operator_dir / "blobs"
    try:
        assert_nobody_lies(client, {silo: stage.federation.pid(silo) for silo in ROWS})
    except AssertionError as error:
        stuck.append(str(error))
    if stage.server is not None:
        with stage.server.session(stage.database) as session:
            log = read(lambda statement: session.run(statement, ()).rows)
        check(log, key_in(stage.federation.operator_dir), heads_seen_beside(stage.federation.operator_dir))
    history = history_of(records, logs, stage.fate.entries(), blobs, stage.counting.records)
    rounds = sum(len(record.journal) for record in records)
    struck = ", ".join(f"{what}: {times}" for what, times in sorted(stage.done.items()))
    summary = (
        f"{len(records)} runs, {rounds} facts, {len(history.words)} words of silos, {len(history.commits)} commits, "
        f"{len(history.owners)} owners; {struck}"
    )
    return Played(summary, [*stage.broken, *stuck, *violations(history)])
