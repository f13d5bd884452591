"""What does a silo tell of its work in a trace? Its own spans, to its own steward's collector, if `policy.traces` says.

The coordinator's answers carry a traceparent; a span of the work is within that, and the steps are within the span. Of
a run with differential privacy there are no steps: how long they took tells something of the rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from septum.ports.spans import Spans
from septum.protocol.messages import Stage
from septum.protocol.timeline import STEPS


@dataclass(frozen=True, slots=True)
class Asked:
    """What a silo was asked: within which span, and when, Unix seconds."""

    traceparent: str
    at: float


class Traces:
    """The spans of one agent. May be used by several threads."""

    def __init__(self, spans: Spans, silo: str, unix: Callable[[], float] = time.time) -> None:
        self._spans = spans
        self._silo = silo
        self._unix = unix
        self._lock = threading.Lock()
        self._asked: dict[str, Asked] = {}

    def told(self, run: str, traceparent: str) -> None:
        """An answer in a run has come with this; empty: it is of no trace."""
        with self._lock:
            self._asked.pop(run, None)
            if traceparent:
                self._asked[run] = Asked(traceparent, self._unix())

    def asked(self, run: str) -> Asked | None:
        """What this silo was asked last in a run; None where that has no trace."""
        with self._lock:
            return self._asked.get(run)

    def forget(self, run: str) -> None:
        """The run is over here."""
        with self._lock:
            self._asked.pop(run, None)

    def worked(
        self,
        run: str,
        asked: Asked,
        where: tuple[Stage, int, int],
        durations_s: Mapping[str, float],
        problem: str = "",
    ) -> None:
        """The silo has said what came of its work. `where`: stage, round, attempt."""
        now, (stage, round_, attempt) = self._unix(), where
        about = {
            "septum.run_id": run,
            "septum.silo": self._silo,
            "septum.stage": stage.value,
            "septum.round": round_,
            "septum.attempt": attempt,
        }
        whole = self._spans.begin(f"{stage.value} in {self._silo}", at=asked.at, parent=asked.traceparent, about=about)
        steps = [(step, durations_s[step]) for step in STEPS if durations_s.get(step, 0.0) > 0]
        start = max(asked.at, now - sum(seconds for _, seconds in steps))
        for step, seconds in steps:  # their end is known, so they are laid before it, as in the timeline
            span = self._spans.begin(step, at=start, parent=whole)
            start = min(start + seconds, now)
            self._spans.end(span, at=start)
        self._spans.end(whole, at=now, problem=problem)

    def close(self) -> None:
        """Tell what was not told."""
        self._spans.close()
