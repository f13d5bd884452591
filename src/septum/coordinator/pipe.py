"""How does a large body get from the event loop to the thread that writes it? Through a pipe, with back-pressure.

All pipes of a `Room` share its memory, however many silos send at one time.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from septum.errors import ConnectionFailedError, SeptumError

T = TypeVar("T")

ROOM_BYTES = 16 * 2**20  # on their way in all pipes of a room, and as much again with their readers
PIPE_BYTES = 4 * 2**20  # in one pipe at most: a reader that is ahead gains nothing from more
LEAST_BYTES = 256 * 1024  # in one pipe, however many there are


class Room:
    """How much each of the pipes that are open may hold. Pipes open and close in the event loop."""

    def __init__(self) -> None:
        self._open = 0

    @property
    def share_bytes(self) -> int:
        """What one pipe may hold now.

        >>> Room().share_bytes == PIPE_BYTES
        True
        """
        return max(LEAST_BYTES, min(PIPE_BYTES, ROOM_BYTES // max(1, self._open)))

    @contextmanager
    def pipe(self) -> Iterator[Pipe]:
        """A pipe that has its share."""
        self._open += 1
        try:
            yield Pipe(self)
        finally:
            self._open -= 1


class Pipe:
    """Bytes from the event loop to one thread, with back-pressure: `send` waits while its share is on its way."""

    def __init__(self, room: Room) -> None:
        self._share = room
        self._loop = asyncio.get_running_loop()
        self._emptied = asyncio.Event()
        self._ready = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._full = False
        self._ended = False
        self._error: SeptumError | None = None
        self._abandoned = False

    async def send(self, chunk: bytes) -> bool:
        """Pass a chunk on. False when nobody reads any more."""
        with self._ready:
            if self._abandoned:
                return False
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._full = full = self._size >= self._share.share_bytes
            if full:
                self._emptied.clear()
            self._ready.notify()
        if full:
            await self._emptied.wait()
        return not self._abandoned

    def end(self, error: SeptumError | None = None) -> None:
        """There is no more; with an error, the reader gets it."""
        with self._ready:
            self._ended, self._error = True, error
            self._ready.notify()

    def abandon(self) -> None:
        """For the reader: it takes no more."""
        with self._ready:
            self._abandoned = True
            self._chunks.clear()
        self._loop.call_soon_threadsafe(self._emptied.set)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._ready:
                while not self._chunks and not self._ended:
                    self._ready.wait()
                taken, self._chunks, was_full = self._chunks, deque(), self._full
                self._size, self._full = 0, False
                if not taken and self._error is not None:
                    raise self._error
            if was_full:
                self._loop.call_soon_threadsafe(self._emptied.set)
            if not taken:
                return
            while taken:
                yield taken.popleft()  # and hold it no longer


async def pour(room: Room, chunks: AsyncIterator[bytes], read: Callable[[Pipe], Awaitable[T]]) -> T:
    """What `read` makes of a large body: it reads, in a thread, from a pipe that is filled meanwhile.

    It has to abandon the pipe when it reads no more. A body that is cut ends its reading with an error, which is
    waited for before the body's own is raised.
    """
    with room.pipe() as pipe:
        reading = asyncio.ensure_future(read(pipe))
        try:
            async for chunk in chunks:
                if not await pipe.send(chunk):
                    break
            pipe.end()
            await asyncio.wait([reading])
        except BaseException as error:
            pipe.end(error if isinstance(error, SeptumError) else ConnectionFailedError("the upload was cut"))
            await asyncio.wait([reading])
            reading.exception()
            raise
        return reading.result()
