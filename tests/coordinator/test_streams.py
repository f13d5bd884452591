"""A stream ends when it has to, whatever the other side does, and gives back what it held."""

import asyncio
import json

import pytest
from tests.coordinator.running import Running
from tests.coordinator.support import plan_of, until
from tests.coordinator.test_hub import Growing, hubs_of

from septum.client import Client
from septum.coordinator import hub
from septum.coordinator.api import streams
from septum.coordinator.api.streams import EventStream
from septum.coordinator.seats import Seats

pytestmark = [pytest.mark.anyio, pytest.mark.served]


class Reader:
    """The other side of a response: it takes frames while it is `awake`."""

    def __init__(self) -> None:
        self.awake = asyncio.Event()
        self.awake.set()
        self.gone = asyncio.Event()
        self.got: list[dict[str, object]] = []
        self.sleeps_after = 1_000_000

    async def send(self, message: dict[str, object]) -> None:
        await self.awake.wait()
        self.got.append(message)
        if len(self.got) >= self.sleeps_after:
            self.awake.clear()

    async def receive(self) -> dict[str, object]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.got)


class Stream:
    """A stream of a growing list, and who reads it."""

    def __init__(self) -> None:
        self.growing, self.reader, self.seats, self.allowed = Growing(), Reader(), Seats(1), True
        self.hubs = hubs_of(self.growing)
        response = EventStream(lambda: self.hubs.watch("k"), lambda: self.seats.taken("ada"), self._may_go_on)
        self.answered = asyncio.ensure_future(response({}, self.reader.receive, self.reader.send))

    async def _may_go_on(self) -> bool:
        return self.allowed

    def add(self, count: int = 1) -> None:
        self.growing.add(count)
        self.hubs.wake("k")

    async def ended(self) -> None:
        await asyncio.wait_for(self.answered, 5)
        self.seats.need("ada")
        assert len(self.hubs) == 0


async def test_a_list_that_is_over_ends_the_response_as_http_has_it():
    stream = Stream()
    stream.add(2)
    stream.growing.ended = True
    await stream.ended()
    assert stream.reader.body == b"   1   2"
    assert stream.reader.got[-1]["more_body"] is False
    assert (b"content-type", b"text/event-stream; charset=utf-8") in stream.reader.got[0]["headers"]


async def test_who_goes_away_leaves_the_seat():
    stream = Stream()
    await until(lambda: stream.reader.got)
    stream.reader.gone.set()
    await stream.ended()


async def test_who_takes_nothing_is_cut_off_in_the_middle_of_a_frame(monkeypatch):
    monkeypatch.setattr(hub, "MAX_WAITING_BYTES", 39)
    stream = Stream()
    await until(lambda: stream.reader.got)
    stream.add()
    await until(lambda: stream.reader.body)
    stream.reader.awake.clear()
    for _ in range(12):
        stream.add()
        await asyncio.sleep(0.001)
    await stream.ended()


async def test_who_takes_nothing_for_long_is_cut_off_also_while_catching_up(monkeypatch):
    monkeypatch.setattr(streams, "STUCK_S", 0.05)
    stream = Stream()
    stream.growing.add(9)  # three pages
    stream.reader.sleeps_after = 2
    await stream.ended()
    assert stream.reader.body == b"   1   2   3"


async def test_silence_is_broken_now_and_then_and_it_is_asked_who_may_go_on(monkeypatch):
    monkeypatch.setattr(streams, "KEEPALIVE_S", 0.02)
    stream = Stream()
    await until(lambda: b": nothing new\n\n" in stream.reader.body)
    stream.allowed = False
    await stream.ended()


def test_a_person_watches_so_many_streams_and_no_more(tmp_path):
    coordinator = Running(tmp_path, streams_per_person=2)
    try:
        coordinator.enrolled("cleveland")
        with Client(coordinator.access) as client:
            run = client.submit(plan_of(("cleveland",)), key="k").id
        path, headers = f"/api/v1/runs/{run}/events", {"authorization": f"Bearer {coordinator.access.token}"}
        open_ones = [coordinator.connect() for _ in range(2)]
        for connection in open_ones:
            connection.request("GET", path, headers=headers)
            assert connection.getresponse().readline() == b"id: 1\n"
        refused = coordinator.ask("GET", path, headers=headers)
        assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (429, "rate_limited", "5")
        open_ones[0].close()
        again, status = coordinator.connect(), 429
        while status == 429:  # the coordinator hears a moment later that the other one has gone
            again.request("GET", path, headers=headers)
            answer = again.getresponse()
            status = answer.status
            first = answer.readline() if status == 200 else json.loads(answer.read())
        assert first == b"id: 1\n"
        for connection in (*open_ones, again):
            connection.close()
    finally:
        coordinator.stop()
