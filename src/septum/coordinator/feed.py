"""How does the federation hear of what changes? Each change is told in its own transaction, and then to who watches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

from septum.coordinator.effects import Performer
from septum.coordinator.hub import Frame, Hubs, frame_of
from septum.errors import SeptumError
from septum.ports.clock import Clock
from septum.ports.feed import FeedStore
from septum.protocol.codec import to_json
from septum.protocol.feed import Change, FeedEntry, FeedFilter, Sight

log = logging.getLogger("septum.coordinator.feed")

PAGE = 250
TRIM_EVERY = 500  # changes, after which those go that are too many
T = TypeVar("T")
P = ParamSpec("P")


class Feed:
    """What has changed, and what changes. For the event loop.

    entries    all of it as it grows, for whoever watches
    performer  who writes it
    on_told    called when something was added, for good
    """

    def __init__(self, store: FeedStore, performer: Performer, clock: Clock, keep: int) -> None:
        self._store = store
        self.performer = performer
        self._clock = clock
        self._keep = keep
        self.on_told: list[Callable[[], None]] = []
        self._untrimmed = 0
        self._trimming: asyncio.Task[None] | None = None
        self.entries: Hubs[FeedEntry] = Hubs(lambda _: _Source(store, performer))

    async def write(self, change: Change, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something with a store, and tell it in the same transaction; nothing if nothing is changed."""
        found = await self.performer.write(self._telling, change, partial(job, *args, **kwargs))
        self.told()
        return found

    def _telling(self, change: Change, job: Callable[[], T]) -> T:
        with self._store.telling([change], at=self._clock.unix()):
            return job()

    async def add(self, changes: Sequence[Change]) -> None:
        """Tell what nothing else is written for."""
        await self.performer.write(self._store.add, changes, at=self._clock.unix())
        self.told()

    async def page(self, sight: Sight, wanted: FeedFilter, *, limit: int, before: int) -> Sequence[FeedEntry]:
        """What is in sight and wanted, newest first; older than entry `before`, if not 0."""
        return await self.performer.read(self._store.page, sight, wanted, limit=limit, before=before)

    async def after(self, seq: int, *, limit: int) -> Sequence[FeedEntry]:
        """At most `limit` entries after entry `seq`, in order, of all kinds."""
        return await self.performer.read(self._store.after, seq, limit=limit)

    async def newest(self) -> int:
        """The number of the newest entry; 0 where there is none."""
        return await self.performer.read(self._store.newest)

    def told(self) -> None:
        """Something was added, for good."""
        self.entries.wake()
        for tell in self.on_told:
            tell()
        self._untrimmed += 1
        if self._untrimmed >= TRIM_EVERY and self._trimming is None:
            self._trimming = asyncio.get_running_loop().create_task(self.trim())

    async def trim(self) -> None:
        """Forget what is too old to be kept."""
        self._untrimmed = 0
        try:
            gone = await self.performer.write(self._store.trim, self._keep)
        except SeptumError as error:  # it is tried again, after more changes
            log.warning("feed_not_trimmed", extra={"error": error.message})
        else:
            if gone:
                log.info("feed_trimmed", extra={"entries": gone})
        finally:
            self._trimming = None


class _Source:
    """The feed, as frames. A `hub.Source`."""

    def __init__(self, store: FeedStore, performer: Performer) -> None:
        self._store = store
        self._performer = performer

    async def after(self, seq: int) -> Sequence[Frame[FeedEntry]]:
        """A page of the entries after entry `seq`."""
        return await self._performer.read(self._page, seq)

    def _page(self, seq: int) -> list[Frame[FeedEntry]]:
        return [
            Frame(entry.seq, entry, frame_of(entry.seq, to_json(entry))) for entry in self._store.after(seq, limit=PAGE)
        ]

    async def over(self) -> bool:
        """It never is."""
        return False
