"""Reading and answering requests without a framework: limits, cuts, back-pressure, clients that go away."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.support import NO_ROSTERS, apps_of, engine, feed_of, fleet_of, registered_of, telling_of, until

from septum.adapters.identity.http_signatures import Ed25519Signer, content_digest
from septum.adapters.identity.keys import public_bytes
from septum.coordinator.asgi import (
    FILE_CHUNK_BYTES,
    RANGE_BYTES,
    body_of,
    declared_size,
    headers_of,
    send_file,
    target_of,
)
from septum.coordinator.driver import Pace
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.ranges import Span
from septum.coordinator.silo_api import SiloApi, SiloApiParts
from septum.coordinator.silos import Silos
from septum.errors import ConnectionFailedError, TooLargeError
from septum.protocol.codec import encode
from septum.protocol.messages import Poll
from septum.testing.fakes import MemoryRegistry

pytestmark = pytest.mark.anyio


def receiving(*messages):
    queue = list(messages)

    async def receive():
        if not queue:
            await asyncio.Event().wait()
        return queue.pop(0)

    return receive


def chunk(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_arrives_whole():
    assert await body_of(receiving(chunk(b"ab"), chunk(b""), chunk(b"c", more=False)), 3) == b"abc"


async def test_a_body_over_the_limit_is_refused_before_the_rest_is_asked_for():
    with pytest.raises(TooLargeError, match="more than 3 bytes"):
        await body_of(receiving(chunk(b"abcd")), 3)


async def test_a_cut_body_is_an_error():
    with pytest.raises(ConnectionFailedError, match="cut"):
        await body_of(receiving(chunk(b"ab"), {"type": "http.disconnect"}), 3)


def test_a_declared_size_over_the_limit_is_refused():
    assert declared_size({"content-length": "3"}, 3, "a blob") == 3
    assert declared_size({}, 3, "a blob") is None
    with pytest.raises(TooLargeError, match="a blob of 4 bytes is over the limit of 3"):
        declared_size({"content-length": "4"}, 3, "a blob")


def test_headers_of_one_name_are_joined_and_the_target_keeps_its_query():
    scope = {"headers": [(b"A", b"1"), (b"a", b"2")], "path": "/x y", "raw_path": b"/x%20y", "query_string": b"q=1"}
    assert headers_of(scope) == {"a": "1, 2"}
    assert target_of(scope) == "/x%20y?q=1"


@pytest.mark.parametrize("extensions", [{}, {"http.response.pathsend": {}}])
async def test_a_file_is_sent_whole_with_and_without_the_servers_help(tmp_path, extensions):
    path, sent = tmp_path / "model", []
    path.write_bytes(b"x" * 3_000_000)

    async def send(message):
        sent.append(message)

    await send_file({"extensions": extensions}, send, path, 3_000_000)
    assert sent[0]["status"] == 200
    if extensions:
        assert sent[1:] == [{"type": "http.response.pathsend", "path": str(path)}]
    else:
        assert b"".join(message["body"] for message in sent[1:]) == path.read_bytes()


@pytest.mark.parametrize("extensions", [{}, {"http.response.pathsend": {}}])
async def test_a_part_of_a_file_is_sent_in_small_chunks_and_with_back_pressure(tmp_path, extensions):
    path, sent, data = tmp_path / "model", [], bytes(range(256)) * 12_000
    path.write_bytes(data)

    async def send(message):
        sent.append(message)

    await send_file({"extensions": extensions}, send, path, len(data), Span(1000, 2_000_000, len(data)))
    assert sent[0]["status"] == 206
    fields = dict(sent[0]["headers"])
    assert fields[b"content-range"] == b"bytes 1000-1999999/3072000"
    assert fields[b"content-length"] == b"1999000"
    assert b"".join(message["body"] for message in sent[1:]) == data[1000:2_000_000]
    assert max(len(message["body"]) for message in sent[1:]) == FILE_CHUNK_BYTES


async def test_a_large_part_of_a_file_is_sent_up_to_a_bound(tmp_path):
    path, sent = tmp_path / "model", []
    with path.open("wb") as file:
        file.truncate(10 * RANGE_BYTES)

    async def send(message):
        sent.append(message)

    await send_file({}, send, path, 10 * RANGE_BYTES, Span(5, 10 * RANGE_BYTES, 10 * RANGE_BYTES))
    assert sum(len(message["body"]) for message in sent[1:]) == RANGE_BYTES
    fields = dict(sent[0]["headers"])
    assert fields[b"content-range"] == f"bytes 5-{RANGE_BYTES + 4}/{10 * RANGE_BYTES}".encode()


async def test_a_client_that_goes_away_frees_what_was_held_for_it():
    async with engine(pace=Pace(hold_s=60.0)) as e:
        key, registry = Ed25519PrivateKey.generate(), MemoryRegistry()
        registry.invite("hungary", b"hash", expires_at=e.clock.unix() + 1)
        registry.enroll("hungary", b"hash", public_bytes(key), at=e.clock.unix())
        silos = Silos(registry, e.driver.performer, e.clock, e.driver.held.silos, feed_of(e))
        await silos.load()
        enrolment = Enrolment(silos, e.service, e.clock, name="septum", url="https://localhost:8443", ca_digest=None)
        api = SiloApi(
            SiloApiParts(
                e.service,
                silos,
                fleet_of(e, registry),
                enrolment,
                apps_of(e),
                NO_ROSTERS,
                registered_of(e),
                e.clock,
                None,
                1 << 20,
                *telling_of(e),
            )
        )
        body, path = encode(Poll()), "/silo/v1/poll"
        headers = Ed25519Signer("hungary", key, now=e.clock.unix).headers("POST", path, content_digest(body))
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        gone, sent = asyncio.Event(), []

        async def receive():
            if not gone.is_set() and not getattr(receive, "read", False):
                receive.read = True
                return chunk(body, more=False)
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        request = asyncio.ensure_future(api(scope, receive, send))
        await until(lambda: e.driver.held.silos() == {"hungary"})
        gone.set()
        await asyncio.wait_for(request, 5)
        assert not e.driver.held.silos()
        assert not sent
        api.close()
