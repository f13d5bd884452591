"""A silo is killed in a run with differential privacy: what it had reserved stays spent, and the run costs no more.

Then its agent is killed around each durable write of such a run. Wherever that is, the ledger has every step that was
begun; what was reserved twice, because nobody knew any more that it was, is spent twice and named by `ledger show`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.e2e.runs import OPEN, Journal, client_of
from tests.faults.counting import UNCLOSED, until
from tests.faults.dying import Fate, Kill, When
from tests.faults.programs import Program
from tests.faults.silo_kill_points import SILO_POINTS, SiloStory
from tests.silo.private_app import write_private_app, write_rows

from septum.adapters.accountant import epsilon_of
from septum.cli.federation import Federation
from septum.client import Client
from septum.privacy.ledger import Released, Reserved, Settled
from septum.privacy.wanted import SPARE_ROUNDS
from septum.protocol import facts
from septum.protocol.messages import Stage
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.privacy import Privacy
from septum.protocol.views import RunStatus
from septum.sdk.package import digest_of
from septum.silo.ledger import read
from septum.silo.private_receipts import PrivateReceipts

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

ROUNDS = 40
SILOS = ("east", "north", "south")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write_private_app(tmp_path / "app")


def plan_of(app: Path) -> Plan:
    return Plan(
        "private",
        AppRef("small", "1.0.0", digest_of(app)),
        {"rounds": ROUNDS},
        SILOS,
        rounds=ROUNDS,
        masking=Masking(),
        privacy=Privacy(5.0, delta=1e-3, batch=16),
    )


def test_a_killed_silo_has_paid_for_all_its_steps_and_pays_no_second_time_for_the_run(app, tmp_path):
    records = {silo: write_rows(tmp_path / f"{silo}.csv") for silo in SILOS}
    (tmp_path / "federation").mkdir()
    with Federation(tmp_path / "federation", app, "small", records, sandbox=1) as federation:
        federation.start()
        south = federation.site("south").folder / "state"
        with client_of(federation) as client:
            run = client.submit(plan_of(app), key="k")
            journal = Journal(client, run)
            journal.until(facts.StageOpened, stage=Stage.TRAIN, round=3)
            federation.kill("south")
            killed = read(south)
            assert [charge.mechanism.steps for charge in killed.book.pending.values()] == [ROUNDS + SPARE_ROUNDS]
            assert 4.9 < epsilon_of(killed.book.costs("file"), 1e-3) <= 5.0
            federation.start_agent("south")
            journal.until(facts.RunEnded)
            assert client.run(run.id).status is RunStatus.FINISHED
            assert client.run(run.id).metrics is None
        until(lambda: bool(list(PrivateReceipts(south).all())), "the silo writes what the run cost")
        federation.stop()
        told = read(south)
        (receipt,) = PrivateReceipts(south).all()
    events = [entry.event for entry in told.entries]
    assert len([event for event in events if isinstance(event, Reserved)]) == 1
    (settled,) = (event for event in events if isinstance(event, Settled))
    assert ROUNDS <= settled.executed == receipt.steps <= ROUNDS + SPARE_ROUNDS
    assert receipt.epsilon <= 5.0
    assert not told.book.pending


# --- killed around each write --------------------------------------------------------------------------------------

KILLED = "south"
POINTS = [point for point, stories in SILO_POINTS.items() if SiloStory.PRIVACY in stories]
FEW = 3  # rounds
MOST_RUNS = 3  # the end of a run comes by once in it


@dataclass(frozen=True)
class Place:
    client: Client
    fate: Fate
    agent: Program
    silo: Path
    plan: Plan

    def finished(self, key: str) -> str:
        """A run, once it has ended and the silo is through with it."""
        run = self.client.submit(replace(self.plan, name=key), key=key).id

        def ended() -> bool:
            assert self.agent.running, f"the agent under test ended: {self.agent.said}"
            return self.client.run(run).status in (RunStatus.FINISHED, RunStatus.FAILED)

        until(ended, f"{key} ends: {self.agent.said}")
        assert self.client.run(run).status is RunStatus.FINISHED, self.client.journal(run)[-5:]
        until(lambda: not (self.silo / "runs" / run).exists(), f"{KILLED} is through with {key}")
        return run

    def trained(self, run: str) -> int:
        """Rounds of which this silo's update left it."""
        said = [entry.fact for entry in self.client.journal(run)]
        left = {
            fact.round for fact in said if isinstance(fact, facts.SiloReported) and fact.silo == KILLED and fact.round
        }
        return len(left)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("dp-kills")
    app = write_private_app(folder / "app")
    records = {silo: write_rows(folder / f"{silo}.csv") for silo in SILOS}
    plan = replace(plan_of(app), hyper={"rounds": FEW}, rounds=FEW, masking=None, privacy=Privacy(0.5, delta=1e-2))
    (folder / "federation").mkdir()
    with Federation(folder / "federation", app, "small", records, sandbox=1, policy=OPEN) as federation:
        federation.start()
        federation.kill(KILLED)
        fate = Fate(folder / "fate", SILO_POINTS)
        state = federation.site(KILLED).folder / "state"
        agent = Program("tests.faults.agent_to_kill", str(state), str(folder / "fate"), log=folder / "agent.log")
        try:
            with client_of(federation) as client:
                yield Place(client, fate, agent, state, plan)
        finally:
            agent.stop()


@pytest.mark.parametrize("point", POINTS)
def test_an_agent_that_is_killed_there_has_paid_for_every_step_that_it_began(place, point):
    skip = 3 if point == "save the account" else 0  # in round 2: what was reserved is known by then
    place.fate.arm(Kill(point, When.BEFORE, skip=skip), Kill(point, When.AFTER))
    runs = []
    while place.fate.outstanding and len(runs) < MOST_RUNS:
        runs.append(place.finished(f"{point} {len(runs)}"))
    assert not place.fate.outstanding
    told = read(place.silo)  # its chain holds
    executed = told.book.settled
    for run in runs:
        of_run = [entry.event for entry in told.entries if isinstance(entry.event, Released | Reserved)]
        of_run = [event for event in of_run if event.charge.purpose.startswith(f"run {run}:")]
        reserved = [event for event in of_run if isinstance(event, Reserved)]
        assert 1 <= len(of_run) - len(reserved) <= 3  # the number of rows, again where nobody knew of the first
        (known,) = (event for event in reserved if event.id in executed)
        assert place.trained(run) == FEW <= executed[known.id] <= FEW + SPARE_ROUNDS
        lost = [event for event in reserved if event.id not in executed]
        assert len(lost) == (1 if (point, run) == ("reserve steps", runs[0]) else 0)
        assert all(event.charge.mechanism.steps == FEW + SPARE_ROUNDS for event in lost)
        assert {event.id for event in lost} <= told.book.pending.keys()
    receipts = {receipt.run: receipt.steps for receipt in PrivateReceipts(place.silo).all()}
    assert all(receipts[run] <= FEW + SPARE_ROUNDS for run in runs if run in receipts)
    assert [run for run in runs if run not in receipts] == []
