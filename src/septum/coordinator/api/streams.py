"""How is a request answered with a list as it grows? As server-sent events, until the list is over or nobody reads.

The specification: https://html.spec.whatwg.org/multipage/server-sent-events.html. A frame has the number of its entry
as `id`, which a client that comes back sends as `Last-Event-ID`, and the entry as JSON in one line of `data`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Generic, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from septum.coordinator.api.access import Permission, caller_of, parts_of, still
from septum.coordinator.hub import Viewer
from septum.errors import SeptumError

log = logging.getLogger("septum.coordinator.api.streams")

KEEPALIVE_S = 15.0  # proxies close connections that are silent for longer; so often it is asked, too, who may go on
STUCK_S = 60.0  # for somebody to take a frame, who has taken none of those before it
_QUIET = b": nothing new\n\n"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the latter: nginx is not to wait for more
T = TypeVar("T")


def stream(
    request: Request,
    permission: Permission,
    watch: Callable[[], AbstractContextManager[Viewer[T]]],
    may_go_on: Callable[[], Awaitable[bool]] | None = None,
) -> EventStream[T]:
    """The answer to a request for a stream. Raises RateLimitedError for somebody who watches too many already.

    may_go_on  asked now and then; by default whether the request would still pass
    """
    seats, who = parts_of(request).seats, caller_of(request).name
    seats.need(who)
    return EventStream(watch, partial(seats.taken, who), may_go_on or partial(still, permission, request))


class EventStream(StreamingResponse, Generic[T]):
    """A response that is a stream of events.

    It ends when the list is over; when whoever reads it goes away, may no longer (they have signed out, were suspended,
    or lost the role), or does not take what comes.

    watch      opens the viewer that is told
    seat       is taken meanwhile
    may_go_on  whether who asked may be told more
    """

    def __init__(
        self,
        watch: Callable[[], AbstractContextManager[Viewer[T]]],
        seat: Callable[[], AbstractContextManager[None]],
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__((), headers=_HEADERS, media_type="text/event-stream")
        self._watch = watch
        self._seat = seat
        self._may_go_on = may_go_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope
        with self._seat(), self._watch() as viewer:
            sending = asyncio.create_task(self._send_all(viewer, send))
            leaving = asyncio.create_task(_until_gone(receive))
            try:
                await asyncio.wait({sending, leaving, viewer.cut}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sending.cancel()
                leaving.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_all(self, viewer: Viewer[T], send: Send) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while (data := await viewer.take(KEEPALIVE_S)) is not None:
                if loop.time() - asked_at >= KEEPALIVE_S:
                    if not await self._may_go_on():
                        break
                    asked_at = loop.time()
                async with asyncio.timeout(STUCK_S):
                    await send({"type": "http.response.body", "body": data or _QUIET, "more_body": True})
        except TimeoutError:
            log.warning("viewer_stuck", extra={"after": viewer.after})
            return
        except SeptumError as error:  # whoever reads comes back, and is told then
            log.warning("stream_broke", extra={"error": error.message})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
