"""What does Prometheus get when it asks? What was counted, and what holds at this moment."""

from __future__ import annotations

import math
import platform
from collections import Counter
from dataclasses import dataclass

from septum import __version__
from septum.adapters.process_use import process_use
from septum.coordinator import metrics
from septum.coordinator.driver import Driver
from septum.coordinator.feed import Feed
from septum.coordinator.held import POLL
from septum.coordinator.logs import Logs
from septum.coordinator.metrics import Meters
from septum.coordinator.service import RunService
from septum.coordinator.silos import Silos
from septum.coordinator.tracking import Tracking
from septum.errors import StorageError
from septum.ports.blobs import BlobStore
from septum.protocol.exposition import Metric, page
from septum.protocol.views import RunStatus, SiloStatus

BLOBS_EVERY_S = 300.0  # a look at every file: some tenths of a second for a hundred thousand of them


@dataclass(frozen=True, slots=True)
class Observed:
    """What is looked at."""

    driver: Driver
    service: RunService
    silos: Silos
    feed: Feed
    logs: Logs
    tracking: Tracking
    blobs: BlobStore


class Scrape:
    """The page of metrics. For the event loop."""

    def __init__(self, meters: Meters, observed: Observed) -> None:
        self._meters = meters
        self._observed = observed
        self._looked_at = -math.inf
        meters.of(metrics.BUILD).set(1, __version__, platform.python_version())

    async def page(self) -> str:
        """All metrics, in Prometheus' text format."""
        await self._look_at_disk()
        self._look_at_runs()
        await self._look_at_trackers()
        self._look_at_process()
        return page(self._meters.all())

    def _set(self, metric: Metric, value: float, *labels: str) -> None:
        self._meters.of(metric).set(value, *labels)

    async def _look_at_disk(self) -> None:
        driver, blobs = self._observed.driver, self._observed.blobs
        now = driver.clock.monotonic()
        try:
            self._set(metrics.DISK_FREE, await driver.performer.read(blobs.free_bytes))
            if now - self._looked_at >= BLOBS_EVERY_S:
                self._set(metrics.BLOB_BYTES, await driver.performer.read(blobs.used_bytes))
                self._looked_at = now
        except StorageError:  # a disk that cannot be looked at has nothing free
            self._set(metrics.DISK_FREE, 0)

    def _look_at_runs(self) -> None:
        seen = self._observed
        runs = Counter(seen.service.statuses())
        for status in RunStatus:
            if not status.ended:
                self._set(metrics.RUNS, runs[status], status.value)
        silos = Counter(view.status for view in seen.silos.views())
        for kind in SiloStatus:
            self._set(metrics.SILOS, silos[kind], kind.value)
        held = tuple(seen.driver.held)
        polls = sum(one.run == POLL for one in held)
        self._set(metrics.HELD, polls, metrics.POLLS)
        self._set(metrics.HELD, len(held) - polls, metrics.EXCHANGES)
        viewers = (len(seen.service.journals), len(seen.logs.hubs), len(seen.feed.entries))
        for name, count in zip(metrics.LISTS, viewers, strict=True):
            self._set(metrics.VIEWERS, count, name)
        self._set(metrics.COMMIT_STUCK, bool(seen.driver.stuck))

    async def _look_at_trackers(self) -> None:
        tracking = self._observed.tracking
        self._set(metrics.TRACKER_WAITING, await tracking.waiting())
        self._set(metrics.TRACKER_PENDING, tracking.pending)
        self._set(metrics.TRACKER_FAILURES, tracking.failures)
        self._set(metrics.TRACKER_REFUSED, tracking.refused)

    def _look_at_process(self) -> None:
        used = process_use()
        self._set(metrics.PROCESS_CPU, used.cpu_s)
        self._set(metrics.PROCESS_MEMORY, used.memory_bytes)
        self._set(metrics.PROCESS_FILES, used.open_files)
        self._set(metrics.PROCESS_START, used.started_at)
