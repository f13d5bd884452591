"""Blobs over HTTPS: in pieces, checked, and not twice for a cut."""

import os
import random
import threading
import tracemalloc

import pytest
from tests.adapters.channel.servers import MODEL

from septum.adapters.channel.transfers import MIN_PROGRESS_BYTES
from septum.adapters.channel.wire_errors import error_body
from septum.errors import (
    ConflictError,
    ConnectionFailedError,
    DigestError,
    NotFoundError,
    SeptumError,
    TooLargeError,
)
from septum.protocol.messages import Leave, Wait
from septum.protocol.plan import digest_of

pytestmark = pytest.mark.served

LEAVE = Leave("bye")
BLOB = digest_of(MODEL)  # 2 MiB
DATA = random.Random(7).randbytes(5_000_000)
HALF = len(DATA) // 2


@pytest.fixture
def payload(tmp_path):
    """A file that was written after every channel of the test was made: as a silo's payload is."""
    path = tmp_path / "payload"
    path.write_bytes(DATA)
    later(path)
    return path


def later(path, seconds=3600):
    moment = path.stat().st_mtime + seconds
    os.utime(path, (moment, moment))


# --- uploads ---


def test_an_upload_that_nothing_disturbs_is_one_request(connect, server, service, payload):
    connect().send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA
    assert [method for method, _, _ in server.requests] == ["PUT"]
    assert "Content-Range" not in server.requests[0][2]


def test_a_cut_upload_goes_on_at_once_where_it_stopped(connect, server, service, payload):
    server.cuts.append(HALF)
    connect().send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA
    (first, second) = server.asked("PUT")
    assert "Content-Range" not in first
    assert second["Content-Range"] == f"bytes {HALF}-{len(DATA) - 1}/{len(DATA)}"
    assert second["Content-Length"] == str(len(DATA) - HALF)


def test_it_is_the_same_on_a_connection_that_was_used_before(connect, server, service, payload):
    channel = connect()
    channel.exchange("r-1", LEAVE)
    server.cuts.append(HALF)
    channel.send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA
    assert [headers["Content-Length"] for headers in server.asked("PUT")] == [str(len(DATA)), str(len(DATA) - HALF)]


def test_an_upload_that_is_cut_again_and_again_gets_through_while_it_moves_on(connect, server, service, payload):
    server.cuts.extend([MIN_PROGRESS_BYTES] * 4)
    connect().send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA
    assert sum(int(headers["Content-Length"]) for headers in server.asked("PUT")) > len(DATA)
    assert len(server.asked("PUT")) == 5


def test_an_upload_that_does_not_move_on_is_an_error_and_the_next_call_goes_on(connect, server, service, payload):
    server.cuts.append(MIN_PROGRESS_BYTES - 1)
    channel = connect()
    with pytest.raises(ConnectionFailedError):
        channel.send_blob("r-1", digest_of(DATA), payload)
    assert len(server.asked("PUT")) == 1
    channel.send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA
    assert server.asked("PUT")[1]["Content-Range"].startswith(f"bytes {MIN_PROGRESS_BYTES - 1}-")


def test_a_small_upload_gets_through_piece_by_piece_too(connect, server, service, payload):
    small = DATA[:200_000]
    payload.write_bytes(small)
    later(payload)
    server.cuts.extend([40_000] * 4)
    channel = connect()
    while True:
        try:
            channel.send_blob("r-1", digest_of(small), payload)
        except ConnectionFailedError:
            continue
        break
    assert (service.directory / digest_of(small)).read_bytes() == small
    assert [int(headers["Content-Length"]) for headers in server.asked("PUT")] == [
        200_000,
        160_000,
        120_000,
        80_000,
        40_000,
    ]


def test_another_process_goes_on_with_an_upload(connect, server, service, payload):
    later(payload, -7200)  # older than the channel
    server.came[digest_of(DATA)] = DATA[:HALF]
    connect().send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA
    assert [headers["Content-Length"] for headers in server.asked("PUT")] == [str(len(DATA) - HALF)]


def test_what_has_arrived_whole_is_not_sent_again(connect, server, service, payload):
    channel = connect()
    for _ in range(3):
        channel.send_blob("r-1", digest_of(DATA), payload)
    assert len(server.asked("PUT")) == 1
    assert len(server.asked("GET", "uploads")) == 2


def test_an_upload_of_which_all_has_come_but_the_end_is_completed(connect, server, service, payload):
    server.cuts.append(len(DATA))
    connect().send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA
    last = server.asked("PUT")[-1]
    assert (last["Content-Range"], last["Content-Length"]) == (f"bytes */{len(DATA)}", "0")


def test_a_coordinator_that_kept_damaged_bytes_gets_all_of_them_once_more(connect, server, service, payload):
    server.cuts.append(HALF)
    server.scripts.append(
        lambda handler: (handler.server.came.update({digest_of(DATA): bytes(HALF)}), cut_off(handler))
    )
    channel = connect()
    with pytest.raises(ConnectionFailedError):
        channel.send_blob("r-1", digest_of(DATA), payload)
    channel.send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA
    assert ["Content-Range" in headers for headers in server.asked("PUT")] == [False, True, False]


def cut_off(handler):
    handler.raw(b"")


def test_wrong_bytes_from_the_start_are_an_error_at_once(connect, server, payload):
    with pytest.raises(DigestError):
        connect().send_blob("r-1", digest_of(b"other"), payload)
    assert len(server.asked("PUT")) == 1


def test_a_coordinator_that_does_not_know_how_much_came_gets_it_whole(connect, server, service, payload):
    later(payload, -7200)
    missing = error_body(NotFoundError("there is no GET here"))
    server.scripts.append(lambda handler: handler.reply(404, missing))
    connect().send_blob("r-1", digest_of(DATA), payload)
    assert (service.directory / digest_of(DATA)).read_bytes() == DATA


def test_an_upload_that_is_refused_early_says_why(connect, server, payload):
    payload.write_bytes(b"z" * 50_000_000)
    later(payload)

    def refuse(handler):
        handler.rfile.read(100_000)
        handler.reply(413, error_body(TooLargeError("at most 1000 bytes")))
        handler.wfile.flush()
        handler.connection.setblocking(True)
        while handler.rfile.read1(1_000_000):  # a server that drains, as proxies do
            pass

    server.scripts.append(refuse)
    channel = connect()
    with pytest.raises(TooLargeError, match="at most 1000 bytes"):
        channel.send_blob("r-1", digest_of(b"z"), payload)


def test_an_upload_that_is_cut_at_once_is_a_connection_error(connect, server, payload):
    server.scripts.append(lambda handler: (handler.rfile.read(100_000), handler.raw(b"")))
    with pytest.raises(ConnectionFailedError):
        connect().send_blob("r-1", digest_of(DATA), payload)


def test_an_upload_that_nobody_takes_is_given_up(connect, server, payload):
    payload.write_bytes(b"z" * 50_000_000)
    later(payload)
    channel = connect(answer_timeout_s=0.2)
    channel.exchange("r-1", LEAVE)
    given_up = threading.Event()
    server.scripts.append(lambda _: given_up.wait(10))
    try:
        with pytest.raises(ConnectionFailedError, match="does not take what is sent: timed out"):
            channel.send_blob("r-1", digest_of(b"z"), payload)
    finally:
        given_up.set()
    assert len(server.asked("PUT")) == 1


def test_a_conflict_that_nothing_solves_is_an_error(connect, server, payload):
    refusal = error_body(ConflictError("the area was dropped"))
    server.scripts.append(lambda handler: (handler.rfile.read(len(DATA)), handler.reply(409, refusal)))
    with pytest.raises(ConflictError, match="dropped"):
        connect().send_blob("r-1", digest_of(DATA), payload)


def test_a_file_that_shrinks_while_it_is_sent_spoils_no_later_request(connect, server, tmp_path, monkeypatch):
    path = tmp_path / "payload"
    path.write_bytes(b"z" * 3_000_000)
    monkeypatch.setattr("septum.adapters.channel.transfers.size_of", lambda _: 4_000_000)
    channel = connect()
    channel.exchange("r-1", LEAVE)
    with pytest.raises(SeptumError, match="changed while it was sent: 3000000 of 4000000"):
        channel.send_blob("r-1", digest_of(path.read_bytes()), path)
    assert channel.exchange("r-1", LEAVE) == Wait()


# --- both ways ---


def test_a_stale_connection_is_replaced_for_blobs_too(connect, server, payload, tmp_path):
    channel = connect()
    channel.exchange("r-1", LEAVE)
    server.hang_up()
    channel.send_blob("r-1", digest_of(DATA), payload)
    server.hang_up()
    channel.fetch_blob("r-1", BLOB, tmp_path / "model", size_bytes=len(MODEL))
    assert (tmp_path / "model").read_bytes() == MODEL


def test_a_missing_file_or_directory_is_named(connect, tmp_path):
    with pytest.raises(SeptumError, match=r"cannot read .*payload: No such file"):
        connect().send_blob("r-1", BLOB, tmp_path / "payload")
    with pytest.raises(SeptumError, match=r"cannot write .*model: No such file"):
        connect().fetch_blob("r-1", BLOB, tmp_path / "away" / "model", size_bytes=len(MODEL))


@pytest.mark.parametrize("cut", [False, True])
def test_memory_does_not_grow_with_a_blob(connect, server, tmp_path, cut):
    size = 40_000_000
    data = random.Random(1).randbytes(size)
    (tmp_path / "payload").write_bytes(data)
    later(tmp_path / "payload")
    digest = digest_of(data)

    def drain(handler, stop=size):
        left = stop
        while left:
            left -= len(handler.rfile.read1(min(left, 1_000_000)))
        handler.raw(b"") if stop < size else handler.reply(200, b"")

    def tell(handler):
        handler.reply(200, b"{}", Upload_Offset=str(size // 2), Upload_Complete="?0")

    def drain_rest(handler):
        drain(handler, size // 2 - 1)
        handler.rfile.read(1)
        handler.reply(200, b"")

    def serve(handler, start=0, stop=size):
        place = f"Content-Range: bytes {start}-{size - 1}/{size}\r\n" if start else ""
        handler.wfile.write(
            f"HTTP/1.1 {206 if start else 200} OK\r\nContent-Length: {size - start}\r\n{place}\r\n".encode()
        )
        for at in range(start, stop, 1_000_000):
            handler.wfile.write(memoryview(data)[at : at + 1_000_000])
        handler.close_connection = stop < size

    if cut:
        server.scripts.extend([lambda handler: drain(handler, size // 2), tell, drain_rest])
        server.scripts.extend([lambda handler: serve(handler, 0, size // 2), lambda handler: serve(handler, size // 2)])
    else:
        server.scripts.extend([drain, serve])
    channel = connect()
    tracemalloc.start()
    try:
        channel.send_blob("r-1", digest, tmp_path / "payload")
        channel.fetch_blob("r-1", digest, tmp_path / "model", size_bytes=size)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not server.scripts
    assert (tmp_path / "model").read_bytes() == data
    assert peak < 10_000_000  # the test server's buffers included
