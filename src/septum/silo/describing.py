"""What does this silo say about itself? Read from the machine and silo.toml, and no more than the steward allows.

A dataset is told of where it says `offer = true`; how many rows it has, as a bucket, where `policy.tell_rows` does.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from septum import __version__
from septum.errors import MessageError
from septum.protocol.description import (
    MAX_GPUS,
    MAX_WORDS_CHARS,
    OfferedDataset,
    SiloDescription,
    rows_bucket,
)
from septum.protocol.resources import Capacity
from septum.silo.config import Gives, SiloConfig
from septum.silo.herald import Herald
from septum.silo.log import Log

_MEMORY = Path("/proc/meminfo")
_PROCESSORS = Path("/proc/cpuinfo")


class Describing:
    """What is told, and what is still untold. `tell` in the agent's thread, `counted` in any.

    contracts  the columns of each dataset by an app's contract, for those that have no mapping of their own
    """

    def __init__(
        self,
        config: SiloConfig,
        contracts: Mapping[str, Sequence[str]],
        send: Callable[[SiloDescription], None],
        log: Log,
    ) -> None:
        self._config = config
        self._contracts = contracts
        self._herald = Herald(send, log, "described")
        self._machine = machine()
        self.capacity = offered(config.limits.max_runs, config.capacity, self._machine)
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}

    def counted(self, dataset: str, rows: int) -> None:
        """A dataset was read, and has so many rows."""
        with self._lock:
            self._rows[dataset] = rows

    def description(self) -> SiloDescription:
        """All that may be told. Raises MessageError for what cannot be, such as a thousand columns."""
        config = self._config
        with self._lock:
            rows = dict(self._rows) if config.policy.tell_rows else {}
        datasets = tuple(
            OfferedDataset(
                name,
                tuple(dataset.columns or self._contracts.get(name, ())),
                rows_bucket(rows[name]) if name in rows else "",
            )
            for name, dataset in sorted(config.data.items())
            if dataset.offer
        )
        return replace(self._machine, labels=config.labels, datasets=datasets, capacity=self.capacity)

    def tell(self) -> None:
        """Say what was not said yet."""
        try:
            now = self.description()
        except MessageError as error:
            self._herald.complain(error)
            return
        self._herald.say(now)


def offered(runs: int, settings: Gives, here: SiloDescription) -> Capacity:
    """What a silo gives to all runs together: what silo.toml says, else all that the machine has.

    >>> offered(4, Gives(gpus=0), SiloDescription("0.1", "3.11", "Linux", cores=8, gpus=("A100",)))
    Capacity(runs=4, cpus=8.0, memory_mb=None, gpus=0)
    """
    return Capacity(
        runs,
        float(here.cores) if settings.cpus is None else settings.cpus,
        (here.memory_mb or None) if settings.memory_mb is None else settings.memory_mb,
        len(here.gpus) if settings.gpus is None else settings.gpus,
    )


def machine() -> SiloDescription:
    """This machine and its software."""
    return SiloDescription(
        septum=__version__,
        python=platform.python_version(),
        system=f"{_system()}, {os.uname().machine}"[:MAX_WORDS_CHARS],
        cores=len(os.sched_getaffinity(0)),
        memory_mb=_memory_mb(),
        gpus=_gpus(),
        processor=_processor(),
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return os.uname().sysname


def _processor() -> str:
    """The model of the first processor, as Linux names it."""
    try:
        lines = _PROCESSORS.read_text().splitlines()
    except OSError:
        return ""
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return " ".join(model.split())[:MAX_WORDS_CHARS]


def _memory_mb() -> int:
    try:
        first = _MEMORY.read_text().split("\n", 1)[0].split()
        return int(first[1]) * 1024 // 1_000_000 if first[0] == "MemTotal:" else 0
    except (OSError, ValueError, IndexError):
        return 0


def _gpus() -> tuple[str, ...]:
    """The names of the GPUs, where NVIDIA's library for it is installed: `pip install nvidia-ml-py`."""
    if importlib.util.find_spec("pynvml") is None:
        return ()
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        try:
            handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(min(MAX_GPUS, nvml.nvmlDeviceGetCount()))]
            names = [nvml.nvmlDeviceGetName(handle) for handle in handles]
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError:  # no driver
        return ()
    texts = (name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names)
    return tuple(text[:MAX_WORDS_CHARS] for text in texts if text and text.isprintable())
