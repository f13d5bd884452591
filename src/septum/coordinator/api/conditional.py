"""Has the caller this answer already, and has it seen what it writes over? ETags and conditions, for all routes.

RFC 9110, sections 8.8 and 13. The tag of an answer is the digest of its bytes, so nothing has to be kept for it. A
write with `If-Match` goes through only while the thing that it changes, `/NOUN/NAME`, is answered with this tag. Writes
to one thing wait for each other, so nobody changes it between the look and the write; their bodies are read before,
within limits of size and time, so nobody keeps others waiting by sending slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import cast
from weakref import WeakValueDictionary

from blake3 import blake3

from septum.coordinator import asgi
from septum.coordinator.api.problems import answer_problem
from septum.coordinator.asgi import App, Message, Receive, Scope, Send, body_of, declared_size, headers_of
from septum.errors import ConnectionFailedError, PreconditionError, SeptumError
from septum.protocol.codec import MAX_MESSAGE_BYTES

FOR_EVER = "private, max-age=31536000, immutable"  # what a digest names, or was settled when it was made
ASK_AGAIN = "private, no-cache"  # kept by the caller alone, and asked for with its tag each time
_READS = ("GET", "HEAD")
_JSON = b"application/json"
_OF_ONESELF = ("session", "oidc", "account")
_NOT_THEIRS = (401, 403)  # the write will be answered the same


class Conditional:
    """The public API, with conditions."""

    def __init__(self, app: App, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] in _READS:
            await self._app(scope, receive, _Tagging(send, headers_of(scope).get("if-none-match", "")))
        else:
            try:
                await self._write(scope, receive, send)
            except SeptumError as error:
                problem = answer_problem(error, error.http_status)
                await problem(scope, receive, send)

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, parts = headers_of(scope), str(scope["path"]).removeprefix(f"{self._prefix}/").split("/")
        thing = "/".join([self._prefix, *parts[:2]])
        if scope["method"] == "PUT" and parts[0] == "apps" and len(parts) == 2:  # named by its digest: nothing to lose
            await self._need(scope, headers, thing)
            await self._app(scope, _patient(receive), send)
            return
        declared_size(headers, MAX_MESSAGE_BYTES, "a body")
        body = await body_of(receive, MAX_MESSAGE_BYTES)
        async with self._turn(thing, parts):
            await self._need(scope, headers, thing)
            await self._app(scope, _again(body, receive), send)

    def _turn(self, thing: str, parts: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """Where it has a name: what is only being made is nobody's yet, and who comes in waits for nobody."""
        if len(parts) < 2 or parts[0] in _OF_ONESELF:
            return nullcontext()
        return self._turns.setdefault(thing, asyncio.Lock())

    async def _need(self, scope: Scope, headers: Mapping[str, str], thing: str) -> None:
        """Raise PreconditionError if the thing is not what the caller says that it has seen."""
        wanted = headers.get("if-match", "")
        if not wanted:
            return
        kept = _Kept()
        left_out = (b"if-match", b"content-length", b"transfer-encoding")
        sent = cast("list[tuple[bytes, bytes]]", scope["headers"])
        asked = {"method": "GET", "path": thing, "raw_path": thing.encode(), "query_string": b""}
        look = {**scope, **asked, "headers": [one for one in sent if one[0].lower() not in left_out]}
        await self._app(look, _nothing, _Tagging(kept, ""))
        if kept.status not in _NOT_THEIRS and not (kept.status == 200 and is_named(wanted, kept.tag)):
            raise PreconditionError(
                f"{thing} is not what If-Match says any more; nothing was changed",
                hint="GET it again, and decide anew",
            )


@dataclass(slots=True)
class _Kept:
    """The status and the tag of an answer that nobody sees."""

    status: int = 0
    tag: str = ""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(cast("int", message["status"]))
            self.tag = _header(message, b"etag")


@dataclass(slots=True)
class _Tagging:
    """Send an answer with its tag; without its body, where the caller has it already.

    Only JSON is held back for it, which is whole anyway. Files bring their own tag.
    """

    send: Send
    known: str
    start: Message | None = None
    body: bytearray = field(default_factory=bytearray)
    silent: bool = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self.silent:
            return
        elif self.start is None:
            await self.send(message)
        else:
            self.body += cast("bytes", message.get("body", b""))
            if not message.get("more_body", False):
                await self._end(self.start)

    async def _begin(self, message: Message) -> None:
        if message["status"] == 200 and _header(message, b"content-type").startswith(_JSON.decode()):
            self.start = message
        elif message["status"] in (200, 206) and is_named(self.known, _header(message, b"etag")):
            await self._not_modified(message)
        else:
            await self.send(message)

    async def _end(self, start: Message) -> None:
        tag = f'"{blake3(self.body).hexdigest()[:32]}"'
        headers = cast("list[tuple[bytes, bytes]]", start["headers"])
        more = [(b"etag", tag.encode())]
        if not _header(start, b"cache-control"):
            more.append((b"cache-control", ASK_AGAIN.encode()))
        tagged: MutableMapping[str, object] = {**start, "headers": [*headers, *more]}
        if is_named(self.known, tag):
            await self._not_modified(tagged)
            return
        await self.send(tagged)
        await self.send({"type": "http.response.body", "body": bytes(self.body)})

    async def _not_modified(self, message: Message) -> None:
        self.silent = True
        kept = [(name, _header(message, name).encode()) for name in (b"etag", b"cache-control")]
        await self.send({"type": "http.response.start", "status": 304, "headers": [one for one in kept if one[1]]})
        await self.send({"type": "http.response.body", "body": b""})


def named_by(digest: str) -> dict[str, str]:
    """The headers of a file that never changes: its digest is its tag."""
    return {"etag": f'"{digest}"', "cache-control": FOR_EVER}


def is_named(wanted: str, tag: str) -> bool:
    """Whether a list of tags has this one, or is `*`. Weak ones count: our tags are of the very bytes.

    >>> is_named('W/"a", "b"', '"a"'), is_named("*", '"a"'), is_named("", '"a"'), is_named('"a"', "")
    (True, True, False, False)
    """
    return bool(tag) and any(one.strip().removeprefix("W/") in ("*", tag) for one in wanted.split(","))


def _header(message: Message, name: bytes) -> str:
    headers = cast("list[tuple[bytes, bytes]]", message["headers"])
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, and then what follows it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give


def _patient(receive: Receive) -> Receive:
    """A body as it arrives, with an end to the patience."""

    async def give() -> Message:
        try:
            async with asyncio.timeout(asgi.SILENCE_S):
                return await receive()
        except TimeoutError:
            raise ConnectionFailedError(f"the body stood still for {asgi.SILENCE_S:g} s") from None

    return give


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
