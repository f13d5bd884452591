"""How do silos in this very process reach the coordinator? A blocking facade over the run service, for any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from septum.coordinator.service import RunService
from septum.ports.blobs import OpenBlob
from septum.protocol.messages import Instruction, Poll, PollAnswer, SiloMessage

CHUNK_BYTES = 1 << 20
T = TypeVar("T")


class MemoryService:
    """The coordinator as `adapters.channel.memory.SiloService`. The service's event loop runs in another thread."""

    def __init__(self, service: RunService, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop

    def poll(self, silo: str, message: Poll) -> PollAnswer:
        """A run that wants this silo, or Wait."""
        return self._in_loop(self._service.poll(silo, message))

    def exchange(self, silo: str, run: str, message: SiloMessage) -> Instruction:
        """The next instruction."""
        return self._in_loop(self._service.exchange(silo, run, message))

    def put_blob(self, silo: str, run: str, digest: str, path: Path) -> None:
        """Take a copy of a file, if its bytes have this digest."""
        live, mark = self._in_loop(self._service.upload_to(silo, run))
        self._service.store_payload(live, _chunks(path), digest)
        self._loop.call_soon_threadsafe(self._service.uploaded, live, silo, digest, mark)

    @contextmanager
    def blob(self, silo: str, run: str, digest: str) -> Iterator[OpenBlob]:
        """A blob that this silo may read."""
        opening = self._service.model_for(silo, run, digest)
        opened = self._in_loop(opening.__aenter__())
        try:
            yield opened
        finally:
            self._in_loop(opening.__aexit__(None, None, None))

    def release(self, silo: str) -> None:
        """Answer the silo's calls that are being held at once, with Wait. Later calls are as before."""
        self._loop.call_soon_threadsafe(self._service.release, silo)

    def _in_loop(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
