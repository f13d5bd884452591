"""How much does this process take? Read from /proc; what cannot be read is 0."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Processor seconds since its start, resident memory in bytes, open files, and its start in Unix seconds."""

    cpu_s: float
    memory_bytes: int
    open_files: int
    started_at: float


def process_use(proc: Path = Path("/proc")) -> ProcessUse:
    """What this process takes now.

    >>> process_use().memory_bytes > 1_000_000
    True
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    return ProcessUse(used.ru_utime + used.ru_stime, _memory_bytes(proc), _open_files(proc), _started_at(proc))


def _memory_bytes(proc: Path) -> int:
    try:
        return int((proc / "self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _open_files(proc: Path) -> int:
    try:
        return len(os.listdir(proc / "self/fd"))
    except OSError:
        return 0


def _started_at(proc: Path) -> float:
    """Field 22 of self/stat, in ticks since boot (man 5 proc_pid_stat), and the boot's time."""
    try:
        ticks = int((proc / "self/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in (proc / "stat").read_text().splitlines() if line.startswith("btime "))
        return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError, StopIteration):
        return 0.0
