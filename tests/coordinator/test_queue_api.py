"""The queue over the real API: who waits for what, who may go first, and what is too much for a silo."""

from __future__ import annotations

import itertools
import threading
from contextlib import suppress

import pytest
from tests.coordinator.running import Running, begun
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import operator, person
from tests.faults.counting import until

from septum.client import Client
from septum.errors import ConfigError, ConnectionFailedError, MessageError, ProtocolError
from septum.protocol.codec import decode, dumps, encode, to_json
from septum.protocol.description import SiloDescription
from septum.protocol.feed import Kind
from septum.protocol.messages import Over, Poll, Serving
from septum.protocol.priority import Priority
from septum.protocol.resources import Capacity, Resources
from septum.protocol.views import RunStatus, SiloStatus

pytestmark = pytest.mark.served

SILOS = ("cleveland", "hungary", "switzerland")
NUMBERS = itertools.count(5000)


def plan(**changes):
    return plan_of(seed=next(NUMBERS), gather_s=3600.0, **changes)


def describe(silos, capacity):
    said = SiloDescription("0.1", "3.11", "Linux", 8, capacity=capacity)
    for silo in silos:
        assert silo.post("/silo/v1/account", encode(said)).status == 200


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("septum.coordinator.fleet.CHANGE_EVERY_S", 0.0)
        running = Running(tmp_path_factory.mktemp("coordinator"), hold_s=0.5)
        running.silos = [running.enrolled(name) for name in SILOS]
        yield running
        running.stop()


@pytest.fixture
def silos(coordinator):
    """Each gives room for one run, and has all of it."""
    describe(coordinator.silos, Capacity(runs=1, cpus=8.0))
    yield coordinator.silos
    with Client(coordinator.access) as client, suppress(ConnectionFailedError):
        for run in client.runs():
            if not run.status.ended:
                client.stop(run.id)


def test_who_may_steer_may_wait_longer_and_who_has_the_right_may_go_first(coordinator, silos):
    one = person(coordinator, "ruth", "researcher")
    with Client(coordinator.access) as client:
        client.submit(plan(), key="a")
        waits = client.submit(plan(), key="b")
    assert one.told("POST", f"/runs/{waits.id}/priority", {"priority": "low"})["priority"] == "low"
    assert one.told("POST", f"/runs/{waits.id}/priority", {"priority": "normal"})["position"] == 1
    assert one.ask("POST", f"/runs/{waits.id}/priority", {"priority": "high"}).error["code"] == MessageError.code
    refused = one.ask("POST", f"/runs/{waits.id}/urge")
    assert (refused.status, refused.error["code"]) == (403, "forbidden")
    body = dumps(to_json(plan()))
    assert one.ask("POST", "/runs?priority=high", body, idempotency_key="c").status == 403
    assert one.ask("POST", "/runs?priority=low", body, idempotency_key="c").status == 201
    assert operator(coordinator).told("POST", f"/runs/{waits.id}/urge")["priority"] == "high"


def test_what_a_silo_can_never_give_is_refused_when_it_is_submitted(coordinator, silos):
    with Client(coordinator.access) as client:
        with pytest.raises(ConfigError, match=r"hungary offers 8 processors \(cpus\), the run needs 64"):
            client.submit(plan(resources=Resources(cpus=64)), key="never")
        assert not [run for run in client.runs() if not run.status.ended]
        describe(silos[:1], Capacity(runs=1, cpus=64.0))
        alone = plan_of([SILOS[0]], seed=next(NUMBERS), gather_s=3600.0, resources=Resources(cpus=64))
        assert client.submit(alone, key="now").status is RunStatus.GATHERING


def test_a_silo_asks_over_its_signed_line_which_runs_are_over(coordinator, silos):
    with Client(coordinator.access) as client:
        run = client.submit(plan(), key="i").id
    for runs, over in (((run, "r-unknown"), ("r-unknown",)), ((), ())):
        answer = silos[0].post("/silo/v1/over", encode(Serving(runs)))
        assert decode(Over, answer.body) == Over(over)
    assert silos[0].post("/silo/v1/over", encode(Poll())).status == 400
    busy = coordinator.enrolled("busy")  # it has no room, so it asks for no run, and its trainings take hours
    with Client(coordinator.access) as client:
        assert client.silo("busy").silo.seen_at == 0
        busy.post("/silo/v1/over", encode(Serving((run,))))
        assert client.silo("busy").silo.status is SiloStatus.ONLINE
    with pytest.raises(MessageError):
        Serving(("r-1",) * 257)
    assert coordinator.ask("POST", "/silo/v1/over", encode(Serving(()))).status == 401


@pytest.mark.parametrize("gone", ["silent", "cut off"])
def test_a_silo_is_offline_within_the_stated_time_of_its_last_word(coordinator, monkeypatch, gone):
    monkeypatch.setattr("septum.protocol.views.ONLINE_S", 0.5)
    silo = coordinator.enrolled(f"away-{gone[0]}")
    body = encode(Poll())
    with Client(coordinator.access) as client:

        def status():
            return client.silo(silo.name).silo.status

        if gone == "silent":  # its agent is frozen: its last request is answered, and it sends no other
            held = threading.Thread(target=silo.post, args=("/silo/v1/poll", body))
            held.start()
            until(lambda: status() is SiloStatus.ONLINE, "it asks")
            held.join()
        else:  # its agent is killed in the middle of a request
            line = begun(silo, "POST", "/silo/v1/poll", len(body), body)
            line.sendall(body)
            until(lambda: status() is SiloStatus.ONLINE, "it asks")
            line.close()
        until(lambda: status() is SiloStatus.OFFLINE, "it is offline", 0.5 + 2.0)


def test_more_room_lets_a_run_begin_and_a_revoked_silo_keeps_none_waiting(coordinator, silos):
    with Client(coordinator.access) as client:
        client.submit(plan(), key="d")
        second, third = (client.submit(plan(), key=key) for key in ("e", "f"))
        describe(silos, Capacity(runs=2))
        until(lambda: client.run(second.id).status is RunStatus.GATHERING, "the second begins")
        assert client.run(third.id).status is RunStatus.QUEUED
        extra = coordinator.enrolled("extra")
        describe([extra], Capacity(runs=1))
        blocked = [
            client.submit(plan_of(["extra"], seed=next(NUMBERS), gather_s=3600.0), key=key) for key in ("g", "h")
        ]
        client.revoke("extra")
        client.prioritise(third.id, Priority.LOW)  # whatever makes it look again
        until(lambda: client.run(blocked[1].id).status is not RunStatus.QUEUED, "it begins")


def test_the_queue_is_seen_changed_and_outlives_the_coordinator(coordinator, silos):
    with Client(coordinator.access) as client:
        first, second, third = (client.submit(plan(), key=key) for key in ("first", "second", "third"))
        assert [run.status for run in (first, second, third)] == [
            RunStatus.GATHERING,
            RunStatus.QUEUED,
            RunStatus.QUEUED,
        ]
        assert third.position == 2
        told = [entry.change.kind for entry in client.feed.page(run=third.id)]
        assert told == [Kind.RUN_QUEUED, Kind.RUN_SUBMITTED]  # the newest first
        listed = client.runs(statuses=[RunStatus.QUEUED])
        assert [(run.id, run.position, bool(run.reason)) for run in listed] == [
            (third.id, 2, True),
            (second.id, 1, True),
        ]
        moved = client.prioritise(third.id, Priority.HIGH)
        assert (moved.priority, moved.position) == (Priority.HIGH, 1)
        low = client.prioritise(second.id, Priority.LOW)
        assert (low.priority, low.position) == (Priority.LOW, 2)
        assert low.reason.startswith(f"cleveland serves 1 of 1 runs: {first.id}; hungary serves 1 of 1 runs")
        with pytest.raises(ProtocolError, match="has begun: it waits no more"):
            client.prioritise(first.id, Priority.LOW)
    coordinator.stop()
    again = Running(coordinator.config.data_dir, hold_s=0.5)
    try:
        with Client(again.access) as client:
            after = (client.run(third.id), client.run(second.id))
            assert [(run.status, run.position) for run in after] == [(RunStatus.QUEUED, 1), (RunStatus.QUEUED, 2)]
            client.stop(first.id)
            until(lambda: client.run(third.id).status is RunStatus.GATHERING, "the third begins")
            assert client.run(second.id).position == 1
    finally:
        again.stop()
