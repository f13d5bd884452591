"""Where do spans of traces go? Spans as OpenTelemetry has them, known by their W3C traceparent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Spans(Protocol):
    """Takes spans and brings them to a collector.

    Contract: nothing raises or waits for the collector; a span that cannot be told is lost. Times are Unix seconds. May
    be called from any thread.
    """

    def begin(self, name: str, *, at: float, parent: str = "", about: Mapping[str, str | int] | None = None) -> str:
        """A span, within the span of the traceparent `parent`, or of a trace of its own; its traceparent.

        What is no traceparent counts as none.
        """

    def end(self, traceparent: str, *, at: float, problem: str = "") -> None:
        """It is over; `problem`: it came to nothing. One that is not known, or is over, is ignored."""

    def close(self) -> None:
        """Tell what was not told, for some seconds at most."""
