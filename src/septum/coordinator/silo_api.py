"""What do silos ask over HTTP? The routes under /silo/v1, as a bare ASGI app: each millisecond here is in every round.

Everything but `ca` and `enroll` is signed; see adapters/identity/http_signatures.py. Sizes are checked before anything
is buffered, and each error is `{"error": {"code", "message", "hint"}}` with the status of its class.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from septum.adapters.identity.http_signatures import ContentDigest
from septum.coordinator.app_api import AppApi
from septum.coordinator.apps import Apps
from septum.coordinator.asgi import (
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    body_of,
    declared_size,
    headers_of,
    send_body,
    send_error,
)
from septum.coordinator.audit import Audit
from septum.coordinator.audit_api import AuditApi
from septum.coordinator.blob_api import BlobApi
from septum.coordinator.deployment_api import DeploymentApi
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.fleet import Fleet
from septum.coordinator.gate import Gate
from septum.coordinator.loads import Loads
from septum.coordinator.logs import Logs
from septum.coordinator.registered import Registered
from septum.coordinator.rosters import Rosters, serial_of
from septum.coordinator.service import RunService
from septum.coordinator.silos import Silos
from septum.coordinator.traces import Traces
from septum.errors import AuthError, NotFoundError, SeptumError
from septum.ports.clock import Clock
from septum.protocol.audit import AuditKind, Record
from septum.protocol.codec import MAX_MESSAGE_BYTES, SEPTUM, TO_COORDINATOR, decode_versioned, encode
from septum.protocol.deploying import Told
from septum.protocol.description import SiloDescription, Standing
from septum.protocol.log_lines import LogBatch
from septum.protocol.messages import Enroll, Poll, Serving, SiloMessage
from septum.protocol.system import SystemReport
from septum.protocol.versions import Wire

log = logging.getLogger("septum.coordinator.silo_api")

PREFIX = "/silo/v1/"
WATCH_AFTER_S = 0.5  # a request held longer is watched for its client going away
ENCODED = 8  # answers kept encoded: all silos of a run are told the same


@dataclass(frozen=True, slots=True)
class SiloApiParts:
    """What the routes need.

    ca_path  the certificate authority's file; None where it is a public one
    traces   None where nobody wants them
    """

    service: RunService
    silos: Silos
    fleet: Fleet
    enrolment: Enrolment
    apps: Apps
    rosters: Rosters
    registered: Registered
    clock: Clock
    ca_path: Path | None
    max_blob_bytes: int
    logs: Logs
    loads: Loads
    audit: Audit
    traces: Traces | None = None
    wire: Wire = SEPTUM


class SiloApi:
    """The ASGI app for everything under PREFIX."""

    def __init__(self, parts: SiloApiParts) -> None:
        self._parts = parts
        self._gate = Gate(parts.silos, parts.clock)
        self._blobs = BlobApi(parts.service, self._gate, parts.max_blob_bytes)
        self._apps = AppApi(parts.apps, self._gate, parts.wire)
        self._deployments = DeploymentApi(parts.registered, self._gate, parts.wire)
        self._audit = AuditApi(parts.audit, parts.wire)
        self._encoded: list[tuple[object, int, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        send = _marked(send, self._parts.wire)
        try:
            self._check_version(scope)
            await self._route(scope, receive, send)
        except SeptumError as error:
            log.info("silo_refused", extra={**_where(scope), "code": error.code, "error": error.message})
            if isinstance(error, AuthError):
                about = {"asked": f"{scope['method']} {scope['path']}", "because": error.message}
                await self._parts.audit.refused(Record(AuditKind.SILO_NOT_KNOWN, about=about))
            await send_error(send, error)
        except Exception:
            log.exception("silo_request_failed", extra=_where(scope))
            await send_error(send, SeptumError("internal error; the coordinator's log has the details"))

    def drain(self, error: SeptumError) -> None:
        """End the uploads that are under way with `error`; requests that are held end with the driver's."""
        self._blobs.drain(error)

    def end_silo(self, silo: str, error: SeptumError) -> None:
        """End the uploads of a silo with `error`, now that it is revoked."""
        self._blobs.end_silo(silo, error)

    def close(self) -> None:
        """Let uploads end."""
        self._blobs.close()

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, parts = str(scope["method"]), str(scope["path"]).removeprefix(PREFIX).split("/")
        match method, parts:
            case "GET", ["ca"]:
                await self._ca(send)
            case "POST", ["enroll"]:
                await self._enroll(scope, receive, send)
            case "POST", ["poll"]:
                silo, body = await self._signed_body(scope, receive)
                message, version = self._read(Poll, body)
                answer = self._parts.service.poll(silo, cast("Poll", message))
                await self._answer(receive, send, answer, version)
            case "POST", ["runs", run, "exchange"]:
                silo, body = await self._signed_body(scope, receive)
                said, version = self._read(SiloMessage, body)
                told = self._parts.service.exchange(silo, run, cast("SiloMessage", said))
                await self._answer(receive, send, told, version, (run, silo))
            case "POST", ["account"] | ["system"] | ["over"] | ["runs", _, "logs"]:
                await self._told(scope, receive, send, parts)
            case "POST", ["audit"]:
                silo, body = await self._signed_body(scope, receive)
                await self._audit.show(send, silo, self._parts.silos.public_key(silo) or b"", body)
            case "GET", ["apps", *which]:
                await self._app(scope, send, which)
            case "GET", ["deployments", *which]:
                await self._deployments.get(scope, send, which)
            case "GET", ["roster"] | ["roster", _]:
                await self._roster(scope, send, serial_of(*parts[1:]))
            case "PUT", ["runs", run, "blobs", digest]:
                await self._blobs.upload(scope, receive, send, run, digest)
            case "GET", ["runs", run, "uploads" | "blobs" as what, digest]:
                get = self._blobs.download if what == "blobs" else self._blobs.arrived
                await get(scope, send, run, digest)
            case _:
                raise _nothing_at(scope)

    async def _over(self, scope: Scope, receive: Receive, send: Send) -> None:
        silo, body = await self._signed_body(scope, receive)
        asked, version = self._read(Serving, body)
        over = await self._parts.service.over(silo, cast("Serving", asked))
        await send_body(send, 200, encode(over, self._parts.wire, version))

    async def _app(self, scope: Scope, send: Send, which: Sequence[str]) -> None:
        match which:
            case []:
                await self._apps.offers(scope, send)
            case [digest]:
                await self._apps.offer(scope, send, digest)
            case ["blobs", blob]:
                await self._apps.download(scope, send, blob)
            case _:
                raise _nothing_at(scope)

    async def _ca(self, send: Send) -> None:
        if self._parts.ca_path is None:
            raise NotFoundError("this coordinator's certificate is a public one; there is no authority to pin")
        await send_body(send, 200, self._parts.ca_path.read_bytes(), b"application/x-pem-file")

    async def _roster(self, scope: Scope, send: Send, serial: int) -> None:
        """The roster of this serial, 0 for the newest, as it was signed; nothing where there is none."""
        self._gate.verified(scope, headers_of(scope))
        document = await asyncio.to_thread(self._parts.rosters.get, serial)
        await send_body(send, 200, document or b"")

    async def _enroll(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared_size(headers_of(scope), MAX_MESSAGE_BYTES, "a message")
        message, version = self._read(Enroll, await body_of(receive, MAX_MESSAGE_BYTES))
        enrolled = await self._parts.enrolment.enroll(cast("Enroll", message))
        await send_body(send, 200, encode(enrolled, self._parts.wire, version))

    async def _account(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep what a silo says of itself. The answer says only that it is kept."""
        silo, body = await self._signed_body(scope, receive)
        match self._read(SiloDescription | Standing | Told, body)[0]:
            case SiloDescription() as description:
                await self._parts.fleet.describe(silo, description)
            case Standing() as standing:
                changed = self._parts.fleet.of(silo).standing != standing
                await self._parts.fleet.stand(silo, standing)
                if changed:
                    self._parts.service.release(silo)  # its agent looks what its steward has said, and asks again
            case Told() as told:
                await self._parts.registered.tell(silo, told)
        await send_body(send, 200, b"{}")
        await self._parts.silos.note()

    async def _told(self, scope: Scope, receive: Receive, send: Send, what: Sequence[str]) -> None:
        """Keep what a silo tells beside its runs' rounds. The answer says only that it is kept."""
        match what:
            case ["account"]:
                await self._account(scope, receive, send)
                return
            case ["over"]:
                await self._over(scope, receive, send)
                return
            case ["runs", run, "logs"]:
                silo, body = await self._signed_body(scope, receive)
                await self._parts.logs.take(silo, run, cast("LogBatch", self._read(LogBatch, body)[0]))
            case _:
                silo, body = await self._signed_body(scope, receive)
                await self._parts.loads.take(silo, cast("SystemReport", self._read(SystemReport, body)[0]))
        await send_body(send, 200, b"{}")

    def _check_version(self, scope: Scope) -> None:
        """Refuse a request of another protocol before anything of it is read. Raises VersionError.

        Nobody signs this header, so a message's version is the one in its body; a blob is named by its digest.
        """
        name = self._parts.wire.name.encode()
        for key, value in cast("Sequence[tuple[bytes, bytes]]", scope["headers"]):
            if key == name and value.isdigit():
                self._parts.wire.check(int(value[:9]), TO_COORDINATOR)

    def _read(self, expected: object, body: bytes) -> tuple[object, int]:
        """A silo's message, and the version that its answer has to be in."""
        return decode_versioned(expected, body, TO_COORDINATOR, self._parts.wire)

    async def _signed_body(self, scope: Scope, receive: Receive) -> tuple[str, bytes]:
        headers = headers_of(scope)
        asker = self._gate.verified(scope, headers)
        declared_size(headers, MAX_MESSAGE_BYTES, "a message")
        body = await body_of(receive, MAX_MESSAGE_BYTES)
        checked = ContentDigest(asker.content_digest)
        checked.update(body)
        checked.finish()
        self._gate.check_again(asker)
        return asker.silo, body

    async def _answer(
        self,
        receive: Receive,
        send: Send,
        answer: Awaitable[object],
        version: int,
        within: tuple[str, str] | None = None,
    ) -> None:
        """Wait for an answer that may be held for long; give up when the client goes away."""
        me = asyncio.current_task()
        assert me is not None
        watch = _Watch(receive, me.cancel)
        try:
            body = self._encode(await answer, version)
        except asyncio.CancelledError:
            if watch.gone:
                me.uncancel()
                return
            raise
        finally:
            watch.stop()
        await send_body(send, 200, body, headers=self._trace(within))
        await self._parts.silos.note()

    def _trace(self, within: tuple[str, str] | None) -> Headers:
        """The traceparent of what a silo is asked, where there is a trace."""
        if self._parts.traces is None or within is None:
            return ()
        traceparent = self._parts.traces.traceparent(*within)
        return ((b"traceparent", traceparent.encode()),) if traceparent else ()

    def _encode(self, answer: object, version: int) -> bytes:
        for known, spoken, body in self._encoded:
            if known is answer and spoken == version:
                return body
        body = encode(answer, self._parts.wire, version)
        self._encoded = [(answer, version, body), *self._encoded[: ENCODED - 1]]
        return body


def _where(scope: Scope) -> dict[str, object]:
    """What was asked, for the log; of which run, where it is about one."""
    path = str(scope["path"])[:200]
    match path.removeprefix(PREFIX).split("/"):
        case ["runs", run, *_]:
            return {"path": path, "run_id": run}
    return {"path": path}


def _nothing_at(scope: Scope) -> NotFoundError:
    asked = f"{str(scope['method'])[:20]} {str(scope['path'])[:200]}"
    return NotFoundError(f"there is no {asked} here", hint="septum --version on both sides")


def _marked(send: Send, wire: Wire) -> Send:
    """Every answer says which version is spoken here, also an error or a blob."""
    mark = (wire.name.encode(), str(wire.version).encode())

    async def send_marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*cast("Sequence[tuple[bytes, bytes]]", message["headers"]), mark]
        await send(message)

    return send_marked


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
