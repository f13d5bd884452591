"""Fault 1 for what is a silo's own: its agent is killed around each step; shared and private model come out the same.

Real processes over HTTPS. What the shared model becomes depends on every silo's private part, so a part that was lost,
or trained twice in a row, would show in the digest.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.e2e.runs import OPEN
from tests.faults.counting import until
from tests.faults.dying import Fate, Kill, When
from tests.faults.programs import Program
from tests.faults.silo_kill_points import SILO_POINTS, SiloStory
from tests.private_runs import APP, FOLDER, ROWS, plan_for, records_in, simulated

from septum.cli.federation import Federation
from septum.client import Client, operator_access
from septum.protocol import tensors
from septum.protocol.plan import Plan, Private, Start
from septum.protocol.views import RunStatus
from septum.silo.kept import KeptModels

pytestmark = pytest.mark.faults

KILLED = "south"
POINTS = [point for point, stories in SILO_POINTS.items() if SiloStory.PRIVATE in stories]


@dataclass(slots=True)
class Federated:
    """A federation of the private app, one of whose agents kills itself where it is told to, and comes back."""

    records: dict[str, Path]
    federation: Federation
    fate: Fate
    client: Client
    agent: Program
    known: dict[str, tuple[str, dict[str, bytes]]] = field(default_factory=dict)

    def run(self, plan: Plan, key: str) -> str:
        """Play a run to its end, also in the directories of the silos."""
        run = self.client.submit(plan, key=key)

        def ended() -> bool:
            assert self.agent.running, f"the agent under test ended: {self.agent.said}"
            return self.client.run(run.id).status in (RunStatus.FINISHED, RunStatus.FAILED)

        until(ended, f"{key} ends: {self.agent.said}")
        assert self.client.run(run.id).status is RunStatus.FINISHED, self.client.journal(run.id)[-5:]
        for silo in ROWS:
            runs = self.state_of(silo) / "runs"
            until(lambda runs=runs: not (runs / run.id).exists(), f"{silo} is through with {key}")
        return run.id

    def state_of(self, silo: str) -> Path:
        return self.federation.site(silo).folder / "state"

    def own_models(self, run: str) -> dict[str, bytes]:
        """Each silo's kept model, its tensors alone."""
        return {silo: _content(KeptModels(self.state_of(silo)).get(run).path.read_bytes()) for silo in ROWS}

    def undisturbed(self, plan: Plan) -> tuple[str, dict[str, bytes]]:
        if plan.digest not in self.known:
            result = simulated(plan, self.records)
            self.known[plan.digest] = result.model_digest, {one: _content(own) for one, own in result.own.items()}
        return self.known[plan.digest]


def _content(file: bytes) -> bytes:
    return tensors.encode(tensors.decode(file))


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    folder = tmp_path_factory.mktemp("private-kills")
    records = records_in(folder / "records")
    base = folder / "federation"
    with Federation(base, FOLDER, APP.app.name, records, sandbox=1, policy=OPEN) as federation:
        base.mkdir()
        federation.start()
        federation.kill(KILLED)
        fate = Fate(folder / "fate", SILO_POINTS)
        state = federation.site(KILLED).folder / "state"
        agent = Program("tests.faults.agent_to_kill", str(state), str(folder / "fate"), log=folder / "agent.log")
        try:
            with closing(Client(operator_access(federation.operator_dir))) as client:
                yield Federated(records, federation, fate, client, agent)
        finally:
            agent.stop()


@pytest.mark.parametrize("point", POINTS)
def test_an_agent_that_is_killed_there_costs_no_bit_of_the_shared_or_of_any_private_part(federated, point):
    plan = plan_for(rounds=4, name=point)
    federated.fate.arm(Kill(point, When.BEFORE), Kill(point, When.AFTER))
    for number in range(3):  # some points come by once in a run, and dying there before is dying there for good
        run = federated.run(plan, f"{point} {number}")
        digest, own = federated.undisturbed(plan)
        assert federated.client.run(run).model == digest
        assert federated.own_models(run) == own
        if not federated.fate.outstanding:
            break
    assert not federated.fate.outstanding
    kept = KeptModels(federated.state_of(KILLED)).get(run).path
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in kept.parent.iterdir() if path.name.startswith(".")] == []


def test_a_personalised_run_gives_the_simulators_bits_between_processes(federated):
    plan = plan_for(rounds=2, private=Private(("head.*",), personalise=2), name="personalised")
    run = federated.run(plan, "personalised")
    digest, own = federated.undisturbed(plan)
    assert federated.client.run(run).model == digest
    assert federated.own_models(run) == own


def test_a_run_that_continues_goes_on_from_the_newest_also_when_its_agent_is_killed(federated):
    """Twice from the same kept model, once with a kill in round 1 and once without: the same bits."""
    federated.run(plan_for(rounds=2, name="before"), "before")
    plan = plan_for(rounds=1, private=Private(("head.*",), Start.CONTINUE), name="continued")
    federated.fate.arm(Kill("work train", When.AFTER))
    killed = federated.run(plan, "continued, killed")
    assert not federated.fate.outstanding
    for silo in ROWS:  # so that the next one continues from the same
        KeptModels(federated.state_of(silo)).get(killed).path.rename(federated.state_of(silo) / f"{killed}.aside")
    quiet = federated.run(plan, "continued, quiet")
    assert federated.client.run(quiet).model == federated.client.run(killed).model
    assert federated.client.run(quiet).model != federated.undisturbed(plan_for(rounds=1, name="continued"))[0]
    aside = _content((federated.state_of(KILLED) / f"{killed}.aside").read_bytes())
    assert federated.own_models(quiet)[KILLED] == aside
