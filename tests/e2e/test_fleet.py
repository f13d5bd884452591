"""What stewards and the coordinator's people see and do of silos, by the commands they type, with real processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.processes import children_of, resident_mb
from tests.e2e.runs import APP, FILES, OPEN, Journal, a_plan, client_of
from tests.e2e.test_operations import septum

from septum import __version__
from septum.cli.federation import Federation
from septum.cli.shipped import example
from septum.protocol import facts
from septum.protocol.views import RunStatus, SiloStatus

pytestmark = pytest.mark.e2e
SILO = "switzerland"
IDLE_MB = 60


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(
        tmp_path_factory.mktemp("fleet"), example("heart_disease"), APP.app.name, FILES, policy=OPEN
    ) as started:
        started.start()
        yield started


def until(condition: Callable[[], bool], within_s: float = 20.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s
        time.sleep(0.05)
    return time.monotonic() - began


def state_of(federation: Federation) -> str:
    return str(federation.site(SILO).folder / "state")


def steward(federation: Federation, verb: str, *more: str) -> dict[str, object]:
    code, said = septum("silo", verb, "--dir", state_of(federation), *more)
    assert code == 0, said
    assert isinstance(said["data"], dict)
    return said["data"]


def test_a_silo_says_what_it_is_and_its_idle_agent_stays_small(federation):
    where = {"SEPTUM_OPERATOR_FILE": str(federation.operator_dir / "operator.json")}
    with client_of(federation) as client:
        until(lambda: client.silo(SILO).description is not None)
        said = client.silo(SILO).description
    assert said is not None
    assert said.septum == __version__
    assert said.cores >= 1
    assert said.datasets == ()  # nothing of its data: its steward has offered none
    code, shown = septum("silo", "show", SILO, **where)
    assert code == 0
    assert shown["data"]["description"]["python"] == said.python
    code, listed = septum("silo", "list", **where)
    assert [silo["septum"] for silo in listed["data"]["silos"]] == [__version__] * 4
    assert resident_mb(federation.pid(SILO)) < IDLE_MB


def test_a_paused_silo_takes_no_new_run_until_it_resumes_and_stays_paused_over_a_restart(federation):
    with client_of(federation) as client:
        assert steward(federation, "pause", "--reason", "new disks")["coordinator_told"] is True
        paused = client.silo(SILO)
        assert (paused.silo.status, paused.standing.reason) == (SiloStatus.PAUSED, "new disks")
        federation.kill(SILO)
        federation.start_agent(SILO)
        run = client.submit(a_plan(3, quorum=3, gather_s=3.0), key="paused")
        Journal(client, run).until(facts.RunEnded)
        view = client.run(run.id)
        assert view.status is RunStatus.FINISHED
        assert {silo.name: silo.presence.value for silo in view.silos}[SILO] == "invited"
        steward(federation, "resume")
        assert client.silo(SILO).silo.status is SiloStatus.ONLINE
        run = client.submit(a_plan(3), key="resumed")  # with all four
        Journal(client, run).until(facts.RunEnded)
        assert client.run(run.id).status is RunStatus.FINISHED


def test_a_pause_that_leaves_is_heeded_within_seconds_and_undone_by_resuming(federation):
    with client_of(federation) as client:
        run = client.submit(a_plan(1000, quorum=3), key="leaving")
        journal = Journal(client, run)
        journal.until(facts.SiloReported, silo=SILO)
        steward(federation, "pause", "--leave")
        began = time.monotonic()
        journal.until(facts.SiloLeft, silo=SILO)
        assert time.monotonic() - began < 10
        until(lambda: not children_of(federation.pid(SILO)))  # its training process has ended
        journal.until(facts.ModelMade, round=max(journal.models_made()) + 5)
        steward(federation, "resume")
        journal.until(facts.SiloReturned, silo=SILO)
        journal.until(facts.SiloReported, silo=SILO)
        client.stop(run.id)


def test_a_silo_that_withdraws_from_a_run_is_out_of_it_for_good_and_takes_others(federation):
    with client_of(federation) as client:
        run = client.submit(a_plan(1000, quorum=3), key="withdrawing")
        journal = Journal(client, run)
        journal.until(facts.SiloReported, silo=SILO)
        assert steward(federation, "withdraw", "--run", run.id)["here"] is True
        refused = journal.until(facts.SiloRefused, silo=SILO)
        assert isinstance(refused, facts.SiloRefused)
        assert refused.rule == "steward"
        seen = len(journal.facts)
        federation.kill(SILO)
        federation.start_agent(SILO)
        journal.until(facts.ModelMade, round=max(journal.models_made()) + 20)
        later = journal.facts[seen:]
        assert not [
            fact for fact in later if isinstance(fact, facts.SiloReturned | facts.SiloReported) and fact.silo == SILO
        ]
        client.stop(run.id)
        run = client.submit(a_plan(3), key="after")
        Journal(client, run).until(facts.RunEnded)
        assert client.run(run.id).status is RunStatus.FINISHED
