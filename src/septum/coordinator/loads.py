"""How busy are the silos' machines, and the coordinator's own? What they tell is kept, bounded, and shown in points."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from septum.adapters.machine_use import MachineUse
from septum.coordinator.allowance import Allowance
from septum.errors import SeptumError
from septum.ports.clock import Clock
from septum.ports.telemetry import SystemStore
from septum.protocol.system import SystemReport, SystemSample, SystemSeries, fewer

log = logging.getLogger("septum.coordinator.loads")

OWN = ""  # the coordinator's own machine: no silo has an empty name
EVERY_S = 10.0
FIRST_S = 1.0  # after the start: numbers by the second need two looks
SAMPLES_A_SECOND, BURST_SAMPLES = 2.0, 400.0  # of one silo: an agent that was cut off for an hour has 360 to tell


class Loads:
    """The load of all machines. For the event loop. `machine`: this one; None: it is not looked at."""

    def __init__(self, store: SystemStore, clock: Clock, machine: MachineUse | None = None) -> None:
        self._store = store
        self._clock = clock
        self._machine = machine
        self._threads = ThreadPoolExecutor(2, "septum-loads")
        self._allowance = Allowance("samples of its machine", SAMPLES_A_SECOND, BURST_SAMPLES)
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at this machine, now and then."""
        if self._machine is not None:
            self._looking = asyncio.create_task(self._look(self._machine), name="septum-loads")

    async def close(self) -> None:
        """End."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await asyncio.to_thread(self._threads.shutdown)

    async def take(self, silo: str, report: SystemReport) -> None:
        """Keep what a silo tells. Raises RateLimitedError, StorageError."""
        self._allowance.take(silo, len(report.samples), self._clock.monotonic())
        await self._note(silo, report)

    async def series(self, silo: str, *, since: float, until: float, points: int) -> SystemSeries:
        """At most so many points of a machine between two Unix times."""

        def read() -> SystemSeries:
            found = self._store.series(silo, since=since, until=until, now=self._clock.unix())
            return SystemSeries(silo, fewer(found.points, points), found.memory_mb, found.disk_mb)

        return await asyncio.wrap_future(self._threads.submit(read))

    async def _note(self, machine: str, report: SystemReport) -> None:
        await asyncio.wrap_future(self._threads.submit(self._store.note, machine, report, now=self._clock.unix()))

    async def _look(self, machine: MachineUse) -> None:
        pause_s = FIRST_S
        while True:
            try:
                readings = await asyncio.to_thread(machine.read, time.monotonic())
                if readings is not None:
                    sample = SystemSample(self._clock.unix(), readings)
                    await self._note(OWN, SystemReport((sample,), *machine.sizes_mb()))
            except SeptumError as error:
                log.warning("load_not_kept", extra={"error": error.message})
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), pause_s)
            pause_s = EVERY_S
