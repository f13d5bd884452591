"""Faults 2 and 23: agents and workers are killed in training, or run out of memory; deadlines do not run meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.processes import children_of
from tests.e2e.runs import Journal, client_of, port_of
from tests.faults.counting import UNCLOSED, Counting, counting_in, until

from septum.cli.federation import Federation
from septum.protocol import facts
from septum.protocol.messages import Stage
from septum.protocol.views import RunStatus

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings(UNCLOSED)]

DEADLINE_S = 2.0


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    return counting_in(tmp_path_factory.mktemp("dying"))


@pytest.fixture(scope="module")
def federation(counting: Counting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with counting.federation(tmp_path_factory.mktemp("federation")) as started:
        started.start()
        yield started


@pytest.mark.parametrize("victim", ["agent", "worker", "both"])
def test_a_round_whose_silo_is_killed_in_training_is_closed_by_the_quorum_and_the_silo_rejoins(
    federation, counting, victim
):
    gate = counting.gate(victim)
    plan = counting.plan(victim, 200, {"gate": str(gate), "carries": False}, quorum=2, deadline_s=DEADLINE_S)
    with client_of(federation) as client:
        run = client.submit(plan, key=victim)
        journal = Journal(client, run)
        journal.until(facts.StageOpened, stage=Stage.TRAIN)
        agent = federation.pid("south")
        until(lambda: len(workers_in_training(federation, counting)) == 3, "all silos train")
        if victim != "agent":
            os.kill(workers_of(agent)[0], signal.SIGKILL)
        if victim != "worker":
            federation.kill("south")
        gate.touch()
        closed = journal.until(facts.StageClosed, stage=Stage.TRAIN)
        if victim == "worker":  # its agent is there to start another one
            assert closed.missing == ()
        else:
            assert closed.missing == ("south",)
            federation.start_agent("south")
            journal.until(facts.SiloReturned, silo="south")
            journal.until(facts.SiloReported, silo="south", stage=Stage.TRAIN)
        client.stop(run.id)
        journal.until(facts.RunEnded)
        assert journal.models_made() == list(range(len(journal.models_made())))


def test_deadlines_stand_still_while_the_coordinator_is_down(federation, counting):
    gate = counting.gate("down")
    plan = counting.plan("down", 2, {"gate": str(gate)}, deadline_s=2 * DEADLINE_S, gather_s=2 * DEADLINE_S)
    with client_of(federation) as client:
        run = client.submit(plan, key="down")
        journal = Journal(client, run)
        journal.until(facts.StageOpened, stage=Stage.TRAIN)
        port, agents = port_of(federation), [federation.pid(site.name) for site in federation.sites]
        for agent in agents:  # so that none is in the middle of a long pause when the coordinator is back
            os.kill(agent, signal.SIGSTOP)
        try:
            federation.kill("coordinator")
            threading.Event().wait(2.5 * DEADLINE_S)  # longer than the deadline: that is the point
            federation.start_coordinator(port)
        finally:
            for agent in agents:
                os.kill(agent, signal.SIGCONT)
        gate.touch()
        journal.until(facts.RunEnded)
        assert client.run(run.id).status is RunStatus.FINISHED
        assert client.run(run.id).model == counting.undisturbed(plan)
    assert not [fact for fact in journal.facts if isinstance(fact, facts.SiloLeft | facts.AttemptFailed)]
    assert set(counting.trainings("down").values()) == {1}


def test_a_training_that_runs_out_of_memory_is_a_failure_with_a_reason_and_the_round_goes_on(federation, counting):
    site = federation.site("south")
    limit_memory(site.folder / "state" / "silo.toml", 2_000)
    federation.kill("south")
    federation.start_agent("south")
    agent = federation.pid("south")
    hyper = {"memory_mb": 4_000, "hungry": "south", "carries": False}
    with client_of(federation) as client:
        run = client.submit(counting.plan("hungry", 2, hyper, quorum=2), key="hungry")
        journal = Journal(client, run)
        failed = journal.until(facts.SiloFailed, silo="south")
        assert "MemoryError" in failed.reason + failed.details or "memory" in failed.reason, failed
        closed = journal.until(facts.StageClosed, stage=Stage.TRAIN, round=1)
        assert (closed.reported, closed.missing) == (("east", "north"), ("south",))
        journal.until(facts.RunEnded)
        assert client.run(run.id).status is RunStatus.FINISHED
        after = client.submit(counting.plan("fed", 2, {}), key="fed")  # the same agent serves on
        Journal(client, after).until(facts.RunEnded)
        assert client.run(after.id).status is RunStatus.FINISHED
    assert federation.pid("south") == agent
    assert ("south", 1) in counting.trainings("fed")


def limit_memory(config: Path, memory_mb: int) -> None:
    text = config.read_text()
    assert "\n[limits]\n" in text
    config.write_text(text.replace("[limits]\n", f"[limits]\nmemory_mb = {memory_mb}\n"))


def workers_of(agent: int) -> list[int]:
    return sorted(children_of(agent))


def workers_in_training(federation: Federation, counting: Counting) -> list[str]:
    """The silos whose agents have said that they began to train."""
    names = [site.name for site in federation.sites]
    return [name for name in names if last_work(federation.log(name)) == "train"]


def last_work(log: Path) -> str:
    lines = [line for line in log.read_text().splitlines() if '"event": "working"' in line]
    return "train" if lines and '"stage": "train"' in lines[-1] else ""
