"""What do processes cost? Processor seconds and memory as the kernel counts them, also while a run is going on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SAMPLE_EVERY_S = 0.1
Pids = Callable[[], Sequence[int]]


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far, in steps of 10 ms; 0 once it has gone."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
    return 0.0


def resident_bytes(pid: int) -> int:
    """The memory that a process holds now; 0 once it has gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    return 0


def peak_bytes(pid: int) -> int:
    """The most memory that a process held since `reset_peak` or its start. The kernel counts: nothing escapes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak(pid: int) -> None:
    """Let `peak_bytes` begin again."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descendants(pid: int) -> list[int]:
    """Every living process below `pid`."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        with suppress(OSError):
            for task in Path(f"/proc/{waiting.pop()}/task").iterdir():
                below = [int(child) for child in (task / "children").read_text().split()]
                found += below
                waiting += below
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """What each role's processes had used at one moment: Unix time, processor seconds, bytes of memory now."""

    at: float
    cpu_s: Mapping[str, float]
    resident_bytes: Mapping[str, int]


class Sampler:
    """Looks at processes again and again in a thread, while its context is open."""

    def __init__(self, roles: Mapping[str, Pids], every_s: float) -> None:
        self.samples: list[Sample] = []
        self._roles = roles
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            pids = {role: list(found()) for role, found in self._roles.items()}
            self.samples.append(
                Sample(
                    time.time(),
                    {role: sum(cpu_s(pid) for pid in mine) for role, mine in pids.items()},
                    {role: max((resident_bytes(pid) for pid in mine), default=0) for role, mine in pids.items()},
                )
            )
