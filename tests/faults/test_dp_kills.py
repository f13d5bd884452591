"""A silo is killed in a run with differential privacy: what it had reserved stays spent, and the run costs no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.runs import Journal, client_of
from tests.faults.counting import UNCLOSED, until
from tests.silo.private_app import write_private_app, write_rows

from septum.adapters.accountant import epsilon_of
from septum.cli.federation import Federation
from septum.privacy.ledger import Reserved, Settled
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
