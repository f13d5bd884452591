"""A blob is answered as a file: whole, from where a download was cut, or not at all to who has it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from septum.coordinator.api.conditional import named_by
from septum.coordinator.api.downloads import BlobResponse
from septum.coordinator.asgi import RANGE_BYTES
from septum.ports.blobs import OpenBlob
from septum.protocol.sources import source_of

pytestmark = pytest.mark.anyio
DATA = bytes(range(256)) * (RANGE_BYTES // 256) + b"more"
TAG = named_by("blake3:abc")["etag"]


async def answer(**asked):
    """Status, headers and body; and how often the blob was opened."""
    sent, opened = [], []

    @asynccontextmanager
    async def opening():
        opened.append(True)
        yield OpenBlob(source_of(DATA))

    async def send(message):
        sent.append(message)

    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in asked.items()]
    response = BlobResponse(opening(), named_by("blake3:abc"), "application/x", "model.safetensors")
    await response({"type": "http", "headers": headers, "method": "GET"}, None, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body, len(opened)


async def test_a_file_is_answered_whole_under_its_tag_and_name():
    status, headers, body, _ = await answer()
    assert (status, body) == (200, DATA)
    assert headers[b"etag"].decode() == TAG
    assert headers[b"content-length"] == str(len(DATA)).encode()
    assert headers[b"content-disposition"] == b'attachment; filename="model.safetensors"'
    assert headers[b"content-type"] == b"application/x"


@pytest.mark.parametrize("if_range", ["", TAG])
async def test_a_range_is_answered_to_its_end(if_range):
    status, headers, body, _ = await answer(range="bytes=2-", **({"if_range": if_range} if if_range else {}))
    assert (status, body) == (206, DATA[2:])
    assert headers[b"content-range"] == f"bytes 2-{len(DATA) - 1}/{len(DATA)}".encode()


async def test_who_goes_on_with_another_file_gets_all_of_this_one():
    status, _, body, _ = await answer(range="bytes=2-", if_range='"another"')
    assert (status, body) == (200, DATA)


async def test_who_has_the_file_gets_nothing_and_nothing_is_opened():
    status, headers, body, opened = await answer(if_none_match=TAG)
    assert (status, body, opened) == (304, b"", 0)
    assert headers[b"etag"].decode() == TAG
