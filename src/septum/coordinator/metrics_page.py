"""What does the reference page of metrics say? It is made from what is declared.

python -m septum.coordinator.metrics_page > docs/reference/metrics.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from septum.coordinator.metrics import BUILD, METRICS
from septum.protocol.exposition import Kind, Metric

_HEAD = """# Metrics

Made by `python -m septum.coordinator.metrics_page > docs/reference/metrics.md`; a test checks that it is up to date.

`GET /metrics` on the coordinator answers these in Prometheus' text format, to whoever has the right `metrics.read` over
the federation, and with `metrics_port` on 127.0.0.1 to anybody on the coordinator's machine:
[how to monitor a federation](../how-to/monitor.md). All are sums over runs, silos and people: no label names one of
them, and there is nothing in them that a viewer of all runs could not see. Labels have the values that are listed, and
`other` for a code of a plugin's own error. Counters begin at 0 when the coordinator starts. A histogram `NAME` is read
as `NAME_bucket`, `NAME_sum` and `NAME_count`.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_table(), ""])


def _table() -> Iterator[str]:
    yield from ("| metric | kind | labels | |", "|---|---|---|---|")
    for metric in METRICS:
        yield f"| `{metric.name}` | {metric.kind.value} | {_labels(metric)} | {metric.text}{_bounds(metric)} |"


def _labels(metric: Metric) -> str:
    if metric is BUILD:  # its values change with each version
        return ", ".join(f"`{label}`" for label in metric.labels)
    return "; ".join(f"`{label}`: {', '.join(values)}" for label, values in metric.labels.items())


def _bounds(metric: Metric) -> str:
    if metric.kind is not Kind.HISTOGRAM:
        return ""
    return f" Buckets to {', '.join(f'{bound:g}' for bound in metric.bounds)} s."


if __name__ == "__main__":
    sys.stdout.write(page())
