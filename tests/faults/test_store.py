"""Faults 18, 21 and 24: a database that is held, or fails; a second coordinator; a request to end. Nothing is lost.

Real processes throughout: a coordinator and two agents, and beside them whoever holds, breaks or takes over.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from tests.e2e.runs import Journal, port_of
from tests.faults.counting import Counting, counting_in, until

from septum.adapters.identity.http_signatures import Ed25519Signer, content_digest
from septum.adapters.identity.keys import load_private_key
from septum.adapters.ownership import LOCK_NAME
from septum.adapters.store.open import DATABASE_NAME
from septum.adapters.tls import client_context
from septum.cli.federation import Federation
from septum.cli.process import Process
from septum.client import Client, operator_access
from septum.errors import ConnectionFailedError, TimedOutError
from septum.protocol import facts
from septum.protocol.plan import Plan, digest_of
from septum.protocol.views import RunStatus, RunView, SiloStatus

pytestmark = pytest.mark.faults

ENDS_S = 30.0  # some seconds on a machine of one's own
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA busy_timeout = 30000")
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A federation of two silos."""

    federation: Federation
    counting: Counting
    client: Client
    port: int
    digests: dict[int, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.federation.operator_dir / DATABASE_NAME

    @property
    def pid(self) -> int:
        return self.federation.pid("coordinator")

    def log(self, name: str = "coordinator") -> str:
        return self.federation.log(name).read_text()

    def plan(self, name: str, rounds: int = 120, **hyper: object) -> Plan:
        return self.counting.plan(name, rounds, {"carries": True, **hyper})

    def start(self, name: str, plan: Plan) -> tuple[RunView, Journal]:
        run = self.client.submit(plan, key=name)
        return run, Journal(self.client, run)

    def until_said(self, text: str, name: str = "coordinator") -> None:
        until(lambda: text in self.log(name), f"{name} says {text!r}")

    def end_as_undisturbed(self, run: RunView, journal: Journal, plan: Plan) -> None:
        """The run goes on to its end, each round is there once, and the model is that of a run without the fault."""
        journal.until(facts.RunEnded)
        assert self.client.run(run.id).status is RunStatus.FINISHED
        assert journal.models_made() == list(range(plan.rounds + 1))
        if plan.rounds not in self.digests:
            self.digests[plan.rounds] = self.counting.undisturbed(plan)
        assert self.client.run(run.id).model == self.digests[plan.rounds]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("store")
    counting = counting_in(folder, {"north": 16, "south": 20})
    (folder / "federation").mkdir()
    with counting.federation(folder / "federation") as federation:
        access = federation.start()
        with closing(Client(access)) as client:
            yield Place(federation, counting, client, port_of(federation))


@pytest.fixture(autouse=True)
def the_coordinator_is_up_again(place: Place) -> Iterator[None]:
    """Whatever a test has left behind: one that fails is not to take the others along."""
    yield
    with suppress(ProcessLookupError):
        os.kill(place.pid, signal.SIGCONT)
    with suppress(TimedOutError):
        place.federation.process("coordinator").exit_code(0.1)
        place.federation.start_coordinator(place.port)


def outbox(database: Path) -> int:
    """How many effects are still to be performed."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])


def committed(database: Path) -> list[tuple[object, ...]]:
    """What the database holds of runs, their outbox and their journals."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return [
            *connection.execute("SELECT id, version, state FROM runs ORDER BY id"),
            *connection.execute("SELECT * FROM outbox ORDER BY id"),
            *connection.execute("SELECT run_id, count(*) FROM journal GROUP BY run_id ORDER BY run_id"),
        ]


# --- fault 18: the database ----------------------------------------------------------------------------------------


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds the write lock."""
    command = [sys.executable, "-c", HOLDER, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.communicate("")


def test_a_database_that_another_process_holds_is_waited_for_and_nothing_acknowledged_is_lost(place):
    plan = place.plan("locked", 150)
    run, journal = place.start("locked", plan)
    journal.until(facts.ModelMade, round=10)
    with locked(place.database):
        before = committed(place.database)
        place.until_said("commit_failed")
        place.client.health()
        assert place.client.run(run.id).finished_rounds < plan.rounds
        assert committed(place.database) == before
    place.end_as_undisturbed(run, journal, plan)
    said = next(json.loads(line) for line in place.log().splitlines() if "commit_failed" in line)
    assert f"the database {place.database} was locked by another process" in said["error"]
    assert said["hint"] == f"fuser {place.database}"


def test_a_disk_that_fails_under_the_database_is_told_and_tried_again(place):
    plan = place.plan("failing disk", 150)
    run, journal = place.start("failing disk", plan)
    journal.until(facts.ModelMade, round=10)
    _, hard = resource.prlimit(place.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(place.pid, resource.RLIMIT_FSIZE, (8192, hard))  # small blobs still fit; the database does not
    try:
        place.until_said("disk I/O error")
        before = committed(place.database)
    finally:
        resource.prlimit(place.pid, resource.RLIMIT_FSIZE, (hard, hard))
    place.end_as_undisturbed(run, journal, plan)
    failed = [json.loads(line) for line in place.log().splitlines() if "disk I/O error" in line]
    said = next(line for line in failed if line["event"] == "commit_failed")
    assert f"the database {place.database} failed" in said["error"]
    assert "nothing was changed" in said["error"]
    assert before != committed(place.database)


# --- fault 21: two coordinators ------------------------------------------------------------------------------------


def a_coordinator(data_dir: Path, port: int, log: Path) -> Process:
    return Process(
        ["coordinator", "start", "--json", "--data-dir", str(data_dir), "--listen", f"127.0.0.1:{port}"], log
    )


def stopped_between_commits(place: Place) -> None:
    """The coordinator stands still, and not in the middle of a transaction: that would be a locked database."""
    while True:
        os.kill(place.federation.pid("coordinator"), signal.SIGSTOP)
        with closing(sqlite3.connect(place.database, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(place.federation.pid("coordinator"), signal.SIGCONT)
            else:
                connection.execute("ROLLBACK")
                return


def test_a_second_coordinator_is_refused_and_one_that_was_replaced_ends_loudly_and_writes_nothing(place, tmp_path):
    refused = a_coordinator(place.federation.operator_dir, 0, tmp_path / "refused.log")
    with pytest.raises(ConnectionFailedError, match=rf"in use by the coordinator with process id {place.pid}\b"):
        refused.wait_for_event("ready", ENDS_S)
    assert refused.exit_code(ENDS_S) == 1

    plan = place.plan("replaced", 150)
    run, journal = place.start("replaced", plan)
    journal.until(facts.ModelMade, round=10)
    stopped_between_commits(place)
    (place.federation.operator_dir / LOCK_NAME).unlink()  # as where flock does not reach from machine to machine
    second = a_coordinator(place.federation.operator_dir, 0, tmp_path / "second.log")
    second.wait_for_event("ready", ENDS_S)
    until(lambda: outbox(place.database) == 0, "the second one has done all that it can do without silos")
    taken_over = committed(place.database)
    os.kill(place.federation.pid("coordinator"), signal.SIGCONT)
    assert place.federation.process("coordinator").exit_code(ENDS_S) == 1
    assert committed(place.database) == taken_over
    end = json.loads(place.log().splitlines()[-1])
    assert (end["status"], end["error"]["code"]) == ("error", "conflict")
    assert f"another coordinator has taken over {place.database}" in end["error"]["message"]
    assert f"opened by process {second.pid} on " in end["error"]["message"]
    assert '"event": "driver_failed"' in place.log()

    second.ask_to_end()
    second.wait_for_exit(ENDS_S)
    place.federation.start_coordinator(place.port)
    place.end_as_undisturbed(run, Journal(place.client, run), plan)


# --- fault 24: a request to end ------------------------------------------------------------------------------------


@contextmanager
def a_request_under_way(place: Place, method: str, path: str, size: int, sent: int) -> Iterator[HTTPSConnection]:
    """A silo has sent some of a request's body, and says no more."""
    state = place.federation.site("north").folder / "state"
    digest = content_digest(b"") if method == "POST" else ""
    headers = Ed25519Signer("north", load_private_key(state / "silo.key")).headers(method, path, digest)
    context = client_context(Path(operator_access(place.federation.operator_dir).ca_file))
    with closing(HTTPSConnection("127.0.0.1", place.port, timeout=60, context=context)) as line:
        line.putrequest(method, path)
        for name, value in {**headers, "Content-Length": str(size)}.items():
            line.putheader(name, value)
        line.endheaders()
        line.send(b"x" * sent)
        yield line


@contextmanager
def an_upload_under_way(place: Place, run: str) -> Iterator[HTTPSConnection]:
    """Some of a payload is here."""
    digest = digest_of(b"large")
    parts = place.federation.operator_dir / "blobs" / ".cut"
    with a_request_under_way(place, "PUT", f"/silo/v1/runs/{run}/blobs/{digest}", 50_000_000, 3_000_000) as line:
        mine = f"*{run}/{digest.removeprefix('blake3:')}*"  # beside what rounds are writing
        until(lambda: any(part.stat().st_size for part in parts.glob(mine)), "it arrives")
        yield line


@contextmanager
def a_message_under_way(place: Place) -> Iterator[None]:
    """One byte of a message was sent, and read: another request that came later is answered."""
    with a_request_under_way(place, "POST", "/silo/v1/poll", 1000, 1):
        place.client.health()
        yield


def test_a_coordinator_that_is_asked_to_end_answers_everybody_and_goes_on_after_its_next_start(place):
    plan, idle = place.plan("drained", 150), place.plan("held", 150)  # it must not end before it is paused
    held, held_journal = place.start("held", idle)
    held_journal.until(facts.SiloJoined)
    place.client.pause(held.id)
    run, journal = place.start("drained", plan)
    journal.until(facts.ModelMade, round=10)
    said_before = {name: len(place.log(name)) for name in ("coordinator", "north", "south")}
    with an_upload_under_way(place, run.id) as line:
        begun = time.monotonic()
        os.kill(place.federation.pid("coordinator"), signal.SIGTERM)
        assert place.federation.process("coordinator").exit_code(ENDS_S) == 0
        assert time.monotonic() - begun < ENDS_S
        answer = line.getresponse()
        assert answer.status == 503
        assert "going down" in json.loads(answer.read())["error"]["message"]
    assert json.loads(place.log().splitlines()[-1])["status"] == "ok"
    assert "requests_cut" not in place.log()[said_before.pop("coordinator") :]
    for name, length in said_before.items():
        place.until_said("cannot reach", name)
        lines = [json.loads(line) for line in place.log(name)[length:].splitlines()]
        troubles = [line["error"] for line in lines if line["level"] in ("warning", "error")]
        assert troubles
        for trouble in troubles:  # each was answered, or could not begin any more; none was cut
            assert any(words in trouble for words in ("going down", "cannot reach", "no TLS")), trouble
    place.federation.start_coordinator(place.port)
    place.end_as_undisturbed(run, Journal(place.client, run), plan)
    place.client.resume(held.id)
    place.end_as_undisturbed(held, Journal(place.client, held), idle)


def test_a_second_request_ends_a_coordinator_at_once_and_nothing_is_lost(place):
    plan = place.plan("ended at once", 150)
    run, journal = place.start("ended at once", plan)
    journal.until(facts.ModelMade, round=10)
    drained = place.log().count("coordinator_drains")
    with a_message_under_way(place):
        os.kill(place.pid, signal.SIGTERM)
        until(lambda: place.log().count("coordinator_drains") > drained, "it drains")
        os.kill(place.pid, signal.SIGTERM)  # it would wait some seconds for the rest of the message
        assert place.federation.process("coordinator").exit_code(ENDS_S) == -signal.SIGTERM
    place.federation.start_coordinator(place.port)
    place.end_as_undisturbed(run, Journal(place.client, run), plan)


def test_an_agent_that_is_asked_to_end_in_training_takes_its_leave_and_rejoins_when_it_is_started(place):
    gate = place.counting.gate("left")
    plan = place.plan("left", 20, gate=str(gate))
    run, journal = place.start("left", plan)
    journal.until(facts.StageOpened, round=1)
    until(lambda: '"round": 1' in place.log("south").splitlines()[-1], "south trains")
    os.kill(place.federation.pid("south"), signal.SIGTERM)
    assert place.federation.process("south").exit_code(ENDS_S) == 0
    left = journal.until(facts.SiloLeft, silo="south")
    assert left.reason == "the silo's agent is ending"
    gate.touch()
    place.federation.start_agent("south")
    journal.until(facts.SiloReturned, silo="south")
    place.end_as_undisturbed(run, journal, plan)
    until(lambda: all(silo.status is SiloStatus.ONLINE for silo in place.client.silos()), "both are back")
