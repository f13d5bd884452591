"""The Python client: the API's answers as values, its errors as the same classes, and streams that heal."""

from __future__ import annotations

import gc
import sys
import threading
from dataclasses import replace

import pytest
from tests.coordinator.running import Running, finish, free_port, start_round_one
from tests.coordinator.support import plan_of

from septum.client import Access, Client
from septum.client.stream import Backoff, entries
from septum.client.wire import error_from, list_of
from septum.errors import (
    AuthError,
    ConfigError,
    ConflictError,
    ConnectionFailedError,
    MessageError,
    NotFoundError,
    ProtocolError,
    SeptumError,
)
from septum.protocol import facts
from septum.protocol.codec import dumps, to_json
from septum.protocol.messages import Blob
from septum.protocol.plan import MAX_SILOS
from septum.protocol.views import JournalView, RunStatus, RunView, SiloStatus

pytestmark = pytest.mark.served


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def silos(coordinator):
    return [coordinator.enrolled(name) for name in ("cleveland", "hungary")]


@pytest.fixture
def client(coordinator):
    with Client(coordinator.access) as client:
        yield client


def plan(seed):
    return plan_of(("cleveland", "hungary"), seed=seed)


def test_a_finished_run_is_seen_with_its_journal_models_and_metrics(client, silos, tmp_path):
    run, told = start_round_one(silos, plan(1), "finished", 3)
    finish(silos, run, told, 3)
    view = client.run(run)
    assert (view.status, view.finished_rounds, view.round, view.hyper["lr"]) == (RunStatus.FINISHED, 2, 2, 0.1)
    assert view in client.runs()
    assert [model.round for model in client.models(run)] == [0, 1, 2]
    assert client.models()[0].digest == view.model
    journal = client.journal(run)
    assert [entry.seq for entry in journal] == list(range(1, len(journal) + 1))
    assert client.journal(run, after=3, limit=2) == journal[3:5]
    assert isinstance(journal[-1].fact, facts.RunEnded)
    assert list(client.watch(run)) == list(journal)
    assert client.download(view.model, tmp_path / "m") == client.models(run)[-1].size_bytes


def test_a_stream_that_the_collector_ends_within_a_request_does_not_block_it(client, silos):
    """httpcore asks for its lock again to end a stream, and the lock is no reentrant one."""
    run = client.submit(plan(30), key="abandoned").id
    ended = []

    def collect(frame, event, _argument):
        if (event, frame.f_code.co_name) == ("call", "_assign_requests_to_connections"):
            gc.collect()

    def ask():
        abandoned = [client.watch(run)]
        next(abandoned[0])
        abandoned.append(abandoned)  # only the collector finds it
        gc.disable()
        del abandoned
        sys.setprofile(collect)
        try:
            ended.append(client.run(run).id)
        finally:
            sys.setprofile(None)
            gc.enable()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(20)
    assert ended == [run]
    client.stop(run)


def test_closing_a_client_ends_its_streams(coordinator, silos):
    with Client(coordinator.access) as client:
        run = client.submit(plan(31), key="closed").id
        entries_ = client.watch(run, patience_s=0.0)
        next(entries_)
    with pytest.raises((ConnectionFailedError, RuntimeError)):
        list(entries_)
    with Client(coordinator.access) as client:
        client.stop(run)


def test_the_same_key_submits_once_and_another_plan_under_it_is_a_conflict(client, silos):
    first = client.submit(plan(2), key="once")
    assert client.submit(plan(2), key="once").id == first.id
    with pytest.raises(ConflictError, match=first.id):
        client.submit(plan(3), key="once")
    client.stop(first.id)


def test_errors_come_back_as_what_they_were(client, silos):
    with pytest.raises(NotFoundError, match="r-nope"):
        client.run("r-nope")
    with pytest.raises(ConfigError) as caught:
        client.submit(plan_of(("clevelandd",)), key="typo")
    assert "did you mean 'cleveland'?" in caught.value.message
    run = client.submit(plan(4), key="ended").id
    client.stop(run)
    with pytest.raises(ProtocolError, match="has ended"):
        client.pause(run)
    with pytest.raises(ConflictError, match="already enrolled"):
        client.invite("hungary")


def test_a_wrong_token_is_an_auth_error(coordinator):
    with Client(replace(coordinator.access, token="wrong")) as client, pytest.raises(AuthError):
        client.runs()


def test_silos_are_listed_invited_and_revoked(client, coordinator):
    token = client.invite("basel")
    assert token.silo == "basel"
    assert token.token not in repr(token)
    status = {silo.name: silo.status for silo in client.silos()}
    assert status["basel"] is SiloStatus.INVITED
    coordinator.enrolled("geneva")
    assert {silo.name: silo.status for silo in client.silos()}["geneva"] is SiloStatus.OFFLINE
    client.revoke("geneva")
    assert {silo.name: silo.status for silo in client.silos()}["geneva"] is SiloStatus.REVOKED
    with pytest.raises(NotFoundError, match="genevva"):
        client.revoke("genevva")


def test_a_coordinator_that_is_not_there_is_named_with_what_to_do(tmp_path):
    url = f"https://127.0.0.1:{free_port()}"
    with Client(Access(url, "t")) as client, pytest.raises(ConnectionFailedError, match=url) as caught:
        client.health()
    assert "septum coordinator start" in caught.value.hint


def test_a_certificate_of_somebody_else_is_not_trusted(coordinator):
    with Client(replace(coordinator.access, ca_file="")) as client, pytest.raises(ConnectionFailedError):
        client.health()


def test_a_certificate_file_that_is_none_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        Client(Access("https://127.0.0.1:1", "t", str(tmp_path / "nowhere.pem")))


def test_the_token_is_in_no_repr(coordinator):
    assert coordinator.access.token not in repr(coordinator.access)


def test_watching_goes_on_where_it_was_after_the_coordinator_was_restarted(tmp_path):
    listen = f"127.0.0.1:{free_port()}"
    first = Running(tmp_path, listen=listen)
    silos = [first.enrolled(name) for name in ("cleveland", "hungary")]
    run, told = start_round_one(silos, plan(1), "watched", 3)
    seen, joined = [], threading.Event()

    def watch():
        with Client(first.access) as client:
            for entry in client.watch(run):
                seen.append(entry)
                joined.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert joined.wait(10)
    first.stop()
    second = Running(tmp_path, listen=listen)
    try:
        finish([replace(silo, coordinator=second) for silo in silos], run, told, 3)
        watcher.join(20)
        assert not watcher.is_alive()
        with Client(second.access) as client:
            assert seen == list(client.journal(run))
    finally:
        second.stop()


def test_watching_gives_up_when_the_coordinator_stays_away(tmp_path):
    access = Access(f"https://127.0.0.1:{free_port()}", "t")
    with Client(access) as client, pytest.raises(ConnectionFailedError, match="has been away"):
        list(client.watch("r-1", patience_s=0.5))


def test_watching_an_unknown_run_is_an_error(client):
    with pytest.raises(NotFoundError):
        list(client.watch("r-nope"))


def test_answers_that_are_not_the_coordinators_are_errors():
    assert type(error_from(502, b"<html>bad gateway</html>")) is SeptumError
    assert "HTTP 502" in error_from(502, b"").message
    assert type(error_from(400, b'{"code":"new","detail":"m"}')) is SeptumError
    with pytest.raises(MessageError, match="is the URL that of a septum coordinator"):
        list_of(RunView, {"something": "else"})


def test_pauses_grow_and_start_over_after_a_success():
    backoff = Backoff(patience_s=0.0)
    with pytest.raises(ConnectionFailedError):
        backoff.pause_or_raise()
    backoff = Backoff(patience_s=60.0)
    backoff.pause_or_raise()
    assert backoff._pause_s == 0.5
    backoff.reset()
    assert backoff._pause_s == 0.25


def test_a_fact_with_something_of_each_of_a_thousand_silos_comes_through_a_stream():
    name, blob = "s" * 58, Blob("blake3:" + 64 * "0", 10**12)
    silos = {f"{name}-{number:04}": facts.SiloModel(blob, blob, 0.1234567890123456) for number in range(MAX_SILOS)}
    entry = JournalView(7, 1.5, facts.SiloModelsKept(100_000, blob, silos))
    lines = ["id: 7", f"data: {dumps(to_json(entry)).decode()}", ""]
    assert list(entries(JournalView, lines)) == [entry]
