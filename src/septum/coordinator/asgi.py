"""How does a bare ASGI handler read a request and answer it? What the silos' hot routes need of HTTP, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import cast

from septum.adapters.channel.wire_errors import RETRY_AFTER, RETRY_STATUSES, error_body
from septum.coordinator.ranges import Span, range_of
from septum.errors import ConnectionFailedError, NotFoundError, SeptumError, TooLargeError
from septum.ports.blobs import OpenBlob

Scope = MutableMapping[str, object]
Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SILENCE_S = 30.0  # how long a body may stand still before it counts as cut
FILE_CHUNK_BYTES = 128 * 1024  # granian holds 8 of them for a client that is slow, and then holds us back
RANGE_BYTES = 16 * 2**20  # of a range in one answer: what is read for nothing when the client has gone


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case name; lines of one name joined with ", " (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for name, value in cast("Sequence[tuple[bytes, bytes]]", scope["headers"]):
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def target_of(scope: Scope) -> str:
    """Path and query as they stood on the request line."""
    raw = cast("bytes", scope.get("raw_path") or str(scope["path"]).encode())
    query = cast("bytes", scope.get("query_string", b""))
    target = raw.partition(b"?")[0] + (b"?" + query if query else b"")
    return target.decode("latin-1")


def declared_size(headers: Mapping[str, str], limit: int, what: str) -> int | None:
    """Content-Length, if it is given. Raises TooLargeError over `limit`, before anything was read."""
    text = headers.get("content-length", "")
    size = int(text) if text.isascii() and text.isdigit() else None
    if size is not None and size > limit:
        raise TooLargeError(f"{what} of {size} bytes is over the limit of {limit}", hint=_LIMIT_HINT)
    return size


_LIMIT_HINT = "the limit is max_blob_mb in coordinator.toml; a message has at most 256 KiB"


async def chunks_of(receive: Receive) -> AsyncIterator[bytes]:
    """A large body as it arrives. Raises ConnectionFailedError when it is cut or stands still."""
    more = True
    while more:
        try:
            async with asyncio.timeout(SILENCE_S):
                chunk, more = _chunk(await receive())
        except TimeoutError:
            raise ConnectionFailedError(f"the body stood still for {SILENCE_S:g} s") from None
        if chunk:
            yield chunk


async def body_of(receive: Receive, limit: int) -> bytes:
    """A small body. Raises TooLargeError as soon as it is over `limit`, ConnectionFailedError when cut or slow."""
    body, more = bytearray(), True  # a client may send single bytes, so nothing is copied for each
    try:
        async with asyncio.timeout(SILENCE_S):
            while more:
                chunk, more = _chunk(await receive())
                body += chunk
                if len(body) > limit:
                    raise TooLargeError(f"a message of more than {limit} bytes", hint=_LIMIT_HINT)
    except TimeoutError:
        raise ConnectionFailedError(f"a message did not arrive within {SILENCE_S:g} s") from None
    return bytes(body)


def _chunk(message: Message) -> tuple[bytes, bool]:
    """The bytes in a message, and whether there are more to come."""
    if message["type"] != "http.request":
        raise ConnectionFailedError("the request was cut before its end")
    return cast("bytes", message.get("body", b"")), bool(message.get("more_body", False))


async def send_body(
    send: Send, status: int, body: bytes, content_type: bytes = b"application/json", headers: Headers = ()
) -> None:
    """A whole answer."""
    fields = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: SeptumError, status: int | None = None) -> None:
    """An error, in the one shape."""
    answered = status or error.http_status
    headers = [(b"retry-after", RETRY_AFTER.encode())] if answered in RETRY_STATUSES else []
    await send_body(send, answered, error_body(error), headers=headers)


async def send_blob(
    scope: Scope,
    send: Send,
    blob: OpenBlob,
    asked: str,
    headers: Headers = ((b"content-type", b"application/octet-stream"),),
    *,
    whole_ranges: bool = False,
) -> None:
    """A blob, or the part of it that a Range header asks for: at most RANGE_BYTES of that, but for `whole_ranges`.

    That an answer may hold less than was asked for: RFC 9110, section 15.3.7. Silos ask on.
    """
    size = blob.size_bytes
    span = range_of(asked, size)
    if span is not None and not span.size_bytes:
        error = NotFoundError(f"this blob has {size} bytes; there is no {asked[:100]}")
        await send_body(send, 416, error_body(error), headers=((b"content-range", span.content_range.encode()),))
        return
    if span is not None and not whole_ranges:
        span = Span(span.start, min(span.stop, span.start + RANGE_BYTES), span.whole_bytes)
    await _send_part(scope, send, blob, span, headers)


async def _send_part(scope: Scope, send: Send, blob: OpenBlob, span: Span | None, headers: Headers) -> None:
    """The whole of a file by the server itself where it can, which takes no memory; all else in chunks."""
    fields = [*headers, (b"accept-ranges", b"bytes")]
    if span is not None:
        fields.append((b"content-range", span.content_range.encode()))
    size = blob.size_bytes if span is None else span.size_bytes
    fields.append((b"content-length", str(size).encode()))
    await send({"type": "http.response.start", "status": 200 if span is None else 206, "headers": fields})
    extensions = cast("Mapping[str, object]", scope.get("extensions") or {})
    if span is None and blob.file is not None and "http.response.pathsend" in extensions:
        await send({"type": "http.response.pathsend", "path": str(blob.file)})
        return
    loop, first = asyncio.get_running_loop(), 0 if span is None else span.start
    for start in range(first, first + size, FILE_CHUNK_BYTES):
        chunk = bytearray(min(FILE_CHUNK_BYTES, first + size - start))
        if not blob.read_now(start, memoryview(chunk)):  # another thread costs as much as all else together
            await loop.run_in_executor(None, blob.source.read, start, memoryview(chunk))
        await send({"type": "http.response.body", "body": bytes(chunk), "more_body": True})
        await asyncio.sleep(0)  # others have their turn also where the client takes it all at once
    await send({"type": "http.response.body", "body": b""})
