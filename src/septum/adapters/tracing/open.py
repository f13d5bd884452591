"""How are spans told where a setting asks for it? The OpenTelemetry libraries are loaded then, and only then."""

from __future__ import annotations

from septum.adapters.addresses import by_tls_or_here
from septum.errors import ConfigError, MissingExtraError
from septum.ports.spans import Spans


def check_endpoint(url: str, where: str) -> str:
    """A collector's address: https://, or http:// on this machine. Raises ConfigError.

    >>> check_endpoint("https://otel.example.org:4318", "traces_endpoint")
    'https://otel.example.org:4318'
    """
    if not by_tls_or_here(url):
        raise ConfigError(
            f"{where}: {url!r} is no address of a collector: https:// is needed, or http:// on this machine",
            hint='"http://127.0.0.1:4318"',
        )
    return url.rstrip("/")


def open_spans(endpoint: str, service: str) -> Spans:
    """Spans of a program of this name, to the collector at `endpoint` by OTLP over HTTP. Raises MissingExtraError."""
    try:
        from septum.adapters.tracing.otel import OtelSpans  # the extra `otel`, which costs 20 MB
    except ImportError as error:
        raise MissingExtraError(
            f"traces need {error.name}, which is not installed", hint="pip install 'septum[otel]'"
        ) from error
    return OtelSpans(endpoint, service)
