"""What every Channel keeps: the suite runs over HTTPS and in memory."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.adapters.channel.conftest import SILO
from tests.adapters.channel.servers import MODEL, PLAN

from septum.adapters.channel.memory import MemoryChannel
from septum.errors import (
    ConnectionFailedError,
    DigestError,
    MessageError,
    NotFoundError,
    ProtocolError,
    TooLargeError,
    WorkerError,
)
from septum.protocol.messages import (
    Await,
    End,
    Failure,
    Invitation,
    Join,
    Leave,
    Outcome,
    Poll,
    Prepare,
    Refuse,
    Report,
    Stage,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import digest_of

pytestmark = [pytest.mark.parametrize("channel", ["memory", "https"], indirect=True), pytest.mark.served]


@pytest.fixture
def channel(request, service):
    if request.param == "https":
        return request.getfixturevalue("connect")()
    return MemoryChannel(SILO, service)


def test_an_invitation_arrives_with_its_plan(channel, service):
    assert channel.poll(["r-0"]) == Invitation("r-1", PLAN)
    assert service.received == [(SILO, "", Poll(("r-0",)))]


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (Join(PLAN.digest), Prepare(1, True)),
        (Report(Stage.PREPARE, 0, 1, "", blob_of(b"x" * 1000), 5, {"load": 0.5}), Train(1, 1, blob_of(MODEL))),
        (Refuse("rule", "reason\nin ünïcode"), Wait()),
        (Failure(Stage.TRAIN, 1, 1, "reason", "details"), Wait()),
        (Leave("restart"), Wait()),
    ],
)
def test_a_message_arrives_as_it_was_and_is_answered(channel, service, message, answer):
    assert channel.exchange("r-1", message) == answer
    assert service.received == [(SILO, "r-1", message)]


def test_an_error_of_the_coordinator_is_the_same_error_here(channel):
    with pytest.raises(ProtocolError, match="'st-marys' would run another plan") as caught:
        channel.exchange("r-1", Join("blake3:" + "0" * 64))
    assert caught.value.hint == "septum run show r-1"
    with pytest.raises(NotFoundError, match="no run r-2"):
        channel.exchange("r-2", Await())
    assert channel.exchange("r-1", Leave("still works")) == Wait()


def test_no_more_of_an_error_arrives_than_the_wire_carries(channel):
    with pytest.raises(WorkerError, match="something broke") as caught:
        channel.exchange("r-1", Leave("break"))
    assert caught.value.details == ""


def test_what_cannot_be_said_on_the_wire_cannot_be_said(channel, service):
    with pytest.raises(MessageError):
        channel.exchange("r-1", Failure(Stage.TRAIN, 1, 1, "reason", "\U0001f9ec" * 20_000 + "x"))
    with pytest.raises(MessageError):
        channel.exchange("r-1", Report(Stage.TRAIN, 1, 1, "", blob_of(b""), 1, {"step": float("nan")}))
    assert service.received == []


def test_a_blob_arrives_and_can_be_sent_again(channel, service, tmp_path):
    path = tmp_path / "payload"
    for data in (b"", b"x" * 1_048_576, bytes(range(256)) * 10_000):
        path.write_bytes(data)
        for _ in range(2):
            channel.send_blob("r-1", digest_of(data), path)
        assert (service.directory / digest_of(data)).read_bytes() == data


def test_a_blob_that_is_not_what_it_is_called_is_refused(channel, service, tmp_path):
    (tmp_path / "payload").write_bytes(b"abc")
    with pytest.raises(DigestError, match="other bytes came"):
        channel.send_blob("r-1", digest_of(b"abd"), tmp_path / "payload")
    assert not (service.directory / digest_of(b"abd")).exists()


def test_a_blob_is_fetched_whole(channel, tmp_path):
    target = tmp_path / "model"
    target.write_bytes(b"what was there before")
    channel.fetch_blob("r-1", digest_of(MODEL), target, size_bytes=len(MODEL))
    assert target.read_bytes() == MODEL


def test_an_empty_blob_is_fetched(channel, service, tmp_path):
    (service.directory / digest_of(b"")).write_bytes(b"")
    channel.fetch_blob("r-1", digest_of(b""), tmp_path / "model", size_bytes=0)
    assert (tmp_path / "model").read_bytes() == b""


@pytest.mark.parametrize(
    ("content", "size", "error"),
    [
        (MODEL[:-1] + b"!", len(MODEL), DigestError),
        (MODEL + b"!", len(MODEL), TooLargeError),
        (MODEL[:-1], len(MODEL), DigestError),
    ],
)
def test_a_blob_that_is_another_leaves_nothing_behind(channel, service, tmp_path, content, size, error):
    (service.directory / digest_of(MODEL)).write_bytes(content)
    directory = tmp_path / "silo"
    directory.mkdir()
    (directory / "model").write_bytes(b"before")
    with pytest.raises(error):
        channel.fetch_blob("r-1", digest_of(MODEL), directory / "model", size_bytes=size)
    assert [path.name for path in directory.iterdir()] == ["model"]
    assert (directory / "model").read_bytes() == b"before"


def test_a_blob_that_is_not_there_is_not_found(channel, tmp_path):
    with pytest.raises(NotFoundError):
        channel.fetch_blob("r-1", digest_of(b"other"), tmp_path / "model", size_bytes=5)
    assert not (tmp_path / "model").exists()


def test_a_call_is_held_until_there_is_something_to_say(channel, service):
    with ThreadPoolExecutor() as pool:
        held = pool.submit(channel.exchange, "r-1", Await())
        assert service.holding.acquire(timeout=5)
        assert not held.done()
        service.end()
        assert held.result(5) == End(Outcome.STOPPED, "by an operator")


def test_closing_ends_the_calls_that_are_held(channel, service):
    with ThreadPoolExecutor() as pool:
        held = [pool.submit(channel.exchange, "r-1", Await()), pool.submit(channel.poll, ["r-1"])]
        for _ in held:
            assert service.holding.acquire(timeout=5)
        channel.close()
        for call in held:
            with pytest.raises(ConnectionFailedError, match="was closed"):
                call.result(1)
    with pytest.raises(ConnectionFailedError, match="was closed"):
        channel.poll([])
    channel.close()


def test_several_threads_may_use_one_channel(channel):
    barrier = threading.Barrier(8)

    def talk(number: int) -> None:
        barrier.wait(5)
        for _ in range(10):
            assert channel.exchange("r-1", Join(PLAN.digest)) == Prepare(1, True)
            assert channel.exchange("r-1", Leave(f"{number}")) == Wait()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, range(8)))
