"""S3 that fails now and then, is away for a while, or loses what it had, under a federation at work. Real processes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

import pytest
from tests.e2e.runs import Journal, client_of
from tests.faults.counting import Counting, counting_in, until
from tests.s3_server import ALONE, S3, Asked, Dropped, Front, Refused, opened

from septum.adapters.blobs.s3 import key_of
from septum.adapters.blobs.s3_bucket import S3Place
from septum.cli.federation import COORDINATOR, Federation
from septum.client import Client, operator_access
from septum.protocol import facts
from septum.protocol.views import RunStatus, RunView

pytestmark = pytest.mark.faults

WIDTH = 150_000  # 600 kB: payloads and models are files
ROUNDS = 8


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    return counting_in(tmp_path_factory.mktemp("s3-away"))


@pytest.fixture(scope="module")
def front(s3: S3) -> Iterator[Front]:
    with Front(s3.url) as front:
        yield front


@pytest.fixture(scope="module")
def place(s3: S3) -> S3Place:
    return s3.place()


@pytest.fixture(scope="module")
def federation(
    counting: Counting, place: S3Place, front: Front, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp("federation")
    (folder / COORDINATOR).mkdir(mode=0o700)
    (folder / COORDINATOR / "coordinator.toml").write_text(
        f'[blobs]\nbucket = "{place.bucket}"\nprefix = "{place.prefix}"\n'
        f'endpoint = "{front.url}"\nregion = "{place.region}"\n'
    )
    with counting.federation(folder, ALONE) as federation:
        federation.start()
        yield federation


@pytest.fixture(autouse=True)
def _quiet(front: Front) -> Iterator[None]:
    yield
    front.meddle = lambda _: None


def port_of(federation: Federation) -> int:
    return int(operator_access(federation.operator_dir).url.rpartition(":")[2])


def began(counting: Counting, client: Client, name: str) -> tuple[RunView, Journal]:
    plan = counting.plan(name, ROUNDS, {"width": WIDTH, "gate": str(counting.gate(name))}, deadline_s=5.0)
    run = client.submit(plan, key=name)
    journal = Journal(client, run)
    journal.until(facts.StageOpened, round=1)
    return run, journal


def ends_as_undisturbed(counting: Counting, client: Client, run: RunView, journal: Journal, name: str) -> None:
    journal.until(facts.RunEnded)
    ended = client.run(run.id)
    assert ended.status is RunStatus.FINISHED, ended.reason
    plan = counting.plan(name, ROUNDS, {"width": WIDTH, "gate": str(counting.gate(name))}, deadline_s=5.0)
    assert ended.model == counting.undisturbed(plan)


def test_a_run_does_not_notice_that_every_third_call_fails(counting, federation, front):
    with client_of(federation) as client:
        front.meddle = lambda asked: Refused(503, "SlowDown") if asked.number % 3 == 0 else None
        counting.gate("third").touch()
        run, journal = began(counting, client, "third")
        ends_as_undisturbed(counting, client, run, journal, "third")
        assert not [fact for fact in journal.facts if isinstance(fact, facts.RunPaused)]
        assert sum(asked.number % 3 == 0 for asked in front.asked) > ROUNDS // 3


def test_s3_that_is_away_pauses_the_run_which_goes_on_by_itself_once_it_is_back(counting, federation, front):
    def away(asked: Asked) -> Refused | None:
        return Refused(403, "AccessDenied") if asked.method == "PUT" else None

    with client_of(federation) as client:
        run, journal = began(counting, client, "away")
        front.meddle = away
        counting.gate("away").touch()
        until(lambda: client.run(run.id).status is RunStatus.PAUSED, "the run is paused")
        assert "AccessDenied" in client.run(run.id).reason
        front.meddle = lambda _: None
        journal.until(facts.RunResumed)
        ends_as_undisturbed(counting, client, run, journal, "away")
        assert not [fact for fact in journal.facts if isinstance(fact, facts.SiloLeft | facts.ModelLost)]
        assert set(counting.trainings("away").values()) == {1}


@pytest.mark.parametrize("reaches_s3", [True, False])
def test_a_coordinator_that_is_killed_while_it_stores_a_model_goes_on(counting, federation, front, reaches_s3):
    name = f"killed-{reaches_s3}"
    port, stored, killed = port_of(federation), [], threading.Event()

    def kill(asked: Asked) -> Dropped | None:
        if asked.method != "PUT" or "/models-" not in asked.target:
            return None
        stored.append(asked.target)
        if len(stored) != 3:
            return None
        federation.kill(COORDINATOR)
        killed.set()
        return None if reaches_s3 else Dropped()

    with client_of(federation) as client:
        front.meddle = kill
        run, _ = began(counting, client, name)
        counting.gate(name).touch()  # from now on rounds go by, and the coordinator is killed in one
        assert killed.wait(60)
    front.meddle = lambda _: None
    federation.start_coordinator(port)
    with client_of(federation) as client:
        ends_as_undisturbed(counting, client, run, Journal(client, run), name)


@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_model_that_another_machine_does_not_find_is_made_again(counting, federation, place, how):
    gate, port = counting.gate(how), port_of(federation)
    gate.touch()
    with client_of(federation) as client:
        run, journal = began(counting, client, how)
        journal.until(facts.ModelMade, round=2)
        gate.unlink()
        newest = settled(client, run)
    federation.kill(COORDINATOR)
    shutil.rmtree(federation.operator_dir / "blobs" / f"models-{run.id}")  # as on another machine
    with opened(place) as bucket:
        if how == "missing":
            bucket.remove([key_of(f"models-{run.id}", newest)])
        else:
            bucket.put(key_of(f"models-{run.id}", newest), b"of somebody who may write there, and should not")
    federation.start_coordinator(port)
    gate.touch()
    with client_of(federation) as client:
        journal = Journal(client, run)
        lost = journal.until(facts.ModelLost)
        assert isinstance(lost, facts.ModelLost)
        ends_as_undisturbed(counting, client, run, journal, how)


def settled(client: Client, run: RunView) -> str:
    """The newest model, once all silos wait at the gate."""
    before, seen = -1, client.run(run.id)
    pause = threading.Event()
    while seen.finished_rounds != before:
        pause.wait(1.5)
        before, seen = seen.finished_rounds, client.run(run.id)
    assert not seen.status.ended
    return str(seen.model)
