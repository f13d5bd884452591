"""Where are lines of logs and the load of machines kept? Beside the runs, so that no round waits for it.

Nothing here is needed to go on with a run. It survives a kill of the coordinator; what a power loss takes of the newest
is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from septum.protocol.log_lines import LogBatch, LogFilter, LogView
from septum.protocol.system import SystemReport, SystemSeries


@dataclass(frozen=True, slots=True)
class Kept:
    """How much is kept of logs. `seconds`: how old a line may be; `size_bytes`: of all texts together."""

    seconds: float
    size_bytes: int


class LogStore(Protocol):
    """Lines of the runs' logs.

    Contract: a line that was added before is not added again; lines that are missing between two batches are told by a
    line of the coordinator's own in their place. Of one silo and run the newest lines are kept when there are too many.
    A StorageError changes nothing. Methods may be called from any thread.
    """

    def add(self, run: str, silo: str, batch: LogBatch, *, at: float) -> tuple[LogView, ...]:
        """Add lines of a silo, which came `at` this Unix time; those that are new, with what is said of a gap.

        The coordinator's own have an empty name in its place.
        """

    def page(
        self, run: str, wanted: LogFilter, *, limit: int, after: int = 0, before: int | None = None
    ) -> Sequence[LogView]:
        """At most `limit` wanted lines, in order: the oldest after `after`; with `before` the newest before it."""

    def prune(self, kept: Kept, *, now: float) -> int:
        """Remove what is older than is kept, and the oldest of what is more; how many lines went."""


class SystemStore(Protocol):
    """The load of machines, a span of time a point: short spans of the last hour, longer ones of the time before.

    Contract: what is kept of one machine is bounded, however much it tells; samples of one span become one point. A
    StorageError changes nothing. Methods may be called from any thread.
    """

    def note(self, machine: str, report: SystemReport, *, now: float) -> int:
        """Add samples, and how many were: what is older than an hour, or not a second newer than the newest, is not."""

    def series(self, machine: str, *, since: float, until: float, now: float) -> SystemSeries:
        """The points of a time, by the shortest spans that are kept for its beginning; and what the machine has."""
