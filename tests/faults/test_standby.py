"""Coordinators on one PostgreSQL database behind a plain TCP balancer: one works, the others stand by. Nothing is lost.

Real processes throughout. Killed, paused or asked to end, the one that works is replaced within its lease, its run
goes on at the other one, and ends at the model that an undisturbed one ends at.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.audited import check, heads_seen_beside, key_in, read
from tests.balancer import Balancer, port_in
from tests.e2e.runs import Journal
from tests.faults.counting import UNCLOSED, Counting, counting_in, until
from tests.postgres_server import Server

from septum.cli.federation import COORDINATOR, Federation
from septum.cli.process import Process
from septum.client import Access, Client, operator_access
from septum.errors import ConnectionFailedError
from septum.protocol import facts
from septum.protocol.plan import Plan
from septum.protocol.views import RunStatus, RunView

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

ENDS_S = 60.0  # some seconds on a machine of one's own
ROUNDS = 60


@dataclass(slots=True)
class Place:
    """A federation of two silos whose coordinators share a database and a directory."""

    federation: Federation
    counting: Counting
    balancer: Balancer
    server: Server
    database: str
    folder: Path
    coordinators: list[tuple[Process, Path]] = field(default_factory=list)  # the one that works first

    def stand_by(self) -> None:
        """Start one more."""
        log = self.folder / f"standby-{len(list(self.folder.iterdir()))}.log"
        where = ["--data-dir", str(self.federation.operator_dir), "--listen", "127.0.0.1:0"]
        self.coordinators.append((Process(["coordinator", "start", "--json", *where], log), log))
        self.balancer.logs.append(log)
        until(lambda: log.exists() and "coordinator_waits" in log.read_text(), "it stands by")

    def plan(self, name: str) -> Plan:
        return self.counting.plan(name, ROUNDS, {"carries": True})

    def runs(self) -> list[list[object]]:
        """What the database holds of runs."""
        return self.server.run("SELECT id, version, md5(state) FROM runs ORDER BY id", self.database)

    def outbox(self) -> list[list[object]]:
        """What is still to be done."""
        return self.server.run("SELECT id FROM outbox", self.database)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("standby")
    counting = counting_in(folder, {"north": 16, "south": 20})
    base, logs = folder / "federation", folder / "logs"
    logs.mkdir()
    (base / COORDINATOR).mkdir(parents=True, mode=0o700)
    with ExitStack() as stack:
        database = stack.enter_context(postgres.database())
        balancer = stack.enter_context(closing(Balancer([base / f"{COORDINATOR}.log"])))
        (base / COORDINATOR / "coordinator.toml").write_text(
            f'url = "https://localhost:{balancer.port}"\n[store]\nurl = "{postgres.url(database)}"\nstandby = true\n'
        )
        federation = stack.enter_context(counting.federation(base))
        federation.start()
        place = Place(federation, counting, balancer, postgres, database, logs)
        place.coordinators.append((federation.process(COORDINATOR), federation.log(COORDINATOR)))
        yield place
        for process, _ in place.coordinators:
            process.stop()
        with postgres.session(database) as session:
            log = read(lambda statement: session.run(statement, ()).rows)
        check(log, key_in(federation.operator_dir), heads_seen_beside(federation.operator_dir))


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    with closing(Client(access(place))) as client:
        yield client


def access(place: Place) -> Access:
    return operator_access(place.federation.operator_dir)


def begun(place: Place, client: Client, name: str) -> tuple[RunView, Journal]:
    """A run in its rounds, and one more coordinator that stands by."""
    place.stand_by()
    run = client.submit(place.plan(name), key=name)
    journal = Journal(client, run)
    journal.until(facts.ModelMade, round=5)
    return run, journal


def ends_as_undisturbed(place: Place, run: RunView, name: str) -> None:
    def ended() -> bool:
        with suppress(ConnectionFailedError), closing(Client(access(place))) as client:
            return client.run(run.id).status is RunStatus.FINISHED
        return False

    until(ended, "the run ends", 2 * ENDS_S)
    with closing(Client(access(place))) as client:
        journal = Journal(client, run)
        journal.until(facts.RunEnded)
        assert journal.models_made() == list(range(ROUNDS + 1))
        assert client.run(run.id).model == place.counting.undisturbed(place.plan(name))


def test_a_coordinator_that_is_killed_is_replaced_and_its_run_goes_on(place, client):
    run, _ = begun(place, client, "killed")
    working, log = place.coordinators.pop(0)
    os.kill(working.pid, signal.SIGKILL)
    second, its_log = place.coordinators[0]
    second.wait_for_event("ready", ENDS_S)
    assert port_in(its_log) != port_in(log)
    place.balancer.logs.remove(log)
    ends_as_undisturbed(place, run, "killed")


def test_one_that_was_paused_and_wakes_writes_nothing_and_ends(place, client):
    run, _ = begun(place, client, "paused")
    working, log = place.coordinators.pop(0)
    os.kill(working.pid, signal.SIGSTOP)
    place.balancer.is_down(log)
    second, _ = place.coordinators[0]
    second.wait_for_event("ready", ENDS_S)
    ends_as_undisturbed(place, run, "paused")
    until(lambda: not place.outbox(), "the other one has done all that there is to do")
    before = place.runs()
    os.kill(working.pid, signal.SIGCONT)
    assert working.exit_code(ENDS_S) == 1
    (end,) = (json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"schema_version"'))
    assert (end["status"], end["error"]["code"]) == ("error", "conflict"), log.read_text()[-2000:]
    assert "another coordinator has taken over the PostgreSQL database" in end["error"]["message"]
    assert place.runs() == before


def test_one_after_the_other_is_started_again_and_nothing_is_lost(place, client):
    run, _ = begun(place, client, "rolling")
    for turn in range(2):
        working, log = place.coordinators.pop(0)
        os.kill(working.pid, signal.SIGTERM)
        assert working.exit_code(ENDS_S) == 0
        place.balancer.logs.remove(log)
        place.coordinators[0][0].wait_for_event("ready", ENDS_S)
        if turn == 0:
            place.stand_by()
    ends_as_undisturbed(place, run, "rolling")
