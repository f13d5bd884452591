"""A run's PostgreSQL server crashes, lets nobody in any more, or takes no writes: the run waits, and nothing is lost.

Real processes throughout: a server, a coordinator that is no administrator of it, and two agents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from tests.audited import check, heads_seen_beside, key_in, read
from tests.e2e.runs import Journal
from tests.faults.counting import UNCLOSED, Counting, counting_in, until
from tests.postgres_server import Server, running

from septum.cli.federation import COORDINATOR, Federation
from septum.client import Client
from septum.protocol import facts
from septum.protocol.plan import Plan
from septum.protocol.views import RunStatus, RunView

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

ROLE = "coordinator"
ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A federation of two silos, and the server that its coordinator has its database on."""

    federation: Federation
    counting: Counting
    client: Client
    server: Server
    database: str

    def begun(self, name: str) -> tuple[RunView, Journal, Plan]:
        """A run in its rounds."""
        plan = self.counting.plan(name, ROUNDS, {"carries": True})
        run = self.client.submit(plan, key=name)
        journal = Journal(self.client, run)
        journal.until(facts.ModelMade, round=5)
        return run, journal, plan

    def ends_as_undisturbed(self, run: RunView, journal: Journal, plan: Plan) -> None:
        journal.until(facts.RunEnded)
        assert self.client.run(run.id).status is RunStatus.FINISHED
        assert journal.models_made() == list(range(ROUNDS + 1))
        assert self.client.run(run.id).model == self.counting.undisturbed(plan)

    def end_its_sessions(self) -> None:
        """As an administrator does, or a pool between the two: what comes next takes a new connection."""
        self.server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")

    def versions(self) -> list[list[object]]:
        return self.server.run("SELECT id, version FROM runs ORDER BY id", self.database)

    def said(self, event: str, words: str, after: int) -> dict[str, str]:
        """What the coordinator's log says with this event and these words, once it does."""

        def found() -> list[dict[str, str]]:
            lines = self.federation.log(COORDINATOR).read_text()[after:].splitlines()
            return [json.loads(line) for line in lines if f'"event": "{event}"' in line and words in line]

        until(lambda: bool(found()), f"{event}: {words}")
        return found()[0]

    @property
    def length(self) -> int:
        return len(self.federation.log(COORDINATOR).read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("server")
    counting = counting_in(folder, {"north": 16, "south": 20})
    with running() as server, server.database() as database:
        server.run(f"CREATE ROLE {ROLE} LOGIN")
        server.run(f"ALTER DATABASE {database} OWNER TO {ROLE}")
        with counting.federation(folder / "federation") as federation:
            federation.operator_dir.mkdir(mode=0o700, parents=True)
            settings = f'[store]\nurl = "{server.url(database, ROLE)}"\n'
            (federation.operator_dir / "coordinator.toml").write_text(settings)
            with closing(Client(federation.start())) as client:
                yield Place(federation, counting, client, server, database)
        with server.session(database) as session:
            log = read(lambda statement: session.run(statement, ()).rows)
        assert len(log.heads) > 3 * ROUNDS
        check(log, key_in(federation.operator_dir), heads_seen_beside(federation.operator_dir))


def test_a_server_that_crashes_in_a_run_again_and_again_costs_the_run_nothing(place):
    run, journal, plan = place.begun("crashed")
    for round_ in (15, 25, 35):
        place.server.restart()
        journal.until(facts.ModelMade, round=round_)
    place.ends_as_undisturbed(run, journal, plan)


def test_a_server_that_is_down_for_a_while_is_named_in_the_log_and_the_run_goes_on(place):
    run, journal, plan = place.begun("away")
    after = place.length
    place.server.stop()
    try:
        said = place.said("commit_failed", "does not answer", after)
        assert "pg_isready" in said["hint"]
        assert place.client.run(run.id).status is not RunStatus.FAILED
    finally:
        place.server.start()
    place.ends_as_undisturbed(run, journal, plan)


@pytest.mark.parametrize(
    ("set_", "reset", "said", "hint"),
    [
        (
            f"ALTER ROLE {ROLE} CONNECTION LIMIT 0",
            f"ALTER ROLE {ROLE} CONNECTION LIMIT -1",
            "has no connection left; nothing was changed",
            "max_connections",
        ),
        (
            "ALTER DATABASE {database} SET default_transaction_read_only = on",
            "ALTER DATABASE {database} RESET default_transaction_read_only",
            "is read-only, as a standby is; nothing was changed",
            "pg_is_in_recovery",
        ),
    ],
    ids=["without a connection left", "that takes no writes"],
)
def test_a_server_that_does_not_serve_is_named_and_the_run_goes_on_when_it_does(place, set_, reset, said, hint):
    run, journal, plan = place.begun(hint)
    after = place.length
    place.server.run(set_.format(database=place.database))
    try:
        place.end_its_sessions()
        line = place.said("commit_failed", said, after)
        assert hint in line["hint"]
        before = place.versions()
        place.client.health()
        assert place.versions() == before
    finally:
        place.server.run(reset.format(database=place.database))
        place.end_its_sessions()  # those that know the old setting
    place.ends_as_undisturbed(run, journal, plan)
