"""How busy is this machine now? Read from /proc, and of GPUs by NVIDIA's own library where it is installed.

What cannot be read is 0, and a GPU that cannot be asked is not there. In a container the processors, the memory and the
network are those of its host where the kernel shows these.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from septum.protocol.system import Readings

MAX_GPUS = 64
_MB = 1_000_000
_MEMORY_STEP_MB = 100.0  # what is told is rounded to it: less shows of what a process holds


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Of all GPUs together: percent at work, and memory in use, 10^6 bytes."""

    percent: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class _Counters:
    """What only grows: processor ticks at work and in all, and bytes of the network, at a monotonic time."""

    at: float
    busy: int
    ticks: int
    received: int
    sent: int


class MachineUse:
    """Reads again and again; numbers by the second are since the reading before. For one thread.

    folder  on whose file system the disk is looked at
    proc    where the kernel tells
    gpus    asks the GPUs; None where there are none
    """

    def __init__(
        self, folder: Path, proc: Path = Path("/proc"), gpus: Callable[[], GpuUse | None] | None = None
    ) -> None:
        self._folder = folder
        self._proc = proc
        self._gpus = gpus or _nvml()
        self._before: _Counters | None = None

    def read(self, now: float) -> Readings | None:
        """What holds at `now`, monotonic seconds; None at the first time, as nothing is known by the second yet."""
        before, counters = self._before, self._counters(now)
        self._before = counters
        if before is None or counters.at <= before.at:
            return None
        span_s, ticks = counters.at - before.at, counters.ticks - before.ticks
        total, free = self._memory_mb()
        size_mb, left_mb = self._disk_mb()
        gpu = self._gpus()
        return Readings(
            cpu=float(round(100.0 * max(0, counters.busy - before.busy) / ticks)) if ticks > 0 else 0.0,
            memory_mb=_coarse(total - free),
            disk_mb=_coarse(size_mb - left_mb),
            received_kbs=float(round(max(0, counters.received - before.received) / 1000 / span_s)),
            sent_kbs=float(round(max(0, counters.sent - before.sent) / 1000 / span_s)),
            gpu=None if gpu is None else float(round(gpu.percent)),
            gpu_memory_mb=None if gpu is None else _coarse(gpu.memory_mb),
        )

    def sizes_mb(self) -> tuple[float, float]:
        """How much memory and disk there is, 10^6 bytes."""
        return _coarse(self._memory_mb()[0]), _coarse(self._disk_mb()[0])

    def _counters(self, now: float) -> _Counters:
        ticks = [int(word) for word in self._text("stat").partition("\n")[0].split()[1:9]]
        idle = sum(ticks[3:5])  # idle, and waiting for a disk: man 5 proc_stat
        received = sent = 0
        for line in self._text("net/dev").splitlines()[2:]:
            name, _, numbers = line.partition(":")
            words = numbers.split()
            if name.strip() != "lo" and len(words) > 8:
                received, sent = received + int(words[0]), sent + int(words[8])
        return _Counters(now, sum(ticks) - idle, sum(ticks), received, sent)

    def _memory_mb(self) -> tuple[float, float]:
        """All of it, and what is available."""
        lines = (line.split() for line in self._text("meminfo").splitlines())
        known = {words[0]: int(words[1]) * 1024 / _MB for words in lines if len(words) > 1}
        return known.get("MemTotal:", 0.0), known.get("MemAvailable:", 0.0)

    def _disk_mb(self) -> tuple[float, float]:
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return 0.0, 0.0
        return found.f_blocks * found.f_frsize / _MB, found.f_bfree * found.f_frsize / _MB

    def _text(self, name: str) -> str:
        try:
            return (self._proc / name).read_text()
        except OSError:
            return ""


def _coarse(size_mb: float) -> float:
    return max(0.0, round(size_mb / _MEMORY_STEP_MB) * _MEMORY_STEP_MB)


def _nvml() -> Callable[[], GpuUse | None]:
    """What asks the GPUs: NVIDIA's library, loaded once, where `nvidia-ml-py` and a driver are there."""
    if importlib.util.find_spec("pynvml") is None:
        return lambda: None
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(min(MAX_GPUS, nvml.nvmlDeviceGetCount()))]
    except nvml.NVMLError:  # no driver
        return lambda: None
    if not handles:
        return lambda: None

    def ask() -> GpuUse | None:
        try:
            percents = [nvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in handles]
            used = [nvml.nvmlDeviceGetMemoryInfo(handle).used for handle in handles]
        except nvml.NVMLError:  # reset, or gone
            return None
        return GpuUse(sum(percents) / len(percents), sum(used) / _MB)

    return ask
