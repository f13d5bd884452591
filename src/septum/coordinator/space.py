"""When can what silos send be stored again? Their runs are paused until then, so that nobody misses a deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from septum.coordinator.live import Live
from septum.errors import StorageError
from septum.ports.blobs import BlobStore
from septum.protocol.run_state import OutOfSpace, SpaceIsBack

log = logging.getLogger("septum.coordinator.space")

MARGIN_BYTES = 16 * 2**20  # beside the upload that was refused: the database and the next model need room as well


class _Post(Protocol):
    def __call__(self, live: Live, event: OutOfSpace | SpaceIsBack) -> None: ...


class Space:
    """Looks every `retry_s` seconds while a run waits. For the driver's event loop."""

    def __init__(
        self, blobs: BlobStore, read: Callable[[Callable[[], int]], Awaitable[int]], post: _Post, retry_s: float
    ) -> None:
        self._blobs = blobs
        self._read = read
        self._post = post
        self._retry_s = retry_s
        self._waiting: dict[str, tuple[Live, int]] = {}
        self._look: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    def missed(self, live: Live, error: StorageError, size_bytes: int) -> None:
        """An upload of so many bytes (0: not known) had no room."""
        where = {"run_id": live.run.id, "round": live.run.round}
        log.error("upload_not_stored", extra={**where, "error": error.message, "hint": error.hint})
        self._post(live, OutOfSpace(f"{error.message}; the run goes on by itself once that is over"))
        self.wait_for(live, size_bytes)

    def wait_for(self, live: Live, size_bytes: int = 0) -> None:
        """Tell a run when there is room again."""
        _, wanted = self._waiting.get(live.run.id, (live, 0))
        self._waiting[live.run.id] = (live, max(size_bytes, wanted))
        self._later()

    def close(self) -> None:
        """Look no more."""
        if self._look is not None:
            self._look.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _later(self) -> None:
        if self._look is None and self._waiting:
            self._look = asyncio.get_running_loop().call_later(self._retry_s, self._begin)

    def _begin(self) -> None:
        self._look = None
        self._looking = asyncio.get_running_loop().create_task(self._check())

    async def _check(self) -> None:
        try:
            free = await self._read(self._blobs.free_bytes)
        except StorageError as error:
            log.warning("space_unknown", extra={"error": error.message, "hint": error.hint})
            free = 0
        for run_id, (live, wanted) in list(self._waiting.items()):
            if free >= wanted + MARGIN_BYTES or not live.run.retrying:
                del self._waiting[run_id]
                self._post(live, SpaceIsBack())
        self._later()
