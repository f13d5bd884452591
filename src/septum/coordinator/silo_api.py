"""What do silos ask over HTTP? The routes under /silo/v1, as a bare ASGI app: each millisecond here is in every round.

Everything but `ca` and `enroll` is signed; see adapters/identity/http_signatures.py. Sizes are checked before anything
is buffered, and each error is `{"error": {"code", "message", "hint"}}` with the status of its class.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from septum.adapters.identity.http_signatures import ContentDigest, NonceCache, verify
from septum.coordinator.asgi import (
    Pipe,
    Receive,
    Scope,
    Send,
    body_of,
    chunks_of,
    declared_size,
    headers_of,
    send_body,
    send_error,
    send_file,
    target_of,
)
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.live import Live
from septum.coordinator.service import RunService
from septum.coordinator.silos import Silos
from septum.errors import AuthError, ConnectionFailedError, NotFoundError, SeptumError
from septum.ports.clock import Clock
from septum.protocol.codec import MAX_MESSAGE_BYTES, decode, encode
from septum.protocol.messages import Enroll, Poll, SiloMessage

log = logging.getLogger("septum.coordinator.silo_api")

PREFIX = "/silo/v1/"
UPLOAD_THREADS = 32  # a slow upload holds one; more at one time wait their turn
UPLOADS_A_SILO = 4  # under way at one time: no silo may take all threads with slow ones
WATCH_AFTER_S = 0.5  # a request held longer is watched for its client going away
ENCODED = 8  # answers kept encoded: all silos of a run are told the same


@dataclass(frozen=True, slots=True)
class SiloApiParts:
    """What the routes need. `ca_path` is the certificate authority's file; None where it is a public one."""

    service: RunService
    silos: Silos
    enrolment: Enrolment
    clock: Clock
    ca_path: Path | None
    max_blob_bytes: int


class SiloApi:
    """The ASGI app for everything under PREFIX."""

    def __init__(self, parts: SiloApiParts) -> None:
        self._parts = parts
        self._nonces = NonceCache()
        self._uploads = ThreadPoolExecutor(UPLOAD_THREADS, "septum-upload")
        self._encoded: list[tuple[object, bytes]] = []
        self._uploading: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._route(scope, receive, send)
        except SeptumError as error:
            log.info(
                "silo_refused", extra={"path": str(scope["path"])[:200], "code": error.code, "error": error.message}
            )
            await send_error(send, error)
        except Exception:
            log.exception("silo_request_failed", extra={"path": scope["path"]})
            await send_error(send, SeptumError("internal error; the coordinator's log has the details"))

    def close(self) -> None:
        """Let uploads end."""
        self._uploads.shutdown(wait=False, cancel_futures=True)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, parts = str(scope["method"]), str(scope["path"]).removeprefix(PREFIX).split("/")
        match method, parts:
            case "GET", ["ca"]:
                await self._ca(send)
            case "POST", ["enroll"]:
                await self._enroll(scope, receive, send)
            case "POST", ["poll"]:
                silo, body = await self._signed_body(scope, receive)
                message = cast("Poll", decode(Poll, body))
                await self._answer(receive, send, self._parts.service.poll(silo, message))
            case "POST", ["runs", run, "exchange"]:
                silo, body = await self._signed_body(scope, receive)
                said = cast("SiloMessage", decode(SiloMessage, body))
                await self._answer(receive, send, self._parts.service.exchange(silo, run, said))
            case "PUT", ["runs", run, "blobs", digest]:
                await self._upload(scope, receive, send, run, digest)
            case "GET", ["runs", run, "blobs", digest]:
                asker = self._verified(scope, headers_of(scope))
                path = await self._parts.service.blob_path(asker.silo, run, digest)
                await send_file(scope, send, path, path.stat().st_size)
            case _:
                raise NotFoundError(
                    f"there is no {method[:20]} {str(scope['path'])[:200]} here", hint="septum --version on both sides"
                )

    async def _ca(self, send: Send) -> None:
        if self._parts.ca_path is None:
            raise NotFoundError("this coordinator's certificate is a public one; there is no authority to pin")
        await send_body(send, 200, self._parts.ca_path.read_bytes(), b"application/x-pem-file")

    async def _enroll(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared_size(headers_of(scope), MAX_MESSAGE_BYTES, "a message")
        message = cast("Enroll", decode(Enroll, await body_of(receive, MAX_MESSAGE_BYTES)))
        await send_body(send, 200, encode(await self._parts.enrolment.enroll(message)))

    def _verified(self, scope: Scope, headers: Mapping[str, str]) -> _Asker:
        """Who asks. Raises AuthError."""
        parts = self._parts
        found = verify(headers, str(scope["method"]), target_of(scope), parts.silos.public_key, parts.clock.unix())
        self._nonces.use(found.silo, found.nonce, parts.clock.monotonic())
        silo = parts.silos.seen(found.silo)
        return _Asker(silo, parts.silos.public_key(silo), found.content_digest)

    def _verified_still(self, asker: _Asker) -> None:
        """A body may take its time, and the silo be revoked meanwhile. Raises AuthError."""
        if self._parts.silos.public_key(asker.silo) != asker.key:
            raise AuthError(
                f"the key of silo {asker.silo!r} was revoked while this request arrived",
                hint=f"septum silo invite {asker.silo}, on the coordinator",
            )

    async def _signed_body(self, scope: Scope, receive: Receive) -> tuple[str, bytes]:
        headers = headers_of(scope)
        asker = self._verified(scope, headers)
        declared_size(headers, MAX_MESSAGE_BYTES, "a message")
        body = await body_of(receive, MAX_MESSAGE_BYTES)
        checked = ContentDigest(asker.content_digest)
        checked.update(body)
        checked.finish()
        self._verified_still(asker)
        return asker.silo, body

    async def _answer(self, receive: Receive, send: Send, answer: Awaitable[object]) -> None:
        """Wait for an answer that may be held for long; give up when the client goes away."""
        me = asyncio.current_task()
        assert me is not None
        watch = _Watch(receive, me.cancel)
        try:
            body = self._encode(await answer)
        except asyncio.CancelledError:
            if watch.gone:
                me.uncancel()
                return
            raise
        finally:
            watch.stop()
        await send_body(send, 200, body)
        await self._parts.silos.note()

    def _encode(self, answer: object) -> bytes:
        for known, body in self._encoded:
            if known is answer:
                return body
        body = encode(answer)
        self._encoded = [(answer, body), *self._encoded[: ENCODED - 1]]
        return body

    async def _upload(self, scope: Scope, receive: Receive, send: Send, run: str, digest: str) -> None:
        headers = headers_of(scope)
        asker = self._verified(scope, headers)
        declared_size(headers, self._parts.max_blob_bytes, "a blob")
        live, mark = await self._parts.service.upload_to(asker.silo, run)
        with self._one_of_few(asker.silo):
            live.busy += 1
            try:
                await self._store(live, receive, digest)
            finally:
                live.busy -= 1
        self._verified_still(asker)
        self._parts.service.uploaded(live, asker.silo, digest, mark)
        await send_body(send, 200, b"{}")

    @contextmanager
    def _one_of_few(self, silo: str) -> Iterator[None]:
        if self._uploading[silo] >= UPLOADS_A_SILO:
            raise ConnectionFailedError(
                f"silo {silo!r} has {UPLOADS_A_SILO} uploads under way; it may send this one when another has ended",
                hint="it is tried again by itself",
            )
        self._uploading[silo] += 1
        try:
            yield
        finally:
            self._uploading[silo] -= 1
            if not self._uploading[silo]:
                del self._uploading[silo]

    async def _store(self, live: Live, receive: Receive, digest: str) -> None:
        pipe = Pipe()
        stored = asyncio.get_running_loop().run_in_executor(self._uploads, self._drain, live, pipe, digest)
        try:
            async for chunk in chunks_of(receive):
                if not await pipe.send(chunk):
                    break
            pipe.end()
        except BaseException as error:
            pipe.end(error if isinstance(error, SeptumError) else ConnectionFailedError("the upload was cut"))
            await asyncio.wait([stored])
            stored.exception()
            raise
        await stored

    def _drain(self, live: Live, pipe: Pipe, digest: str) -> None:
        try:
            self._parts.service.store_payload(live, pipe, digest)
        finally:
            pipe.abandon()


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who sent a signed request, under which key, and the Content-Digest that its body must have."""

    silo: str
    key: bytes | None
    content_digest: str


class _Watch:
    """Calls back when a client goes away, beginning a little later: most requests are answered before."""

    def __init__(self, receive: Receive, callback: Callable[[], object]) -> None:
        self.gone = False
        self._receive = receive
        self._callback = callback
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._callback()

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
