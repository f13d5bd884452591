"""Runs with differential privacy between real processes: one that is inspected, one under masks, and those refused.

A refusal comes before any code of the app runs, so it costs nobody anything: neither this silo nor the others.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.runs import OPEN, Journal, client_of
from tests.faults.counting import UNCLOSED, until
from tests.silo.private_app import write_private_app, write_rows

from septum.adapters.accountant import epsilon_of
from septum.cli.federation import Federation
from septum.client import Client
from septum.privacy.ledger import Released, Reserved, up
from septum.privacy.wanted import SPARE_ROUNDS
from septum.protocol import facts
from septum.protocol.codec import dumps, to_json
from septum.protocol.messages import Stage
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.privacy import Privacy
from septum.protocol.views import RunStatus, RunView
from septum.sdk.package import digest_of
from septum.silo.ledger import FILE_NAME, HEAD_NAME, read
from septum.silo.private_receipts import PrivateReceipts

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("inspected"), pytest.mark.filterwarnings(UNCLOSED)]
SILOS = ("east", "north", "south")
DELTA, BUDGET_DELTA = 1e-3, 1e-5
OURS = "south"  # whose rules and ledger are at stake


@dataclass
class Place:
    federation: Federation
    client: Client
    app: Path
    runs: int = 0

    def plan(self, epsilon: float | None, *, masked: bool = True) -> Plan:
        self.runs += 1
        ref = AppRef("small", "1.0.0", digest_of(self.app))
        privacy = None if epsilon is None else Privacy(epsilon, delta=DELTA, batch=16)
        masking = Masking() if masked else None
        return Plan(f"run {self.runs}", ref, {}, SILOS, rounds=2, masking=masking, privacy=privacy)

    def ended(self, epsilon: float | None, *, masked: bool = True) -> tuple[RunView, list[facts.Fact]]:
        """How a run ends, and all that its journal says."""
        plan = self.plan(epsilon, masked=masked)
        run = self.client.submit(plan, key=plan.name)
        journal = Journal(self.client, run)
        journal.until(facts.RunEnded)
        return self.client.run(run.id), journal.facts

    def refused(self, epsilon: float | None) -> list[facts.SiloRefused]:
        """Who refuses a run, and why; that nobody trained, and no ledger has an entry more."""
        before = {silo: self.written(silo) for silo in SILOS}
        view, said = self.ended(epsilon)
        assert view.status is RunStatus.FAILED
        assert not [fact for fact in said if isinstance(fact, facts.StageOpened)]
        assert {silo: self.written(silo) for silo in SILOS} == before
        return [fact for fact in said if isinstance(fact, facts.SiloRefused)]

    def written(self, silo: str) -> bytes:
        path = self.dir(silo) / FILE_NAME
        return path.read_bytes() if path.exists() else b""

    def dir(self, silo: str) -> Path:
        return self.federation.site(silo).folder / "state"

    def settled(self, silo: str) -> None:
        """Wait until a silo has written what each of its runs cost: the coordinator does not wait for it."""
        reserved = sum(isinstance(entry.event, Reserved) for entry in read(self.dir(silo)).entries)
        receipts = PrivateReceipts(self.dir(silo))
        until(lambda: len(list(receipts.all())) == reserved, "the silo writes what the run cost")

    def changed(self, change: Callable[[], object]) -> None:
        """Something happens to a silo's directory while its agent is down."""
        self.federation.kill(OURS)
        change()
        self.federation.start_agent(OURS)
        self.federation.process(OURS).wait_for_event("ready", 60)

    def rule(self, key: str, value: str) -> None:
        """The steward writes a rule."""
        config = self.dir(OURS) / "silo.toml"
        text = re.sub(rf"^{key} = .*\n", "", config.read_text(), flags=re.MULTILINE)
        self.changed(lambda: config.write_text(text.replace("[policy]\n", f"[policy]\n{key} = {value}\n")))

    def ledger(self, *arguments: str) -> dict:
        """`septum silo ledger` in that silo: what it answers, for programs."""
        command = [sys.executable, "-m", "septum", "silo", "ledger", *arguments, "--dir", str(self.dir(OURS)), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return json.loads(done.stdout.splitlines()[-1])

    def logged(self, event: str) -> list[dict]:
        lines = self.federation.log(OURS).read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line["event"] == event]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("refusals")
    app = write_private_app(folder / "app")
    records = {silo: write_rows(folder / f"{silo}.csv") for silo in SILOS}
    (folder / "federation").mkdir()
    with Federation(folder / "federation", app, "small", records, sandbox=1, policy=OPEN) as federation:
        federation.start()
        with client_of(federation) as client:
            yield Place(federation, client, app)


@pytest.fixture(scope="module")
def inspected(place: Place) -> tuple[RunView, list[facts.Fact]]:
    """The first run, which is not masked. Behind it each ledger has entries."""
    ended = place.ended(2.0, masked=False)
    assert ended[0].status is RunStatus.FINISHED
    for silo in SILOS:
        place.settled(silo)
    return ended


def test_an_inspected_run_shows_the_coordinator_noisy_updates_and_nothing_else(place, inspected):
    view, said = inspected
    assert (view.masked, view.metrics) == (False, None)
    assert view.privacy is not None
    assert view.privacy.epsilon == dict.fromkeys(SILOS, 2.0)
    reported = [fact for fact in said if isinstance(fact, facts.SiloReported)]
    assert {(fact.silo, fact.stage, fact.round) for fact in reported} >= {
        (silo, Stage.TRAIN, round_) for silo in SILOS for round_ in (1, 2)
    }
    assert [dict(fact.durations_s) for fact in reported] == [{}] * len(reported)
    measured = [fact for fact in said if isinstance(fact, facts.ModelMeasured)]
    assert [(fact.metrics, dict(fact.silos)) for fact in measured if fact.metrics or fact.silos] == []
    for silo in SILOS:
        released, reserved, settled = (entry.event for entry in read(place.dir(silo)).entries)
        assert isinstance(released, Released)
        assert (reserved.charge.mechanism.steps, settled.executed) == (2 + SPARE_ROUNDS, 2)


def test_a_run_over_max_epsilon_is_refused_by_that_rule(place):
    refused = place.refused(12.0)  # all three would; with the first of them the run has no quorum
    assert {one.rule for one in refused} == {"policy.max_epsilon"}
    assert {one.reason for one in refused} == {"this run may cost epsilon 12, at most 10 is allowed here"}


def test_where_privacy_is_required_a_run_without_it_is_refused(place):
    place.rule("require_privacy", "true")
    (refused,) = place.refused(None)
    assert (refused.silo, refused.rule) == (OURS, "policy.require_privacy")
    assert refused.reason == "this run is not differentially private"
    place.rule("require_privacy", "false")


def test_a_run_that_the_budget_cannot_pay_beside_those_before_is_refused_and_told_what_is_left(place):
    place.rule("epsilon_budget", "3.0")
    (refused,) = place.refused(2.0)
    assert (refused.silo, refused.rule) == (OURS, "policy.epsilon_budget")
    spent = epsilon_of(read(place.dir(OURS)).book.costs("file"), BUDGET_DELTA)
    assert 1 < spent < 3
    said = re.search(r"the budget is 3, of which (\S+) is spent and (\S+) is left", refused.reason)
    assert said is not None
    assert said[1] == up(spent)
    assert 3 - spent - 0.001 < float(said[2]) <= 3 - spent
    place.rule("epsilon_budget", "20.0")


@pytest.mark.parametrize("damage", ["an entry that was changed", "an entry that was cut off", "rolled back alone"])
def test_with_a_ledger_that_does_not_hold_no_run_is_taken_and_its_steward_is_told_how_to_recover(place, damage):
    ledger = place.dir(OURS) / FILE_NAME
    before = ledger.read_bytes()
    lines = before.splitlines(keepends=True)
    assert len(lines) >= 3  # released, reserved, settled
    damaged = {
        "an entry that was changed": before.replace(b'"executed":2', b'"executed":1'),
        "an entry that was cut off": b"".join(lines[:-1]),
        "rolled back alone": lines[0],
    }[damage]
    assert damaged != before
    place.changed(lambda: ledger.write_bytes(damaged))
    (refused,) = place.refused(2.0)
    assert (refused.silo, refused.rule) == (OURS, "ledger")
    assert refused.reason == "the privacy ledger of this silo cannot be used; its own log says why"  # and no more
    told = place.logged("privacy_not_paid")[-1]
    assert "does not hold" in told["error"]
    assert f"septum silo ledger recover --dir {place.dir(OURS)} --charge EPSILON" in told["hint"]
    assert place.ledger("verify")["error"]["message"] == told["error"]
    place.changed(lambda: ledger.write_bytes(before))
    place.ledger("verify")


def test_a_ledger_that_was_rolled_back_with_its_head_is_found_by_a_head_that_was_kept_elsewhere(place):
    """The agent cannot see it, as the ledger's own page says: so the steward keeps heads."""
    folder = place.dir(OURS)
    ledger, head = folder / FILE_NAME, folder / HEAD_NAME
    before = ledger.read_bytes(), head.read_bytes()
    older, newest = read(folder).heads[-2:]
    earlier, later = (f"{one.number}:{one.hash}" for one in (older, newest))
    ledger.write_bytes(b"".join(before[0].splitlines(keepends=True)[:-1]))
    head.write_bytes(dumps(to_json(older)))
    assert place.ledger("verify")["status"] == "ok"
    assert place.ledger("verify", "--head", earlier)["status"] == "ok"
    assert "it was rolled back or made anew since" in place.ledger("verify", "--head", later)["error"]["message"]
    ledger.write_bytes(before[0])
    head.write_bytes(before[1])


def test_after_a_recovery_what_was_lost_counts_and_runs_under_masks_go_on(place):
    ledger = place.dir(OURS) / FILE_NAME
    place.changed(lambda: ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0]))
    place.refused(2.0)
    assert place.ledger("recover", "--charge", "15")["data"]["charged"] == 15
    assert epsilon_of(read(place.dir(OURS)).book.costs("file"), BUDGET_DELTA) > 15
    view, _ = place.ended(2.0)
    assert (view.status, view.masked, view.metrics) == (RunStatus.FINISHED, True, None)
