"""Which silos have come, and which have gone? Looked at now and then, and told in the feed when it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from septum.coordinator.feed import Feed
from septum.errors import SeptumError
from septum.ports.clock import Clock
from septum.protocol.feed import Change, Kind
from septum.protocol.views import ONLINE_S, SiloStatus, SiloView

log = logging.getLogger("septum.coordinator.presence")

LOOK_EVERY_S = 5.0


class Presence:
    """Tells who comes and goes. For the event loop.

    A silo is gone when it was not heard of for ONLINE_S seconds, as in the list of silos. Those in which the
    coordinator itself was away do not count.
    """

    def __init__(self, views: Callable[[], Iterable[SiloView]], feed: Feed, clock: Clock) -> None:
        self._views = views
        self._feed = feed
        self._clock = clock
        self._since = clock.unix()
        self._online: dict[str, bool] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, known: Mapping[str, bool]) -> None:
        """Begin, with what was told last."""
        self._online = dict(known)
        self._since = self._clock.unix()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="septum-presence")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def look(self) -> None:
        """Tell what has changed since it was told last."""
        now = self._clock.unix()
        found = {view.name: view for view in self._views()}
        changes = []
        for name, view in found.items():
            online = self._is_online(view, now)
            if online is not None and online != self._online.get(name, False):
                kind = Kind.SILO_ONLINE if online else Kind.SILO_OFFLINE
                changes.append(Change(kind, silo=name, organisation=view.organisation))
        if changes:
            await self._feed.add(changes)  # if that fails, it is told the next time
            self._online |= {change.silo: change.kind is Kind.SILO_ONLINE for change in changes}

    def _is_online(self, view: SiloView, now: float) -> bool | None:
        """Whether a silo is there; None while that is not known. A paused one may be there."""
        if view.status in (SiloStatus.INVITED, SiloStatus.REVOKED):
            return False
        if now - view.seen_at <= ONLINE_S:
            return True
        return False if now - self._since > ONLINE_S else None

    async def _run(self) -> None:
        loop, waiting = asyncio.get_running_loop(), asyncio.Event()
        while True:
            try:
                await self.look()
            except SeptumError as error:
                log.warning("presence_not_told", extra={"error": error.message})
            waiting.clear()
            loop.call_later(LOOK_EVERY_S, waiting.set)
            await waiting.wait()
