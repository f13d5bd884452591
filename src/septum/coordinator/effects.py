"""Who does the slow work beside the event loop? One thread that writes the store, and a few that compute and read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ParamSpec, Protocol, TypeVar

from septum.coordinator.areas import optimizer_area
from septum.coordinator.combining import Combiner
from septum.coordinator.live import Discarded, Live
from septum.coordinator.rot import Inspector
from septum.coordinator.shelf import Shelf
from septum.coordinator.spool import mark_of
from septum.errors import ConfigError, PluginError, SeptumError, StorageError
from septum.ports.blobs import AwayError, BlobStore
from septum.ports.store import Pending
from septum.protocol.codec import to_json
from septum.protocol.messages import Outcome
from septum.protocol.run_state import (
    Combine,
    CombineFailed,
    CombineRefused,
    Discard,
    Event,
    ModelLost,
    PayloadsLost,
)

log = logging.getLogger("septum.coordinator.effects")
T = TypeVar("T")
P = ParamSpec("P")


class _Post(Protocol):
    def __call__(self, live: Live, event: Event | Discarded) -> None: ...


class Performer:
    """Performs effects, in threads; what comes of them is posted to the driver."""

    def __init__(self, blobs: BlobStore, shelf: Shelf, post: _Post) -> None:
        self._blobs = blobs
        self._combiner = Combiner(blobs, shelf)
        self.inspector = Inspector(blobs, shelf)
        self._post = post
        self._writer = ThreadPoolExecutor(1, "septum-writer")
        self._compute = ThreadPoolExecutor(2, "septum-compute")
        self._readers = ThreadPoolExecutor(4, "septum-reader")
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something with the store, in the one thread that writes."""
        return await self._in(self._writer, job, *args, **kwargs)

    async def read(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read the store, or do other small work that blocks."""
        return await self._in(self._readers, job, *args, **kwargs)

    async def compute(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what takes long."""
        return await self._in(self._compute, job, *args, **kwargs)

    @asynccontextmanager
    async def opened(self, opening: AbstractContextManager[T]) -> AsyncIterator[T]:
        """What a context manager gives that may take its time, as a store that fetches. It is closed here."""
        found = await self.read(opening.__enter__)
        try:
            yield found
        finally:
            opening.__exit__(None, None, None)

    async def _in(self, pool: ThreadPoolExecutor, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(pool.submit(job, *args, **kwargs))

    def start(self, live: Live, entry: Pending) -> None:
        """Perform an entry of the outbox."""
        if isinstance(entry.effect, Combine):
            self.start_combine(live, entry.effect)
        else:
            self.start_discard(live, entry)

    def start_combine(self, live: Live, effect: Combine) -> None:
        """Combine reports; posts Combined, or why not."""
        self._spawn(live, self._combine(live, effect))

    def start_discard(self, live: Live, entry: Pending) -> None:
        """Remove payloads; posts Discarded. All that a run has when it has ended."""
        self._spawn(live, self._discard(live, entry))

    def discard_payloads(self, live: Live, digests: list[str]) -> None:
        """Remove payloads that no report will refer to; all that a run has when it has ended."""
        self._spawn(live, self._quietly(live, lambda: live.spool.discard(digests, ended=live.run.outcome is not None)))

    def discard_optimizers(self, live: Live) -> None:
        """Remove server optimizer states that a commit has made useless."""
        stale, live.optimizers = live.optimizers, []
        if stale:
            area = optimizer_area(live.run.id)
            self._spawn(live, self._quietly(live, self._blobs.discard, area, stale))

    async def settle(self, run_id: str = "") -> None:
        """Wait for what is going on; of one run, if it is named."""
        tasks = [task for task in self._tasks if run_id in ("", task.get_name())]
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Finish what is going on, and take nothing more."""
        await self.settle()
        for pool in (self._compute, self._readers, self._writer):
            pool.shutdown(wait=True)

    def _spawn(self, live: Live, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=live.run.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def losses(self, live: Live) -> tuple[ModelLost | PayloadsLost, ...]:
        """What the run has lost of its bytes; each is logged. Takes as long as reading them all. Raises AwayError."""
        found = await self.compute(self.inspector.losses, live.run, live.spool)
        for lost in found:
            log.critical("bytes_lost", extra={"run_id": live.run.id, "lost": to_json(lost)})
        return found

    async def _known_losses(self, live: Live) -> tuple[ModelLost | PayloadsLost, ...]:
        """As `losses`; none where that cannot be told now."""
        try:
            return await self.losses(live)
        except AwayError:
            return ()

    async def _combine(self, live: Live, effect: Combine) -> None:
        live.busy += 1
        try:
            run, began = live.run, time.monotonic()
            combined = await self.compute(self._combiner.combine, effect, run.plan, run.id, live.spool)
            told = {"silos": len(effect.contributions), "seconds": time.monotonic() - began}
            log.info("combined", extra=_where(live, effect) | told)
            self._post(live, combined)
        except SeptumError as error:
            log.error("combine_failed", extra=_where(live, effect) | {"error": error.message, "hint": error.hint})  # noqa: TRY400
            for event in await self._known_losses(live) or (_failure(effect, error),):
                self._post(live, event)
        except Exception as error:  # recorded: the run pauses with it as the reason
            log.exception("combine_failed", extra=_where(live, effect))
            why = f"internal error: {error!r}"[:500]
            self._post(live, CombineFailed(effect.stage, effect.round, effect.attempt, why))
        finally:
            live.busy -= 1

    async def _discard(self, live: Live, entry: Pending) -> None:
        assert isinstance(entry.effect, Discard)
        ended = live.run.outcome is not None
        digests = live.spool.expire(mark_of(entry.effect.stage, entry.effect.round))
        await self._quietly(live, live.spool.discard, digests, ended=ended)
        if live.run.outcome is Outcome.FINISHED:  # others may be resumed, and need it
            await self._quietly(live, self._blobs.drop, optimizer_area(live.run.id))
        self._post(live, Discarded(entry.id))

    async def _quietly(self, live: Live, job: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Files that cannot be removed are logged; they hinder nothing."""
        live.busy += 1
        try:
            await self.compute(job, *args, **kwargs)
        except SeptumError as error:
            log.warning("discard_failed", extra={"run_id": live.run.id, "error": error.message})
        finally:
            live.busy -= 1


def _failure(effect: Combine, error: SeptumError) -> CombineFailed | CombineRefused:
    where = (effect.stage, effect.round, effect.attempt)
    if isinstance(error, StorageError):
        return CombineFailed(*where, f"{error.message}; it is tried again by itself", retry=True)
    if isinstance(error, ConfigError | PluginError):  # of the machine, not of the reports
        return CombineFailed(*where, error.message)
    return CombineRefused(*where, error.message)


def _where(live: Live, effect: Combine) -> dict[str, object]:
    return {"run_id": live.run.id, "stage": effect.stage.value, "round": effect.round, "attempt": effect.attempt}
