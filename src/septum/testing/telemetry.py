"""Logs and loads in memory, for tests."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from septum.ports.telemetry import Kept
from septum.protocol.log_lines import LogBatch, LogFilter, LogLevel, LogOrigin, LogView, missing
from septum.protocol.system import SystemPoint, SystemReport, SystemSeries

OLDEST_SAMPLE_S = 3_600.0
LEAST_APART_S = 1.0


@dataclass(slots=True)
class _Line:
    run: str
    came: float
    view: LogView


class MemoryLogs:
    """Lines in memory. See `ports.telemetry.LogStore` for the contract."""

    def __init__(self, most: int = 100_000) -> None:
        self._lock = threading.Lock()
        self._lines: list[_Line] = []
        self._next: dict[tuple[str, str], tuple[str, int]] = {}
        self._seq = 0
        self._most = most  # lines of one silo in one run

    def add(self, run: str, silo: str, batch: LogBatch, *, at: float) -> tuple[LogView, ...]:
        """Add lines of a silo; those that are new, with what is said of a gap."""
        with self._lock:
            stream, following = self._next.get((run, silo), ("", 0))
            expected = following if stream == batch.stream else 0
            new = batch.lines[max(0, expected - batch.first) :]
            if not new:
                return ()
            views: list[LogView] = []
            if batch.first > expected:
                gap = missing(batch.first - expected, silo)
                views.append(
                    self._view(silo, new[0].at, at, LogLevel.WARNING, LogOrigin.COORDINATOR, new[0].round, gap)
                )
            for line in new:
                text = line.text.replace("\0", "\ufffd")
                views.append(self._view(silo, line.at, at, line.level, line.origin, line.round, text))
            self._lines += [_Line(run, at, view) for view in views]
            self._next[run, silo] = (batch.stream, batch.end)
            theirs = [line for line in self._lines if (line.run, line.view.silo) == (run, silo)]
            if len(theirs) > self._most:
                gone = {line.view.seq for line in theirs[: len(theirs) // 4]}
                self._lines = [line for line in self._lines if line.view.seq not in gone]
            return tuple(views)

    def _view(
        self, silo: str, at: float, came: float, level: LogLevel, origin: LogOrigin, round_: int, text: str
    ) -> LogView:
        self._seq += 1
        return LogView(self._seq, silo, min(at, came), level, origin, round_, text)

    def page(
        self, run: str, wanted: LogFilter, *, limit: int, after: int = 0, before: int | None = None
    ) -> Sequence[LogView]:
        """At most `limit` wanted lines, in order: the oldest after `after`; with `before` the newest before it."""
        with self._lock:
            views = [line.view for line in self._lines if line.run == run]
        found = [
            view for view in views if view.seq > after and (before is None or view.seq < before) and wanted.holds(view)
        ]
        return found[:limit] if before is None else found[-limit:]

    def prune(self, kept: Kept, *, now: float) -> int:
        """Remove what is older than is kept, and the oldest of what is more; how many lines went."""
        with self._lock:
            left = [line for line in self._lines if line.came >= now - kept.seconds]
            while left and sum(64 + len(line.view.text.encode()) for line in left) > kept.size_bytes:
                left.pop(0)
            gone, self._lines = len(self._lines) - len(left), left
            return gone


@dataclass(slots=True)
class _Machine:
    points: list[SystemPoint] = field(default_factory=list)
    sizes: tuple[float, float] = (0.0, 0.0)
    newest: float = 0.0


class MemorySystem:
    """Loads in memory, a point for each sample of the last hour. See `ports.telemetry.SystemStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._machines: dict[str, _Machine] = {}

    def note(self, machine: str, report: SystemReport, *, now: float) -> int:
        """Add samples; how many were."""
        with self._lock:
            known = self._machines.setdefault(machine, _Machine())
            known.sizes = (report.memory_mb, report.disk_mb)
            added, known.newest = 0, min(now, known.newest)
            for sample in report.samples:
                at = min(sample.at, now)
                if at >= max(now - OLDEST_SAMPLE_S, known.newest + LEAST_APART_S):
                    known.newest = at
                    known.points.append(SystemPoint(at, 1.0, 1, sample.readings, sample.readings))
                    added += 1
            known.points = [point for point in known.points if point.at >= now - OLDEST_SAMPLE_S]
            return added

    def series(self, machine: str, *, since: float, until: float, now: float) -> SystemSeries:
        """The points of a time; and what the machine has."""
        del now
        with self._lock:
            known = self._machines.get(machine, _Machine())
            points = tuple(point for point in known.points if since <= point.at <= until)
            return SystemSeries(machine, points, *known.sizes)
