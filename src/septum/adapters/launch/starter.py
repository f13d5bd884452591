"""Which thread starts sandboxes? One that lives as long as the agent.

The kernel ends a sandbox when the thread that started it ends (PR_SET_PDEATHSIG), so that nothing outlives an agent
that was killed. A run's own thread may end earlier than its worker; this one does not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

R = TypeVar("R")
_QUEUE: SimpleQueue[Callable[[], None]] = SimpleQueue()
_LOCK = threading.Lock()
_THREADS: list[threading.Thread] = []


def call(work: Callable[[], R]) -> R:
    """What `work` gives, done in that thread."""
    with _LOCK:
        if not _THREADS:
            _THREADS.append(threading.Thread(target=_serve, name="start sandboxes", daemon=True))
            _THREADS[0].start()
    future: Future[R] = Future()

    def answer() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  raised in the thread that asked
            future.set_exception(error)

    _QUEUE.put(answer)
    return future.result()


def _serve() -> None:
    while True:
        _QUEUE.get()()


os.register_at_fork(after_in_child=_THREADS.clear)  # a fork has its own, when it needs one
