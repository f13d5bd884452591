"""Does a worker stay within the limits that hold for all its processes together? A thread looks several times a second.

The kernel holds each process to its own limits (confine.py). What many small ones use together it does not count, short
of a control group, for which an agent has no right. So this thread counts, and ends a worker that is over.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from septum.adapters.launch import scratch
from septum.ports.launcher import WorkerLimits

EVERY_S = 0.25
_OWN = 2  # the first process of a sandbox, and the worker itself


class Watch:
    """Looks until it is stopped, or finds something; then it kills, and `found` says why."""

    def __init__(self, look: Callable[[], str], kill: Callable[[], None], name: str) -> None:
        self.found = ""
        self._look = look
        self._kill = kill
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns once it does not."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_S):
            self.found = self._look()
            if self.found:
                self._kill()
                return


def files(folder: Path, limits: WorkerLimits) -> str:
    """What is too much about a worker's own folder; empty while it is within its limits."""
    return scratch.excess(folder, limits.scratch_bytes)


def sandbox(inside: int, limits: WorkerLimits) -> str:
    """What is too much about the processes in a sandbox, whose /proc is given; empty while all is within limits."""
    try:
        processes = [name for name in os.listdir(inside) if name.isdigit()]
    except OSError:  # it has just ended
        return ""
    if limits.processes is not None:
        count = len(processes) - _OWN
        if count <= limits.processes:  # else there is no need to count their threads
            count = sum(_threads(inside, name) for name in processes) - _OWN
        if count > limits.processes:
            return f"it had {count} processes and threads, the limit is {limits.processes}"
    if limits.memory_bytes is not None and _memory(inside, processes, exact=False) > limits.memory_bytes:
        size = _memory(inside, processes, exact=True)
        if size > limits.memory_bytes:
            return f"its processes together had {size} bytes of memory, the limit is {limits.memory_bytes}"
    return ""


def _threads(inside: int, process: str) -> int:
    return int(_field(inside, f"{process}/status", b"Threads:"))


def _memory(inside: int, processes: list[str], *, exact: bool) -> int:
    """Bytes in memory. Shared pages count once for each process unless it is to be exact, which takes its time."""
    if exact:
        return sum(1024 * _field(inside, f"{name}/smaps_rollup", b"Pss:") for name in processes)
    return sum(1024 * _field(inside, f"{name}/status", b"VmRSS:") for name in processes)


def _field(inside: int, path: str, key: bytes) -> int:
    """A number in a file of /proc; 0 when the process has just ended, or has none."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=inside)
        with open(descriptor, "rb") as file:
            for line in file:
                if line.startswith(key):
                    return int(line.split()[1])
    return 0
