"""Blobs over real TLS: whole or from where they were cut, and never too much of them."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest
from tests.coordinator.running import (
    KEYS,
    NARROW,
    WIDE,
    Running,
    announced,
    begun,
    blob_path,
    exchange_path,
    next_seed,
    start_round_one,
)
from tests.coordinator.support import engine, plan_of, update, work
from tests.folders import files_in

from septum.client import Client
from septum.coordinator.asgi import SILENCE_S
from septum.coordinator.blob_api import UPLOADS_A_SILO
from septum.protocol import payload as payloads
from septum.protocol.codec import encode
from septum.protocol.messages import Blob, Report, Stage
from septum.protocol.plan import digest_of
from septum.protocol.run_state import Stop

pytestmark = pytest.mark.served

# --- blobs ---------------------------------------------------------------------------------------------------------


def spooled(coordinator, run):
    area = coordinator.config.data_dir / "blobs" / f"spool-{run}"
    return files_in(area)


def incoming(coordinator):
    """What is there of payloads that are not whole."""
    blobs = coordinator.config.data_dir / "blobs"
    return files_in(blobs / ".incoming", blobs / ".cut")


def until(condition):
    """Wait for what the coordinator does by itself."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 10 s")


def test_a_blob_declared_over_the_limit_is_refused_before_a_byte_is_read(coordinator, silos, round_one):
    run, path = round_one[0], blob_path(round_one[0], digest_of(b"x"))
    assert announced(silos[0], "PUT", path, 2**40).startswith(b"HTTP/1.1 413")
    assert not spooled(coordinator, run)


def test_an_undeclared_blob_over_the_limit_is_refused_while_it_arrives(coordinator, silos, round_one):
    path = blob_path(round_one[0], digest_of(b"x"))
    chunks = (bytes(65536) for _ in range(64))  # 4 MiB, the limit is 1
    try:
        status = silos[0].put(path, chunks, **{"Transfer-Encoding": "chunked"}).status
    except OSError:  # the server may close before it has read everything
        status = 413
    assert status == 413
    assert not spooled(coordinator, round_one[0])
    assert not incoming(coordinator)


DATA = bytes(range(256)) * 2048  # 512 KiB
HALF = len(DATA) // 2


def bytes_kept(coordinator, run):
    """Of the cut uploads of one run."""
    kept = (coordinator.config.data_dir / "blobs" / ".cut").glob(f"*{run}/*")
    return sum(path.stat().st_size for path in kept)


def uploads_path(run, digest):
    return f"/silo/v1/runs/{run}/uploads/{digest}"


def offset_of(silo, run, data):
    """How much of an upload the coordinator says it has, and whether that is all."""
    answer = silo.get(uploads_path(run, digest_of(data)))
    assert (answer.status, answer.body) == (200, b"{}")
    return int(answer.headers["upload-offset"]), answer.headers["upload-complete"]


def cut_upload(silo, run, data, came):
    """Send the first bytes of an upload and break the connection; return when the coordinator has noticed."""
    connection = begun(silo, "PUT", blob_path(run, digest_of(data)), len(data), None)
    connection.sendall(data[:came])
    socket.socket.shutdown(connection, socket.SHUT_WR)  # closed at once, what is on its way might be lost
    until(lambda: bytes_kept(silo.coordinator, run) == came)
    connection.close()


def put_rest(silo, run, data, start, **more):
    fields = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}", **more}
    return silo.put(blob_path(run, digest_of(data)), data[start:], **fields)


def test_a_cut_upload_goes_on_where_it_stopped(coordinator, silos, round_one):
    run = round_one[0]
    assert offset_of(silos[0], run, DATA) == (0, "?0")
    cut_upload(silos[0], run, DATA, HALF)
    assert offset_of(silos[0], run, DATA) == (HALF, "?0")
    assert not spooled(coordinator, run)
    assert put_rest(silos[0], run, DATA, HALF).status == 200
    assert [file.read_bytes() for file in spooled(coordinator, run)] == [DATA]
    assert not incoming(coordinator)
    assert offset_of(silos[0], run, DATA) == (len(DATA), "?1")


def test_a_cut_upload_may_be_sent_anew_as_silos_did_that_knew_no_ranges(coordinator, silos, round_one):
    run = round_one[0]
    cut_upload(silos[0], run, DATA, HALF)
    assert silos[0].put(blob_path(run, digest_of(DATA)), DATA).status == 200
    assert [file.read_bytes() for file in spooled(coordinator, run)] == [DATA]
    assert not incoming(coordinator)


@pytest.mark.parametrize("start", [1, HALF - 1, HALF + 1])
def test_another_offset_is_a_conflict_that_names_the_right_one(coordinator, silos, round_one, start):
    run = round_one[0]
    cut_upload(silos[0], run, DATA, HALF)
    answer = put_rest(silos[0], run, DATA, start)
    assert (answer.status, answer.error["code"], answer.headers["upload-offset"]) == (409, "conflict", str(HALF))
    assert str(HALF) in answer.error["message"]
    assert put_rest(silos[0], run, DATA, HALF).status == 200


def test_an_upload_that_lacks_only_its_end_is_completed_without_bytes(coordinator, silos, round_one):
    run = round_one[0]
    connection = begun(silos[0], "PUT", blob_path(run, digest_of(DATA)), len(DATA) + 1, None)
    connection.sendall(DATA)
    socket.socket.shutdown(connection, socket.SHUT_WR)
    until(lambda: bytes_kept(coordinator, run) == len(DATA))
    connection.close()
    assert offset_of(silos[0], run, DATA) == (len(DATA), "?0")
    fields = {"Content-Range": f"bytes */{len(DATA)}"}
    assert silos[0].put(blob_path(run, digest_of(DATA)), b"", **fields).status == 200
    assert [file.read_bytes() for file in spooled(coordinator, run)] == [DATA]


def test_a_newer_upload_of_the_same_blob_takes_the_place_of_one_that_hangs(coordinator, silos, round_one):
    run = round_one[0]
    hanging = begun(silos[0], "PUT", blob_path(run, digest_of(DATA)), len(DATA), None)
    hanging.sendall(DATA[:HALF])
    until(lambda: incoming(coordinator))
    before = time.monotonic()
    offset, _ = offset_of(silos[0], run, DATA)
    assert offset <= HALF
    assert put_rest(silos[0], run, DATA, offset).status == 200
    assert time.monotonic() - before < SILENCE_S / 2  # it waited for no silence
    assert [file.read_bytes() for file in spooled(coordinator, run)] == [DATA]
    assert b"took the place" in hanging.recv(65536)
    hanging.close()


def test_an_upload_of_a_silo_that_is_revoked_ends_at_once_and_leaves_nothing(coordinator):
    silo = coordinator.enrolled("aarau")
    run, _ = start_round_one([silo], plan_of(("aarau",), seed=next_seed()), next(KEYS), NARROW)
    with Client(coordinator.access) as client:
        slow = begun(silo, "PUT", blob_path(run, digest_of(DATA)), len(DATA), None)
        slow.sendall(DATA[:HALF])
        until(lambda: incoming(coordinator))
        started = time.monotonic()
        client.revoke("aarau")
        assert slow.recv(65536).startswith(b"HTTP/1.1 401")
        assert time.monotonic() - started < 5.0
        slow.close()
        assert not spooled(coordinator, run)
        client.stop(run)
    until(lambda: not incoming(coordinator))


def test_two_silos_uploads_of_one_blob_do_not_mix(coordinator, silos, round_one):
    run = round_one[0]
    cut_upload(silos[0], run, DATA, HALF)
    assert offset_of(silos[1], run, DATA) == (0, "?0")
    assert put_rest(silos[1], run, DATA, HALF).status == 409
    assert put_rest(silos[0], run, DATA, HALF).status == 200


@pytest.mark.parametrize(
    "field",
    ["bytes 5-9/20", "bytes 9-5/20", "bytes 20-19/20", "bytes 5-19/*", "items 5-19/20", "bytes 5-19/21", "5"],
)
def test_a_content_range_that_cannot_be_is_refused(silos, round_one, field):
    answer = silos[0].put(blob_path(round_one[0], digest_of(b"x" * 20)), b"x" * 15, **{"Content-Range": field})
    assert (answer.status, answer.error["code"]) == (400, "message")


def test_an_upload_whose_whole_is_over_the_limit_is_refused_whatever_its_rest(silos, round_one):
    answer = silos[0].put(
        blob_path(round_one[0], digest_of(b"x")), b"x", **{"Content-Range": f"bytes {2**20}-{2**20}/{2**20 + 1}"}
    )
    assert (answer.status, answer.error["code"]) == (413, "too_large")


def test_a_wrong_rest_is_refused_and_nothing_is_kept(coordinator, silos, round_one):
    run = round_one[0]
    cut_upload(silos[0], run, DATA, HALF)
    answer = silos[0].put(
        blob_path(run, digest_of(DATA)), bytes(HALF), **{"Content-Range": f"bytes {HALF}-{len(DATA) - 1}/{len(DATA)}"}
    )
    assert (answer.status, answer.error["code"]) == (422, "digest")
    assert offset_of(silos[0], run, DATA) == (0, "?0")
    assert not incoming(coordinator)


def test_what_is_kept_of_an_upload_goes_when_its_run_ends(coordinator, silos, round_one):
    run = round_one[0]
    cut_upload(silos[0], run, DATA, HALF)
    with Client(coordinator.access) as client:
        client.stop(run)
    until(lambda: not incoming(coordinator))
    assert silos[0].get(uploads_path(run, digest_of(DATA))).status == 409


def test_what_came_of_an_upload_outlives_the_coordinator(tmp_path):
    running = Running(tmp_path, max_blob_mb=1)
    try:
        names = ("cleveland", "hungary", "switzerland")
        silos = [running.enrolled(name) for name in names]
        run, _ = start_round_one(silos, plan_of(), "k", NARROW)
        cut_upload(silos[0], run, DATA, HALF)
        running.stop()
        running = Running(tmp_path, max_blob_mb=1)
        silo = replace(silos[0], coordinator=running)
        assert offset_of(silo, run, DATA) == (HALF, "?0")
        assert put_rest(silo, run, DATA, HALF).status == 200
        assert [file.read_bytes() for file in spooled(running, run)] == [DATA]
    finally:
        running.stop()


def test_how_much_is_here_is_told_to_the_runs_silos_alone(coordinator, silos, round_one):
    run, path = round_one[0], uploads_path(round_one[0], digest_of(DATA))
    assert coordinator.ask("GET", path).status == 401
    assert coordinator.enrolled(f"stranger-{next_seed()}").get(path).status == 409
    assert silos[0].get(uploads_path(run, "blake3:short")).status == 422


# --- models that are fetched in pieces ---


def model_of(silos):
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), WIDE)
    path = blob_path(run, told[0].model.digest)
    return path, silos[0].get(path).body


def ranged(silo, path, field):
    return silo.coordinator.ask("GET", path, None, {**silo.signed("GET", path), "Range": field})


def test_a_part_of_a_model_can_be_fetched(silos):
    path, model = model_of(silos)
    whole = silos[0].get(path)
    assert (whole.status, whole.headers["accept-ranges"]) == (200, "bytes")
    for field, start, stop in (("bytes=100-", 100, len(model)), ("bytes=0-0", 0, 1), ("bytes=5-99999999", 5, None)):
        answer = ranged(silos[0], path, field)
        assert (answer.status, answer.body) == (206, model[start:stop])
        last = start + len(answer.body) - 1
        assert answer.headers["content-range"] == f"bytes {start}-{last}/{len(model)}"


def test_of_a_range_an_answer_may_hold_the_first_part_only(silos, monkeypatch):
    monkeypatch.setattr("septum.coordinator.asgi.RANGE_BYTES", 100_000)
    path, model = model_of(silos)
    answer = ranged(silos[0], path, "bytes=10-")
    assert (answer.status, answer.body) == (206, model[10:100_010])
    assert answer.headers["content-range"] == f"bytes 10-100009/{len(model)}"


def test_a_range_behind_the_end_is_refused_with_the_size(silos):
    path, model = model_of(silos)
    answer = ranged(silos[0], path, f"bytes={len(model)}-")
    assert (answer.status, answer.error["code"]) == (416, "not_found")
    assert answer.headers["content-range"] == f"bytes */{len(model)}"


@pytest.mark.parametrize("field", ["bytes=-5", "bytes=1-2,5-6", "bytes=9-5", "items=1-2", "bytes=a-"])
def test_a_range_that_is_not_understood_is_ignored(silos, field):
    path, model = model_of(silos)
    answer = ranged(silos[0], path, field)
    assert (answer.status, answer.body) == (200, model)


def test_a_blob_of_another_digest_is_refused_and_not_kept(coordinator, silos, round_one):
    answer = silos[0].put(blob_path(round_one[0], digest_of(b"announced")), b"sent")
    assert (answer.status, answer.error["code"]) == (422, "digest")
    assert not spooled(coordinator, round_one[0])


def test_a_blob_path_that_is_no_digest_is_refused(silos, round_one):
    assert silos[0].put(blob_path(round_one[0], "..%2f..%2fetc"), b"sent").status in (404, 422)
    assert silos[0].put(blob_path(round_one[0], "blake3:short"), b"sent").status == 422


def test_a_large_wrong_payload_is_refused_like_a_small_one(silos):
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), WIDE)
    data = update(float("nan"), WIDE)
    assert silos[0].put(blob_path(run, digest_of(data)), data).status == 200
    report = replace(work(told[0], silos[0].name, WIDE)[0], payload=Blob(digest_of(data), len(data)))
    answer = silos[0].post(exchange_path(run), encode(report))
    assert (answer.status, "'update.w' holds nan" in answer.error["message"]) == (422, True)


def test_a_report_that_lies_about_its_size_is_refused(silos):
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), WIDE)
    report, data = work(told[0], silos[0].name, WIDE)
    assert silos[0].put(blob_path(run, report.payload.digest), data).status == 200
    lying = replace(report, payload=Blob(report.payload.digest, len(data) + 1))
    assert silos[0].post(exchange_path(run), encode(lying)).status == 400


def test_only_the_runs_newest_model_can_be_read(coordinator, silos, round_one):
    run, told = round_one
    stranger = coordinator.enrolled(f"stranger-{next_seed()}")
    assert silos[0].get(blob_path(run, digest_of(b"other"))).status == 404
    assert stranger.get(blob_path(run, told[0].model.digest)).status == 409


def test_an_ended_run_takes_no_blobs(coordinator, silos, round_one):
    with Client(coordinator.access) as client:
        client.stop(round_one[0])
    assert silos[0].put(blob_path(round_one[0], digest_of(b"x")), b"x").status == 409


def test_of_a_silos_payloads_that_no_report_refers_to_only_the_newest_are_kept(coordinator, silos, round_one):
    run, sent = round_one[0], [bytes([number]) * 100_000 for number in range(6)]
    for data in sent:
        assert silos[0].put(blob_path(run, digest_of(data)), data).status == 200
    assert silos[1].put(blob_path(run, digest_of(b"another silo's")), b"another silo's").status == 200
    until(lambda: len(spooled(coordinator, run)) == 3)
    assert {file.read_bytes() for file in spooled(coordinator, run)} == {*sent[-2:], b"another silo's"}


def test_a_report_whose_payload_was_replaced_by_newer_ones_is_asked_to_send_it(silos):
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), WIDE)
    report, data = work(told[0], silos[0].name, WIDE)
    for payload in (data, b"newer", b"newest"):
        assert silos[0].put(blob_path(run, digest_of(payload)), payload).status == 200
    assert silos[0].post(exchange_path(run), encode(report)).status == 404


def test_a_silos_slow_uploads_leave_room_for_others(coordinator, silos, round_one):
    run, sent = round_one[0], [bytes([number]) * 1000 for number in range(UPLOADS_A_SILO + 1)]
    paths = [blob_path(run, digest_of(data)) for data in sent]
    before = len(incoming(coordinator))
    slow = [begun(silos[0], "PUT", path, 1000, None) for path in paths[:-1]]
    until(lambda: len(incoming(coordinator)) == before + UPLOADS_A_SILO)
    answer = silos[0].put(paths[-1], sent[-1])
    assert (answer.status, answer.error["code"]) == (503, "connection")
    assert silos[1].put(paths[-1], sent[-1]).status == 200
    for connection in slow:
        connection.close()
    until(lambda: not incoming(coordinator))
    assert silos[0].put(paths[-1], sent[-1]).status == 200


def test_an_upload_that_ends_after_its_run_leaves_nothing(coordinator, silos, round_one):
    run, data = round_one[0], b"x" * 1000
    connection = begun(silos[0], "PUT", blob_path(run, digest_of(data)), len(data), None)
    until(lambda: incoming(coordinator))
    with Client(coordinator.access) as client:
        client.stop(run)
    until(lambda: not incoming(coordinator))  # the run's area was dropped
    connection.sendall(data)
    assert connection.recv(65536).startswith(b"HTTP/1.1 409")
    connection.close()
    until(lambda: not spooled(coordinator, run))
    assert not incoming(coordinator)


@pytest.mark.anyio
async def test_an_upload_that_begins_as_its_run_ends_and_is_cut_leaves_nothing():
    def cut():
        yield DATA[:HALF]
        raise ConnectionResetError

    async with engine() as e:
        run, _ = await e.start_round_one(plan_of())
        live, _ = await e.service.upload_to("hungary", run)
        await e.service.command(run, Stop("by an operator"))
        await e.driver.performer.settle()  # what it had is dropped
        with pytest.raises(ConnectionResetError):
            e.service.append_payload(live, "hungary", digest_of(DATA), cut(), 0)
        assert e.blobs.kept_bytes(live.spool.area, digest_of(DATA), sender="hungary") == HALF
        e.service.settle_upload(live)
        await e.driver.performer.settle()
        assert e.blobs.kept_bytes(live.spool.area, digest_of(DATA), sender="hungary") == 0


@pytest.mark.anyio
@pytest.mark.parametrize(("value", "size", "seen"), [(1.0, None, True), (1.0, 0, False), (float("nan"), None, False)])
async def test_numbers_that_were_finite_when_they_came_are_not_read_again_for_it(monkeypatch, value, size, seen):
    data = update(value)
    looked_at = []
    monkeypatch.setattr(payloads, "check_finite", lambda name, *_: looked_at.append(name))
    async with engine() as e:
        run, _ = await e.start_round_one(plan_of())
        live, mark = await e.service.upload_to("hungary", run)
        looked_at.clear()
        e.service.append_payload(live, "hungary", digest_of(data), iter([data]), 0, len(data) if size is None else size)
        e.service.uploaded(live, "hungary", digest_of(data), mark)
        assert (live.spool.finite_from(digest_of(data)) is not None) == seen
        report = Report(Stage.TRAIN, 1, 1, live.run.model.digest, Blob(digest_of(data), len(data)), 10)
        e.service._check_file(live, live.run, "hungary", report)
        assert (looked_at == []) == seen
        live.spool.lost([digest_of(data)])  # a file that changed since is looked at
        assert live.spool.finite_from(digest_of(data)) is None
