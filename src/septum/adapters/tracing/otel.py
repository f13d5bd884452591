"""How do spans reach a collector? By OpenTelemetry's SDK, which sends them in batches from a thread of its own.

What the SDK takes from the environment holds here as well: OTEL_EXPORTER_OTLP_HEADERS for a token, say. Traceparents
are those of W3C Trace Context Level 1, section 3.2: `00-TRACE-SPAN-01`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from septum import __version__

OPEN_SPANS = 10_000  # begun and not ended; the oldest are forgotten above it
FLUSH_MS = 1_000
CLOSE_MS = 3_000
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class OtelSpans:
    """Spans by OTLP over HTTP. See `ports.spans.Spans` for the contract."""

    def __init__(self, endpoint: str, service: str) -> None:
        about = {"service.name": service, "service.version": __version__}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=5)
        self._processor = BatchSpanProcessor(exporter, schedule_delay_millis=FLUSH_MS)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("septum", __version__)
        self._lock = threading.Lock()
        self._open: dict[str, Span] = {}

    def begin(self, name: str, *, at: float, parent: str = "", about: Mapping[str, str | int] | None = None) -> str:
        """A span, within the span of the traceparent `parent`, or of a trace of its own; its traceparent."""
        within = _context_of(parent)
        above = None if within is None else set_span_in_context(NonRecordingSpan(within))
        span = self._tracer.start_span(name, above, attributes=dict(about or {}), start_time=_nanoseconds(at))
        context = span.get_span_context()
        traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        with self._lock:
            self._open[traceparent] = span
            while len(self._open) > OPEN_SPANS:
                del self._open[next(iter(self._open))]
        return traceparent

    def end(self, traceparent: str, *, at: float, problem: str = "") -> None:
        """It is over; `problem`: it came to nothing."""
        with self._lock:
            span = self._open.pop(traceparent, None)
        if span is not None:
            if problem:
                span.set_status(Status(StatusCode.ERROR, problem))
            span.end(_nanoseconds(at))

    def close(self) -> None:
        """Tell what was not told, for some seconds at most."""
        self._processor.force_flush(CLOSE_MS)
        self._provider.shutdown()


def _context_of(traceparent: str) -> SpanContext | None:
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    found = SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=TraceFlags(1))
    return found if found.is_valid else None


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)
