"""The coordinator's own lines about a run stand in its log beside those of the silos: a few kinds, and no others."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import pytest
from tests.coordinator.running import KEYS, NARROW, Running, finish, start_round_one
from tests.coordinator.support import engine, plan_of, telling_of

from septum.client import Client
from septum.coordinator import own_lines
from septum.coordinator.logs import BURST_LINES
from septum.coordinator.own_lines import LOGGER
from septum.protocol.log_lines import LogFilter, LogLevel, LogOrigin

OWN = LogFilter(origin=LogOrigin.COORDINATOR)
log = logging.getLogger(f"{LOGGER}.trial")


@pytest.mark.served
def test_who_follows_a_run_reads_when_the_coordinator_combined_what(tmp_path, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    running = Running(tmp_path)
    try:
        silos = [running.enrolled(name) for name in ("cleveland", "hungary", "switzerland")]
        run, told = start_round_one(silos, plan_of(), next(KEYS), NARROW)
        with Client(running.access) as client:
            seen = []
            reader = threading.Thread(target=lambda: seen.extend(client.logs.follow(run, OWN)))
            reader.start()
            finish(silos, run, told, NARROW)
            reader.join(20)
            assert [line.seq for line in client.logs.page(run, OWN)] == [line.seq for line in seen]
            assert client.logs.page(run, LogFilter(silo="hungary")) == ()
    finally:
        running.stop()
    assert {(line.silo, line.level, line.origin) for line in seen} == {("", LogLevel.INFO, LogOrigin.COORDINATOR)}
    combined = [(line.round, line.text.partition(" seconds=")[0]) for line in seen]
    assert combined == [
        (0, "combined stage=prepare round=0 attempt=1 silos=3"),
        (1, "combined stage=train round=1 attempt=1 silos=3"),
        (2, "combined stage=train round=2 attempt=1 silos=3"),
        (2, "combined stage=evaluate round=2 attempt=1 silos=3"),
    ]


async def told(logs, run):
    """What there is once all of it is written."""
    await asyncio.sleep(0)
    while logs._writing is not None and not logs._writing.done():
        await logs._writing
    return await logs.page(run, OWN, limit=10_000)


@pytest.mark.anyio
async def test_only_listed_events_with_listed_fields_are_shown_and_of_this_coordinators_runs(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    async with engine() as e:
        logs, _ = telling_of(e)
        logs.start()
        run = (await e.service.submit(plan_of(), "k")).id
        log.error("event_refused", extra={"run_id": run, "round": 3, "error": "x" * 9000, "path": "/srv"})
        log.warning("signed_in", extra={"run_id": run, "person": "ada"})
        log.warning("upload_not_stored", extra={"run_id": run, "error": "no space left at /srv/septum", "hint": "df"})
        log.info("combined", extra={"run_id": "r-another", "round": 1})
        log.info("combined", extra={"round": 1})
        lines = await told(logs, run)
        await logs.close()
    assert [(line.level, line.round, line.text[:40]) for line in lines] == [
        (LogLevel.ERROR, 3, f"event_refused error={'x' * 20}"),
        (LogLevel.WARNING, 0, "upload_not_stored"),
    ]
    assert "are told)" in lines[0].text
    assert "/srv" not in "".join(line.text for line in lines)


def test_every_listed_event_is_one_that_the_coordinator_logs():
    folder = Path(own_lines.__file__).parent
    source = "".join(path.read_text() for path in folder.rglob("*.py") if path.name != "own_lines.py")
    assert [event for event in own_lines.SHOWN if f'"{event}"' not in source] == []


@pytest.mark.anyio
async def test_lines_beyond_the_bound_are_counted_and_said_to_be_missing(caplog):
    caplog.set_level(logging.INFO, LOGGER)
    async with engine() as e:
        logs, _ = telling_of(e)
        logs.start()
        run = (await e.service.submit(plan_of(), "k")).id
        for _ in range(int(BURST_LINES) + 7):
            log.info("combined", extra={"run_id": run})
        await told(logs, run)
        e.clock.advance(60.0)
        log.info("combined", extra={"run_id": run, "round": 9})
        lines = await told(logs, run)
        await logs.close()
    assert [line.text for line in lines[-2:]] == ["7 lines of the coordinator are missing here", "combined round=9"]
    assert len(lines) == int(BURST_LINES) + 2
