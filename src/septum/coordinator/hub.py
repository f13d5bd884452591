"""How do many people watch one list that grows? It is read once and encoded once, and all of them get the same bytes.

A `Hub` is of one list: a run's journal, the federation's feed, the lines of a log. Whoever adds to the list calls
`wake`; what is new is then read and handed to the viewers, at most once in PACE_S, so that a run of many short rounds
does not write to everybody at every step. A viewer that comes late, or comes back with the number of the last entry it
has, reads from the list itself what it missed. One that does not take what comes is cut off; it comes back, and misses
nothing. The list keeps what was added, so nothing here has to survive a restart.

    hubs = Hubs(source_of)                         # one hub a key, while it has viewers
    hubs.wake("r-1")                               # from whoever added to the list r-1
    with hubs.watch("r-1", after=17) as viewer:    # api/streams.py answers a request with one
        while (data := await viewer.take(15.0)) is not None: ...
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from septum.errors import SeptumError
from septum.protocol.codec import Json, dumps

log = logging.getLogger("septum.coordinator.hub")

PACE_S = 0.5  # between two hand-outs of one hub; the first after a silence is at once
MAX_WAITING_BYTES = 2**20  # that a viewer has not taken; beyond it is cut off
RECENT_BYTES = 2**18  # of the newest frames, kept for viewers that come back
AT_ONCE = 8  # viewers that are woken before the rest of the coordinator has its turn
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame(Generic[T]):
    """One entry: its number, which grows in its list, what a viewer's `wants` looks at, and the bytes that are sent."""

    seq: int
    entry: T
    data: bytes


def frame_of(seq: int, entry: Json) -> bytes:
    r"""An entry as it is sent: one server-sent event.

    >>> frame_of(7, {"text": "a\nb"})
    b'id: 7\ndata: {"text":"a\\nb"}\n\n'
    """
    return event_of(seq, dumps(entry))


def event_of(seq: int, line: bytes) -> bytes:
    """The same, of an entry whose JSON is made: it is one line."""
    return b"id: %d\ndata: %s\n\n" % (seq, line)


class Source(Protocol[T]):
    """A list that grows at its end.

    Contract: what `after` gives is durable and never changes; when it gives nothing and `over` was true before, there
    is nothing to come. Both may raise a SeptumError; then all who watch are cut off, and may come back.
    """

    async def after(self, seq: int) -> Sequence[Frame[T]]:
        """A page of the entries after `seq`, in order; empty at the end of the list."""

    async def over(self) -> bool:
        """Whether nothing will be added to what `after` gives from now on."""


class Viewer(Generic[T]):
    """Somebody who watches a list, from entry `after` (exclusive) on.

    cut  resolved when it was too slow, or the list could not be read: then it is over for this viewer at once
    """

    def __init__(self, hub: Hub[T], after: int, wants: Callable[[T], bool]) -> None:
        self.cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wants = wants
        self._hub = hub
        self._after = after
        self._waiting: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()
        self._over = False

    @property
    def after(self) -> int:
        """The last entry that it has got, or did not want."""
        return self._after

    async def take(self, timeout_s: float) -> bytes | None:
        """What is new for it; empty if nothing is within so long. None when the list is over, or it was cut off."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._next()
        except TimeoutError:
            return b""

    async def _next(self) -> bytes | None:
        while not self.cut.done():
            if self._waiting:
                data, self._waiting, self._size = b"".join(self._waiting), [], 0
                return data
            if self._over:
                return None
            if self._hub.has(self):
                self._news.clear()
                await self._news.wait()
            elif data := await self._catch_up():
                return data
        return None

    async def _catch_up(self) -> bytes:
        """A page of what it missed; at the end of the list it is told what comes from then on."""
        over = await self._hub.source.over()
        page = self._hub.recent(self._after) or await self._hub.source.after(self._after)
        if page:
            self._after = page[-1].seq
        elif over:
            self._over = True
        else:
            self._hub.join(self)
        return b"".join(frame.data for frame in page if self.wants(frame.entry))

    def offer(self, frames: Sequence[Frame[T]]) -> None:
        """This is new. Cuts the viewer off when too much waits for it already."""
        for frame in frames:
            if frame.seq > self._after:
                self._after = frame.seq
                if self.wants(frame.entry):
                    self._waiting.append(frame.data)
                    self._size += len(frame.data)
        if self._size > MAX_WAITING_BYTES:
            log.warning("viewer_cut_off", extra={"list": self._hub.key, "waiting_bytes": self._size})
            self.end(cut=True)
        elif self._waiting:
            self._news.set()

    def end(self, *, cut: bool = False) -> None:
        """Nothing more comes; what waits is still taken, unless it is cut off."""
        self._over = True
        if cut and not self.cut.done():
            self.cut.set_result(None)
            self._waiting.clear()
        self._news.set()


class Hub(Generic[T]):
    """All who watch one list. For the event loop."""

    def __init__(self, key: str, source: Source[T], pace_s: float) -> None:
        self.key = key
        self.source = source
        self._pace_s = pace_s
        self._told: dict[Viewer[T], None] = {}  # who has all until `_head`, and is told what comes
        self._head = 0
        self._recent: deque[Frame[T]] = deque()  # all after entry `_since`, until `_head`
        self._recent_bytes = 0
        self._since = 0
        self._stale = False
        self._at_work: asyncio.Task[None] | None = None
        self._pause: asyncio.TimerHandle | None = None

    def has(self, viewer: Viewer[T]) -> bool:
        """Whether this viewer is told what comes."""
        return viewer in self._told

    def wake(self) -> None:
        """Something may have been added, or the list is over."""
        self._stale = True
        if self._told and self._at_work is None and self._pause is None:
            self._at_work = asyncio.get_running_loop().create_task(self._hand_out(), name=f"septum-hub-{self.key}")

    def join(self, viewer: Viewer[T]) -> None:
        """Tell a viewer what comes, if it has all that the others have; else it goes on to catch up."""
        if not self._told:
            self._head = self._since = viewer.after
            self._recent.clear()
            self._recent_bytes = 0
        if viewer.after >= self._head:
            self._told[viewer] = None
            self.wake()  # something may have come since it has read

    def leave(self, viewer: Viewer[T]) -> None:
        """Tell a viewer nothing any more."""
        self._told.pop(viewer, None)

    def recent(self, after: int) -> Sequence[Frame[T]]:
        """The entries after `after` that are in memory; none where those are not all until now."""
        if not self._told or after < self._since:
            return ()
        return [frame for frame in self._recent if frame.seq > after]

    def end(self) -> None:
        """Send everybody away: the coordinator goes down."""
        for viewer in tuple(self._told):
            viewer.end()
        if self._pause is not None:
            self._pause.cancel()

    async def _hand_out(self) -> None:
        self._stale = False
        try:
            over = await self.source.over()
            while frames := await self.source.after(head := self._head):
                if head == self._head:  # else somebody joined meanwhile who has less, after all others had left
                    await self._tell(frames)
            if over:
                for viewer in tuple(self._told):
                    viewer.end()
        except SeptumError as error:  # whoever watches comes back, and is told then what is wrong
            log.warning("list_not_read", extra={"list": self.key, "error": error.message})
            for viewer in tuple(self._told):
                viewer.end(cut=True)
        finally:
            self._at_work = None
        self._pause = asyncio.get_running_loop().call_later(self._pace_s, self._rested)

    async def _tell(self, frames: Sequence[Frame[T]]) -> None:
        self._head = frames[-1].seq
        self._recent.extend(frames)
        self._recent_bytes += sum(len(frame.data) for frame in frames)
        while self._recent_bytes > RECENT_BYTES:
            gone = self._recent.popleft()
            self._recent_bytes -= len(gone.data)
            self._since = gone.seq
        for number, viewer in enumerate(tuple(self._told), start=1):
            viewer.offer(frames)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # a round that waits for the loop is not to wait for all viewers

    def _rested(self) -> None:
        self._pause = None
        if self._stale:
            self.wake()


class Hubs(Generic[T]):
    """The hubs of many lists, each by its key, while somebody watches it. For the event loop."""

    def __init__(self, source_of: Callable[[str], Source[T]], *, pace_s: float = PACE_S) -> None:
        self._source_of = source_of
        self._pace_s = pace_s
        self._hubs: dict[str, Hub[T]] = {}
        self._viewers: dict[str, dict[Viewer[T], None]] = {}
        self._ended = False

    def __len__(self) -> int:
        """How many watch."""
        return sum(map(len, self._viewers.values()))

    @contextmanager
    def watch(self, key: str, *, after: int = 0, wants: Callable[[T], bool] = lambda _: True) -> Iterator[Viewer[T]]:
        """Watch a list from entry `after` (exclusive) on: of it what is wanted."""
        hub = self._hubs.setdefault(key, Hub(key, self._source_of(key), self._pace_s))
        viewer = Viewer(hub, after, wants)
        viewers = self._viewers.setdefault(key, {})
        viewers[viewer] = None
        if self._ended:
            viewer.end()
        try:
            yield viewer
        finally:
            hub.leave(viewer)
            del viewers[viewer]
            if not viewers and self._viewers.get(key) is viewers:
                del self._hubs[key], self._viewers[key]

    def wake(self, key: str = "") -> None:
        """Something was added to a list, or it is over."""
        if hub := self._hubs.get(key):
            hub.wake()

    def end(self, _error: SeptumError | None = None) -> None:
        """Send everybody away, and whoever comes: the coordinator goes down."""
        self._ended = True
        for viewers in self._viewers.values():
            for viewer in tuple(viewers):
                viewer.end()
        for hub in self._hubs.values():
            hub.end()
