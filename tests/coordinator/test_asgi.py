"""Reading and answering requests without a framework: limits, cuts, back-pressure, clients that go away."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.support import (
    NO_ROSTERS,
    apps_of,
    audit_of,
    engine,
    feed_of,
    fleet_of,
    registered_of,
    telling_of,
    until,
)

from septum.adapters.identity.http_signatures import Ed25519Signer, content_digest
from septum.adapters.identity.keys import public_bytes
from septum.coordinator.asgi import (
    FILE_CHUNK_BYTES,
    RANGE_BYTES,
    body_of,
    declared_size,
    headers_of,
    send_blob,
    target_of,
)
from septum.coordinator.driver import Pace
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.silo_api import SiloApi, SiloApiParts
from septum.coordinator.silos import Silos
from septum.errors import ConnectionFailedError, TooLargeError
from septum.ports.blobs import OpenBlob
from septum.protocol.codec import encode
from septum.protocol.messages import Poll
from septum.protocol.sources import Source, source_of
from septum.testing.fakes import MemoryRegistry

pytestmark = pytest.mark.anyio
DATA = bytes(range(256)) * 12_000


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


PATHSEND = {"http.response.pathsend": {}}


async def sent_of(data, asked="", *, file=None, extensions=(), **options):
    """The messages of an answer with a blob of these bytes, or of as many zeros; that lie in `file`, if so."""
    sent = []

    async def send(message):
        sent.append(message)

    await send_blob({"extensions": dict(extensions)}, send, OpenBlob(source_of(data), file), asked, **options)
    return sent


def body(sent):
    return b"".join(message["body"] for message in sent[1:])


async def test_a_blob_that_lies_in_a_file_is_sent_by_the_server_itself_where_it_can(tmp_path):
    sent = await sent_of(DATA, file=tmp_path / "model", extensions=PATHSEND)
    assert sent[0]["status"] == 200
    assert sent[1:] == [{"type": "http.response.pathsend", "path": str(tmp_path / "model")}]


@pytest.mark.parametrize(("file", "extensions"), [(Path("model"), {}), (None, PATHSEND)])
async def test_any_other_blob_is_read(file, extensions):
    sent = await sent_of(DATA, file=file, extensions=extensions)
    assert sent[0]["status"] == 200
    assert body(sent) == DATA


@pytest.mark.parametrize("extensions", [{}, PATHSEND])
async def test_a_part_of_a_blob_is_sent_in_small_chunks_and_with_back_pressure(tmp_path, extensions):
    sent = await sent_of(DATA, "bytes=1000-1999999", file=tmp_path / "model", extensions=extensions)
    assert sent[0]["status"] == 206
    fields = dict(sent[0]["headers"])
    assert fields[b"content-range"] == b"bytes 1000-1999999/3072000"
    assert fields[b"content-length"] == b"1999000"
    assert body(sent) == DATA[1000:2_000_000]
    assert max(len(message["body"]) for message in sent[1:]) == FILE_CHUNK_BYTES


@pytest.mark.parametrize(("bound", "size"), [({}, RANGE_BYTES), ({"whole_ranges": True}, 2 * RANGE_BYTES - 5)])
async def test_a_large_part_of_a_blob_is_sent_up_to_a_bound(bound, size):
    sent = await sent_of(bytes(2 * RANGE_BYTES), "bytes=5-", **bound)
    assert len(body(sent)) == size
    fields = dict(sent[0]["headers"])
    assert fields[b"content-range"] == f"bytes 5-{size + 4}/{2 * RANGE_BYTES}".encode()


@pytest.mark.parametrize("ready", [True, False])
async def test_what_no_disk_is_waited_for_is_read_in_the_loop_and_all_else_in_a_thread(ready):
    source, threads = source_of(DATA), set()

    def read(offset, buffer):
        threads.add(threading.current_thread())
        source.read(offset, buffer)

    def read_now(offset, buffer):
        if ready and offset != 2 * FILE_CHUNK_BYTES:
            source.read(offset, buffer)
            return True
        buffer[:] = bytes(len(buffer))  # nothing of it counts
        return False

    sent = []

    async def send(message):
        sent.append(message)

    await send_blob({}, send, OpenBlob(Source(len(DATA), read), read_now=read_now), "")
    assert body(sent) == DATA
    assert threads
    assert threading.current_thread() not in threads


async def test_a_part_that_is_not_there_is_refused_with_the_size():
    sent = await sent_of(b"abc", "bytes=3-")
    assert sent[0]["status"] == 416
    assert dict(sent[0]["headers"])[b"content-range"] == b"bytes */3"


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
                audit_of(e),
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
