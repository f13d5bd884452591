"""Blobs from the coordinator over HTTPS: checked, kept when they are cut, and asked for from there on."""

import re
import threading

import pytest
from tests.adapters.channel.servers import MODEL

from septum.adapters.channel.blob_files import part_of
from septum.adapters.channel.transfers import MIN_PROGRESS_BYTES
from septum.errors import ConflictError, ConnectionFailedError, DigestError, ProtocolError
from septum.protocol.plan import digest_of

pytestmark = pytest.mark.served

BLOB = digest_of(MODEL)  # 2 MiB


@pytest.fixture
def target(tmp_path):
    """Where a model goes to, in a folder of its own."""
    (tmp_path / "silo").mkdir()
    return tmp_path / "silo" / "model"


def names(target):
    return [path.name for path in target.parent.iterdir()]


def cut_answer(came):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(MODEL)}\r\n\r\n".encode()
    return lambda handler: handler.raw(head + MODEL[:came])


def test_a_download_that_nothing_disturbs_is_one_request(connect, server, target):
    connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert [headers.get("Range") for headers in server.asked("GET")] == [None]
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (MODEL, 0o600)


@pytest.mark.parametrize("came", [MIN_PROGRESS_BYTES, len(MODEL) - 1])
def test_a_cut_download_goes_on_at_once_where_it_stopped(connect, server, target, came):
    server.scripts.append(cut_answer(came))
    connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert (target.read_bytes(), names(target)) == (MODEL, ["model"])
    assert [headers.get("Range") for headers in server.asked("GET")] == [None, f"bytes={came}-"]


def test_a_rest_that_comes_in_several_answers_is_asked_for_on_and_on(connect, server, target):
    server.range_bytes = 300_000
    server.scripts.append(cut_answer(MIN_PROGRESS_BYTES))
    connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert target.read_bytes() == MODEL
    assert len(server.asked("GET")) == 1 + 4


def test_a_download_that_does_not_move_on_is_an_error_and_the_next_call_goes_on(connect, server, target):
    server.scripts.append(cut_answer(1000))
    channel = connect()
    with pytest.raises(ConnectionFailedError, match=f"after 1000 of {len(MODEL)} bytes"):
        channel.fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert names(target) == [part_of(target, BLOB).name]
    channel.fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert (target.read_bytes(), names(target)) == (MODEL, ["model"])
    assert server.asked("GET")[-1]["Range"] == "bytes=1000-"


@pytest.mark.parametrize("came", [1000, len(MODEL)])
def test_another_process_goes_on_with_a_download(connect, server, target, came):
    part_of(target, BLOB).write_bytes(MODEL[:came])
    connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert (target.read_bytes(), names(target)) == (MODEL, ["model"])
    assert [headers.get("Range") for headers in server.asked("GET")] == ([] if came == len(MODEL) else ["bytes=1000-"])


@pytest.mark.parametrize("kept", [bytes(1000), MODEL + b"!", bytes(len(MODEL))], ids=["start", "longer", "whole"])
def test_what_was_kept_and_is_damaged_is_fetched_again(connect, server, target, kept):
    part_of(target, BLOB).write_bytes(kept)
    connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert (target.read_bytes(), names(target)) == (MODEL, ["model"])


def test_a_coordinator_that_knows_no_ranges_sends_it_whole(connect, server, target):
    server.ranges = False
    server.scripts.append(cut_answer(MIN_PROGRESS_BYTES))
    connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert target.read_bytes() == MODEL


@pytest.mark.parametrize(
    "rotten",
    [MODEL[:-1] + b"!", MODEL[:-1], MODEL[: len(MODEL) // 4]],
    ids=["one-byte", "a-byte-less", "most-is-gone"],
)
@pytest.mark.parametrize("cut", [False, True])
def test_a_rotten_blob_is_fetched_twice_then_an_error_that_says_what_where_and_what_to_do(
    connect, server, service, target, rotten, cut
):
    (service.directory / BLOB).write_bytes(rotten)
    if cut:
        server.scripts.append(cut_answer(MIN_PROGRESS_BYTES))
    with pytest.raises(DigestError, match="came damaged twice") as caught:
        connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    for word in (BLOB, "runs/r-1", f"localhost:{server.port}", "nothing of it was kept"):
        assert word in caught.value.message
    assert caught.value.hint.endswith("septum run show r-1")
    assert names(target) == []
    whole = [headers for headers in server.asked("GET") if "Range" not in headers]
    assert len(whole) == 2 + (cut and len(rotten) < MIN_PROGRESS_BYTES)


def test_a_blob_that_came_damaged_once_is_fetched_again(connect, server, target):
    server.scripts.append(lambda handler: handler.reply(200, MODEL[:-1] + b"!"))
    connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert (target.read_bytes(), names(target)) == (MODEL, ["model"])


@pytest.mark.parametrize("field", ["bytes 0-9/2097152", "bytes 1048577-9/2097152", "lines 1-2/3", ""])
def test_a_range_that_was_not_asked_for_is_refused(connect, server, target, field):
    server.scripts.extend(
        [cut_answer(MIN_PROGRESS_BYTES), lambda handler: handler.reply(206, MODEL[:10], Content_Range=field)]
    )
    with pytest.raises(ProtocolError, match=re.escape(repr(field))):
        connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    assert names(target) == []


def test_ranges_of_nothing_do_not_go_on_for_ever(connect, server, target):
    field = f"bytes {MIN_PROGRESS_BYTES}-{len(MODEL) - 1}/{len(MODEL)}"
    server.scripts.append(cut_answer(MIN_PROGRESS_BYTES))
    server.scripts.append(lambda handler: handler.reply(206, b"", Content_Range=field))
    with pytest.raises(ProtocolError, match="none came"):
        connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))


def test_two_processes_do_not_mix_their_bytes(connect, server, target):
    begun, go_on = threading.Event(), threading.Event()

    def slowly(handler):
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(MODEL)}\r\n\r\n".encode() + MODEL[:1000])
        begun.set()
        go_on.wait(10)
        handler.wfile.write(MODEL[1000:])

    server.scripts.append(slowly)
    first = threading.Thread(target=connect().fetch_blob, args=("r-1", BLOB, target), kwargs={"size_bytes": len(MODEL)})
    first.start()
    assert begun.wait(10)
    with pytest.raises(ConflictError, match="another process"):
        connect().fetch_blob("r-1", BLOB, target, size_bytes=len(MODEL))
    go_on.set()
    first.join()
