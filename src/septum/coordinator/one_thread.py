"""How does the event loop have a tracker told, which takes its time? In a thread that does nothing else."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

log = logging.getLogger("septum.coordinator.tracking")
T = TypeVar("T")


class OneThread:
    """Does one thing after another. It does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def do(self, job: Callable[[], T]) -> T:
        """Do something there, and wait for what comes of it. Raises what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                made = job()
            except BaseException as error:  # noqa: BLE001  raised where it is waited for
                settle = partial(_fail, done, error)
            else:
                settle = partial(_settle, done, made)
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(settle)

        self._jobs.put(run)
        return await done

    def last(self, job: Callable[[], object]) -> None:
        """Do this, and then nothing more."""

        def run() -> None:
            try:
                job()
            except Exception as error:  # noqa: BLE001  there is nobody left to be told
                log.warning("tracker_failed", extra={"tracker": self._thread.name, "error": repr(error)[:500]})

        self._jobs.put(run)
        self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the end, but not for ever."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _settle(done: asyncio.Future[T], made: T) -> None:
    if not done.done():  # else given up meanwhile
        done.set_result(made)


def _fail(done: asyncio.Future[T], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
