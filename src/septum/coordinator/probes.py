"""Does the coordinator live, and may it be sent requests? /healthz and /readyz, for whoever watches over processes.

    GET /healthz    200 `ok`: the process answers. One that does not for long is to be started again
    GET /readyz     200 or 503, `{"ready": ..., "checks": {"store": "ok", "disk": "ok", "draining": "ok"}}`

No token is needed, so the answers hold one word for each check and nothing else. A coordinator listens once its
database is at the newest schema, so there is no answer before that. Whether the store takes a write is tried at most
once in CHECK_EVERY_S, however often somebody asks.

With `metrics_port` this machine alone gets them, and /metrics, on a listener of its own without TLS and without a
token.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from septum.coordinator.asgi import App, Receive, Scope, Send, headers_of, send_body, send_error
from septum.coordinator.driver import Driver
from septum.coordinator.loopback import HOST
from septum.coordinator.space import MARGIN_BYTES
from septum.errors import ForbiddenError, NotFoundError, SeptumError
from septum.ports.blobs import BlobStore
from septum.protocol.codec import Json, dumps
from septum.protocol.exposition import CONTENT_TYPE

LIVES, READY, METRICS = "/healthz", "/readyz", "/metrics"
CHECK_EVERY_S = 5.0
OK = "ok"


class Probes:
    """Both answers, as an ASGI app. `check` raises a SeptumError unless the store takes a write."""

    def __init__(self, driver: Driver, blobs: BlobStore, check: Callable[[], None]) -> None:
        self._driver = driver
        self._blobs = blobs
        self._check = check
        self._checked_at = -math.inf
        self._found = {"store": OK, "disk": OK}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        if str(scope["path"]) == LIVES:
            await send_body(send, 200, b"ok\n", b"text/plain; charset=utf-8", _NEVER_KEPT)
            return
        found = await self.checks()
        ready = all(word == OK for word in found.values())
        checks: dict[str, Json] = dict(found)
        await send_body(send, 200 if ready else 503, dumps({"ready": ready, "checks": checks}), headers=_NEVER_KEPT)

    async def checks(self) -> dict[str, str]:
        """Each check, with one word: `ok`, or what is wrong."""
        now = self._driver.clock.monotonic()
        if now - self._checked_at >= CHECK_EVERY_S:
            self._checked_at = now
            self._found = {"store": await self._store(), "disk": await self._disk()}
        store = "failing" if self._driver.stuck else self._found["store"]
        draining = OK if self._driver.closing is None else "draining"
        return {"store": store, "disk": self._found["disk"], "draining": draining}

    async def _store(self) -> str:
        try:
            await self._driver.performer.write(self._check)
        except SeptumError:
            return "failing"
        return OK

    async def _disk(self) -> str:
        try:
            free = await self._driver.performer.read(self._blobs.free_bytes)
        except SeptumError:
            return "unknown"
        return OK if free >= MARGIN_BYTES else "full"


class LocalProbes:
    """The probes and the metrics, for whoever is on this machine; a page of another name gets nothing."""

    def __init__(self, probes: App, metrics: Callable[[], Awaitable[str]], port: Callable[[], int]) -> None:
        self._probes = probes
        self._metrics = metrics
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path, port, host = str(scope["path"]), self._port(), headers_of(scope).get("host", "")
        if host not in (f"{HOST}:{port}", f"localhost:{port}"):
            hint = f"http://{HOST}:{port}{METRICS}"
            await send_error(send, ForbiddenError(f"this is not {host[:100]!r}, but for this machine alone", hint=hint))
        elif path in (LIVES, READY):
            await self._probes(scope, receive, send)
        elif path == METRICS:
            await send_body(send, 200, (await self._metrics()).encode(), CONTENT_TYPE.encode(), _NEVER_KEPT)
        else:
            await send_error(send, NotFoundError(f"there is no {path[:200]} here", hint=f"{METRICS}, {LIVES}, {READY}"))


_NEVER_KEPT = ((b"cache-control", b"no-store"),)
