"""What does a bad network do to a connection? A TCP proxy on loopback whose line can be slow, cut or dead.

It moves bytes and knows nothing of TLS or HTTP. It runs in a thread of its own; every method may be called from any
thread, and what changes holds at once, for the connections that are open too.

>>> with NetworkProxy(target_port=1, line=Line(passage=Passage.REFUSED)) as proxy:
...     proxy.counts.accepted
0
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from types import TracebackType
from typing import Self

from septum.errors import TimedOutError

HOST = "127.0.0.1"
PIECE_BYTES = 64 * 1024  # passed on at one time
IN_FLIGHT_BYTES = 4 * 2**20  # on their way in one direction of one connection; then the sender has to wait
BURST_S = 0.02  # a limited line passes its bytes on in pieces of so many seconds
BACKLOG = 16_384
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets, so that nobody waits for bytes that were dropped


class Passage(Enum):
    """Whether bytes and connections get through at all."""

    OPEN = "open"
    HALF_OPEN = "half-open"  # nothing gets through any more, and nobody is told
    REFUSED = "refused"  # open connections are reset, and new ones refused


@dataclass(frozen=True, slots=True)
class Line:
    """A line between two machines. The defaults are those of a perfect one.

    latency_s       in each direction
    bytes_per_s     in each direction of each connection
    cut_up_after    bytes from client to server after which a connection is reset; counted from when the line became so
    cut_down_after  the same, from server to client
    """

    latency_s: float = 0.0
    bytes_per_s: float = math.inf
    cut_up_after: float = math.inf
    cut_down_after: float = math.inf
    passage: Passage = Passage.OPEN

    def __post_init__(self) -> None:
        if not (self.latency_s >= 0 and self.bytes_per_s > 0 and self.cut_up_after >= 0 and self.cut_down_after >= 0):
            raise ValueError(f"such a line cannot be: {self}")


@dataclass(frozen=True, slots=True)
class Counts:
    """What has passed so far.

    accepted    connections; `open` of them are still there
    bytes_up    from clients to the server, as far as they were passed on; bytes_down from the server to clients
    resets      connections that were reset here: by a cut, a refusal, or a lost answer
    swallowed   answers that were lost
    """

    accepted: int = 0
    open: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    resets: int = 0
    swallowed: int = 0


class NetworkProxy:
    """A port in front of another one. Connections are taken from construction to `close`, or use it as a context.

    `target_port` may be changed while it runs: it counts for new connections.
    """

    def __init__(self, target_port: int = 0, line: Line | None = None) -> None:
        self.target_port = target_port
        self._line = line or Line()
        self._counts = Counts()
        self._told = threading.Condition()
        self._connections: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        # It holds the port while nobody listens on it: such a port refuses, and is not given to others.
        self._anchor = _bound(0)
        self.port: int = self._anchor.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"network proxy {self.port}", daemon=True)
        self._thread.start()
        self.become(self._line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def line(self) -> Line:
        """The line as it is now."""
        return self._line

    @property
    def counts(self) -> Counts:
        """What has passed so far."""
        with self._told:
            return self._counts

    def become(self, line: Line) -> None:
        """Let the line be like this from now on, for open connections too. Bytes that wait on it are not lost."""
        self._in_loop(self._become(line))

    def heal(self) -> None:
        """Let the line be perfect. What waited on it goes on its way."""
        self.become(Line())

    def cut(self) -> None:
        """Reset every open connection; new ones are welcome."""
        self._in_loop(self._cut())

    def swallow(self) -> None:
        """Let what is asked through, and lose the answer.

        On each connection that is open now the next bytes that come back are dropped, and it is reset. Connections made
        later are not touched.
        """
        self._in_loop(self._swallow())

    def wait_until(self, condition: Callable[[Counts], bool], timeout_s: float) -> Counts:
        """Wait until so much has passed. Raises TimedOutError."""
        with self._told:
            if not self._told.wait_for(lambda: condition(self._counts), timeout_s):
                raise TimedOutError(f"the network proxy waited {timeout_s:g} s in vain: {self._counts}")
            return self._counts

    def close(self) -> None:
        """Reset everything and give the port back. Doing it twice is harmless."""
        if self._thread.is_alive():
            self._in_loop(self._become(replace(self._line, passage=Passage.REFUSED)))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._anchor.close()

    # --- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def _in_loop(self, action: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result()

    async def _become(self, line: Line) -> None:
        self._line = line
        for connection in self._connections:
            connection.become(line)
        if line.passage is not Passage.REFUSED:
            if self._listener is None:
                self._listener = await asyncio.start_server(self._serve, sock=_bound(self.port), backlog=BACKLOG)
            return
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._cut()

    async def _cut(self) -> None:
        for connection in tuple(self._connections):
            connection.reset()

    async def _swallow(self) -> None:
        for connection in self._connections:
            connection.down.swallowing = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, writer)
        self._connections.add(connection)
        self.note(accepted=1, open=1)
        try:
            await connection.serve(reader, self.target_port)
        finally:
            self._connections.discard(connection)
            self.note(open=-1)

    def note(self, **more: int) -> None:
        """Count. For the thread alone."""
        with self._told:
            self._counts = replace(self._counts, **{name: getattr(self._counts, name) + n for name, n in more.items()})
            self._told.notify_all()


class _Connection:
    """One connection, and the one to the target that belongs to it."""

    def __init__(self, proxy: NetworkProxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._ends = [client]
        self.up = _Way(self, "bytes_up", proxy.line)
        self.down = _Way(self, "bytes_down", proxy.line)

    async def serve(self, reader: asyncio.StreamReader, target_port: int) -> None:
        """Pass on what comes from both sides until both have ended, or it was reset."""
        try:
            answers, server = await asyncio.open_connection(HOST, target_port)
        except OSError:  # the target refuses, and so do we
            self.reset()
            return
        self._ends.append(server)
        ways = ((self.up, reader, server), (self.down, answers, self._ends[0]))
        work = [asyncio.create_task(job) for way, source, sink in ways for job in (way.take(source), way.give(sink))]
        try:
            await asyncio.gather(*work)
        except OSError:  # one side went away in the middle
            self.reset()
        finally:
            for task in work:
                task.cancel()
            for end in self._ends:
                end.transport.abort()

    def become(self, line: Line) -> None:
        """The line has changed."""
        self.up.become(line)
        self.down.become(line)

    def passed(self, name: str, count: int) -> None:
        """So many bytes went through."""
        self._proxy.note(**{name: count})

    def reset(self, *, swallowed: int = 0) -> None:
        """Break it, so that both sides notice at once."""
        self._proxy.note(resets=1, swallowed=swallowed)
        for end in self._ends:
            with suppress(OSError):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class _Way:
    """One direction of a connection: bytes on their way, in order, each with the time at which it was sent."""

    def __init__(self, connection: _Connection, name: str, line: Line) -> None:
        self.swallowing = False
        self._connection = connection
        self._name = name
        self._clock = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._ended = False
        self._free_at = 0.0  # when the line has room for the next bytes
        self.become(line)

    def become(self, line: Line) -> None:
        """The line has changed; bytes to a cut are counted anew."""
        self._line = line
        self._left = line.cut_up_after if self._name == "bytes_up" else line.cut_down_after
        self._free_at = 0.0
        self._changed.set()

    async def take(self, source: asyncio.StreamReader) -> None:
        """Take in what is sent, as much as fits on the line."""
        while data := await source.read(PIECE_BYTES):
            self._under_way.append((self._clock(), data))
            self._size += len(data)
            self._changed.set()
            while self._size >= IN_FLIGHT_BYTES:
                await self._wait(math.inf)
        self._ended = True
        self._changed.set()

    async def give(self, sink: asyncio.StreamWriter) -> None:
        """Give it to the other side when it is time."""
        while True:
            due = self._due()
            if due > self._clock():
                await self._wait(due)
            elif not self._under_way:
                sink.write_eof()
                return
            elif self.swallowing or self._left <= 0:
                self._connection.reset(swallowed=int(self.swallowing))
                return
            else:
                await self._pass_on(sink)
                if self._left <= 0:
                    self._connection.reset()
                    return

    def _due(self) -> float:
        """When there is something to do next, as far as is known now."""
        if self._line.passage is Passage.HALF_OPEN or not (self._under_way or self._ended):
            return math.inf
        if not self._under_way:
            return 0.0
        return max(self._under_way[0][0] + self._line.latency_s, self._free_at)

    async def _pass_on(self, sink: asyncio.StreamWriter) -> None:
        sent_at, data = self._under_way.popleft()
        size = int(min(len(data), self._left, max(1.0, self._line.bytes_per_s * BURST_S)))
        if size < len(data):
            self._under_way.appendleft((sent_at, data[size:]))
        self._left -= size
        self._size -= size
        self._free_at = max(self._clock(), self._free_at) + size / self._line.bytes_per_s
        self._changed.set()
        sink.write(data[:size])
        await sink.drain()
        self._connection.passed(self._name, size)

    async def _wait(self, until: float) -> None:
        """Until the loop's clock says so, or something changes."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if until == math.inf else until):
                await self._changed.wait()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound
