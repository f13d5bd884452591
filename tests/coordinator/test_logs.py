"""Logs of runs over TLS: told by silos that are part of them, bounded, and read by those who may, live and after."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
from tests.coordinator.running import KEYS, NARROW, Running, exchange_path, finish, next_seed, start_round_one
from tests.coordinator.support import engine, plan_of, telling_of
from tests.coordinator.visitors import operator, person

from septum.client import Client
from septum.coordinator.logs import BURST_LINES, LINES_A_SECOND
from septum.errors import ProtocolError, RateLimitedError
from septum.protocol.codec import encode
from septum.protocol.log_lines import LogBatch, LogFilter, LogLevel, LogLine, LogOrigin
from septum.protocol.messages import Await
from septum.protocol.plan import Masking
from septum.protocol.privacy import Privacy
from septum.testing.contracts.telemetry import NOW, batch

pytestmark = pytest.mark.served

STREAM = "ab" * 8


def told(silo, run, first, *texts, **more):
    answer = silo.post(f"/silo/v1/runs/{run}/logs", encode(batch(first, *texts, stream=STREAM, **more)))
    assert answer.status == 200, answer.body
    return answer


def texts_of(coordinator, run, **wanted):
    with Client(coordinator.access) as client:
        return [line.text for line in client.logs.page(run, LogFilter(**wanted))]


def test_what_silos_tell_of_a_run_is_read_by_silo_level_round_and_text(coordinator, silos, round_one):
    run, _ = round_one
    told(silos[0], run, 0, "joined", "working stage=train round=1 attempt=1", round=1)
    told(silos[1], run, 0, "ValueError: no", level=LogLevel.ERROR, origin=LogOrigin.APP, round=1)
    with Client(coordinator.access) as client:
        lines = client.logs.page(run)
    assert [(line.silo, line.text) for line in lines] == [
        ("cleveland", "joined"),
        ("cleveland", "working stage=train round=1 attempt=1"),
        ("hungary", "ValueError: no"),
    ]
    assert texts_of(coordinator, run, silo="hungary") == ["ValueError: no"]
    assert texts_of(coordinator, run, level=LogLevel.ERROR, origin=LogOrigin.APP, round=1) == ["ValueError: no"]
    assert texts_of(coordinator, run, text="STAGE=TRAIN") == ["working stage=train round=1 attempt=1"]
    assert texts_of(coordinator, run, round=7) == []


def test_a_batch_that_is_sent_again_is_there_once(coordinator, silos, round_one):
    run, _ = round_one
    told(silos[0], run, 0, "once")
    told(silos[0], run, 0, "once")
    assert texts_of(coordinator, run) == ["once"]


def test_who_follows_gets_each_line_as_it_comes_until_the_run_has_ended(coordinator, silos):
    run, instructions = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), NARROW)
    told(silos[0], run, 0, "before")
    seen, ready = [], threading.Event()

    def follow():
        with Client(coordinator.access) as client:
            for line in client.logs.follow(run):
                seen.append(line.text)
                ready.set()

    reader = threading.Thread(target=follow)
    reader.start()
    assert ready.wait(10)
    told(silos[1], run, 0, "while")
    finish(silos, run, instructions, NARROW)
    reader.join(1.0)
    assert reader.is_alive()  # an agent may have lines that it has not told
    told(silos[2], run, 0, "after the end")
    reader.join(20)
    assert not reader.is_alive()
    assert seen == ["before", "while", "after the end"]
    with Client(coordinator.access) as client:
        assert [line.text for line in client.logs.follow(run, LogFilter(silo="hungary"))] == ["while"]
        last = client.logs.page(run)[0].seq
        assert [line.text for line in client.logs.follow(run, after=last)] == ["while", "after the end"]


def test_lines_outlive_the_coordinator_and_numbers_go_on(tmp_path):
    running = Running(tmp_path)
    try:
        silos = [running.enrolled(name) for name in ("cleveland", "hungary", "switzerland")]
        run, _ = start_round_one(silos, plan_of(), "outlives", NARROW)
        told(silos[0], run, 0, "first", "second")
        running.stop()
        running = Running(tmp_path)
        again = [replace(silo, coordinator=running) for silo in silos]
        told(again[0], run, 1, "second", "third")
        assert texts_of(running, run) == ["first", "second", "third"]
    finally:
        running.stop()


# --- who may read ---------------------------------------------------------------------------------------------------


def test_a_viewer_sees_a_run_and_not_its_log_and_another_organisations_researcher_neither(
    coordinator, silos, round_one
):
    run, _ = round_one
    told(silos[0], run, 0, "joined")
    viewer, auditor = person(coordinator, "vic", "viewer"), person(coordinator, "aud", "auditor")
    assert viewer.ask("GET", f"/runs/{run}").status == 200
    assert viewer.ask("GET", f"/runs/{run}/logs").status == 403
    assert viewer.ask("GET", f"/runs/{run}/logs/stream").status == 403
    assert json.loads(auditor.ask("GET", f"/runs/{run}/logs").body)["items"][0]["text"] == "joined"
    operator(coordinator).told("POST", "/organisations", {"name": "elsewhere", "title": "Elsewhere"})
    other = person(coordinator, "eve", "researcher@elsewhere", organisation="elsewhere")
    assert other.ask("GET", f"/runs/{run}/logs").status == 404
    assert coordinator.ask("GET", f"/api/v1/runs/{run}/logs").status == 401


def test_an_unknown_run_and_wrong_parameters_are_errors(coordinator, round_one):
    run, _ = round_one
    asks = operator(coordinator)
    assert asks.ask("GET", "/runs/r-nothing/logs").status == 404
    assert asks.ask("GET", "/runs/r-nothing/logs/stream").status == 404
    for wrong in (
        "limit=0",
        "limit=1001",
        "level=loud",
        "origin=nobody",
        "round=-1",
        "since=nan",
        "since=-1",
    ):
        assert asks.ask("GET", f"/runs/{run}/logs?{wrong}").status == 422, wrong
    assert asks.ask("GET", f"/runs/{run}/logs?after=x").status == 400


# --- silos that lie -------------------------------------------------------------------------------------------------


def changed(body: bytes, **fields: object) -> bytes:
    """A batch whose first line has other fields."""
    message = json.loads(body)
    message["lines"][0].update(fields)
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        encode(Await()),
        changed(encode(batch(0, "x")), at=-1.0),
        encode(batch(0, "x")).replace(b"1800000000.0", b"NaN"),
        encode(batch(0, "x")).replace(b"1800000000.0", b"1e999"),
        changed(encode(batch(0, "x")), at=1e15),
        changed(encode(batch(0, "x")), level="loud"),
        changed(encode(batch(0, "x")), origin="coordinator"),
        changed(encode(batch(0, "x")), round=-3),
        changed(encode(batch(0, "x")), text="y" * 2_001),
        changed(encode(batch(0, "x")), silo="hungary"),
        encode(batch(0, "x")).replace(b'"first":0', b'"first":-1'),
        encode(batch(0, "x")).replace(b"0000000000000000", b"../../etc/passwd"),
        encode(batch(0, *["z"] * 100)).replace(
            b'"lines":[', b'"lines":[' + json.dumps(json.loads(encode(batch(0, "z")))["lines"][0]).encode() + b","
        ),
    ],
)
def test_what_is_no_batch_of_lines_is_refused_and_nothing_of_it_kept(coordinator, silos, round_one, body):
    run, _ = round_one
    assert silos[0].post(f"/silo/v1/runs/{run}/logs", body).status == 400
    assert texts_of(coordinator, run) == []


def test_a_silo_tells_of_its_own_runs_alone_and_with_its_own_signature(coordinator, silos, round_one):
    run, _ = round_one
    stranger = coordinator.enrolled("stranger")
    body = encode(batch(0, "x"))
    assert stranger.post(f"/silo/v1/runs/{run}/logs", body).status == 409
    assert silos[0].post("/silo/v1/runs/r-nothing/logs", body).status == 404
    assert silos[0].post("/silo/v1/runs/..%2f..%2fsystem/logs", body).status in (401, 404)
    assert coordinator.ask("POST", f"/silo/v1/runs/{run}/logs", body).status == 401
    signed = silos[0].signed("POST", f"/silo/v1/runs/{run}/logs", body)
    assert coordinator.ask("POST", f"/silo/v1/runs/{run}/logs", body + b" ", signed).status == 422
    assert texts_of(coordinator, run) == []


def test_times_of_the_future_are_shown_as_when_they_came(coordinator, silos, round_one):
    run, _ = round_one
    told(silos[0], run, 0, "from the year 2100", at=4_102_444_800.0)
    with Client(coordinator.access) as client:
        (line,) = client.logs.page(run)
    assert line.at < 4_000_000_000.0


def test_a_log_does_not_hold_up_a_run(coordinator, silos, round_one):
    """The run goes on, whatever was told of it."""
    run, instructions = round_one
    for number in range(20):
        told(silos[0], run, 100 * number, *["x" * 1_000] * 100)
    finish(silos, run, instructions, NARROW)
    with Client(coordinator.access) as client:
        assert client.run(run).status.ended
    assert silos[0].post(exchange_path(run), encode(Await())).status == 200


def test_nothing_that_a_silo_tells_is_in_the_coordinators_own_log(tmp_path, caplog):
    record = "Jane Doe, 63, 145"
    with caplog.at_level("DEBUG"):
        running = Running(tmp_path)
        try:
            silos = [running.enrolled(name) for name in ("cleveland", "hungary", "switzerland")]
            run, _ = start_round_one(silos, plan_of(), "quiet", NARROW)
            told(silos[0], run, 0, record)
            path = f"/silo/v1/runs/{run}/logs"
            too_long = changed(encode(batch(1, "x")), text=record * 200)
            assert silos[0].post(path, too_long).status == 400
            assert texts_of(running, run, origin=LogOrigin.AGENT) == [record]
        finally:
            running.stop()
    said = "\n".join(str(vars(entry)) for entry in caplog.records)
    assert "silo_enrolled" in said
    assert "Jane Doe" not in said


@pytest.mark.anyio
async def test_a_silo_that_floods_is_refused_and_another_one_is_not():
    async with engine() as e:
        logs, _ = telling_of(e)
        run = (await e.service.submit(plan_of(), "k")).id
        taken = int(BURST_LINES)
        for first in range(0, taken, 100):
            await logs.take("hungary", run, batch(first, *["x"] * 100, stream=STREAM))
        with pytest.raises(RateLimitedError, match="too many lines of logs") as caught:
            await logs.take("hungary", run, batch(taken, *["x"] * 100, stream=STREAM))
        assert caught.value.retry_after_s == pytest.approx(100 / LINES_A_SECOND)
        await logs.take("cleveland", run, batch(0, "x"))
        e.clock.advance(1.0)
        await logs.take("hungary", run, batch(taken, *["x"] * 100, stream=STREAM))
        await logs.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "protected", [{"masking": Masking(), "quorum": 3}, {"privacy": Privacy(5.0)}], ids=["masked", "private"]
)
async def test_no_line_of_an_app_is_taken_of_a_run_that_is_masked_or_private(protected):
    async with engine() as e:
        logs, _ = telling_of(e)
        run = (await e.service.submit(plan_of(**protected), "k")).id
        lines = (
            LogLine(NOW, LogLevel.INFO, LogOrigin.AGENT, "joined"),
            LogLine(NOW, LogLevel.INFO, LogOrigin.APP, "a record: 63,1,145"),
        )
        with pytest.raises(ProtocolError, match="masked or private"):
            await logs.take("hungary", run, LogBatch(STREAM, 0, lines))
        assert await logs.page(run, LogFilter(), limit=9) == ()
        await logs.take("hungary", run, LogBatch(STREAM, 0, lines[:1]))
        assert [line.text for line in await logs.page(run, LogFilter(), limit=9)] == ["joined"]
        await logs.close()
