"""How are measurements written for Prometheus? In its text format, version 0.0.4: three kinds, and labels that are few.

The format: prometheus.io/docs/instrumenting/exposition_formats. Every value that a label can have is declared with its
metric, so the number of series is known before anything is counted, and nothing of one run or person can be in one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"  # in place of a value that was not declared: what is counted must not fail what it counts


class Kind(Enum):
    """What a metric is. A counter only grows, until the process ends."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured.

    name    with its unit: `_seconds`, `_bytes`; of a counter `_total`
    text    what it says, for the documentation and the page itself
    labels  each with all the values that it can have
    bounds  the upper bounds of a histogram's buckets, growing
    """

    name: str
    kind: Kind
    text: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bounds: Sequence[float] = ()


class Numbers:
    r"""What was counted of one metric. Cheap to add to: a look into a dictionary, and of a histogram a search.

    >>> counted = Numbers(Metric("a_total", Kind.COUNTER, "As.", {"kind": ("x", "y")}))
    >>> counted.add(2, "x")
    >>> counted.add(1, "z")
    >>> print("\n".join(counted.lines()))
    # HELP a_total As.
    # TYPE a_total counter
    a_total{kind="x"} 2
    a_total{kind="y"} 0
    a_total{kind="other"} 1
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._known = tuple(frozenset(values) for values in metric.labels.values())
        self._values: dict[tuple[str, ...], float] = {}
        self._buckets: dict[tuple[str, ...], list[int]] = {}
        for labels in _every(tuple(metric.labels.values())):
            self._make(labels)

    def add(self, amount: float, *labels: str) -> None:
        """Count: of a counter never less than 0."""
        key = self._key(labels)
        self._values[key] += amount

    def set(self, value: float, *labels: str) -> None:
        """What a gauge shows now."""
        self._values[self._key(labels)] = value

    def observe(self, value: float, *labels: str) -> None:
        """One more value of a histogram, in the metric's unit."""
        key = self._key(labels)
        self._buckets[key][bisect_left(self.metric.bounds, value)] += 1
        self._values[key] += value

    def value(self, *labels: str) -> float:
        """What was counted; of a histogram the sum."""
        return self._values[self._key(labels)]

    def lines(self) -> Iterator[str]:
        """The metric as the format has it."""
        name = self.metric.name
        yield f"# HELP {name} {self.metric.text}"
        yield f"# TYPE {name} {self.metric.kind.value}"
        for labels, value in list(self._values.items()):
            pairs = [f'{label}="{_escaped(one)}"' for label, one in zip(self.metric.labels, labels, strict=True)]
            if self.metric.kind is not Kind.HISTOGRAM:
                yield f"{name}{_braced(pairs)} {_number(value)}"
                continue
            counts = list(accumulate(self._buckets[labels]))
            for bound, count in zip((*map(_number, self.metric.bounds), "+Inf"), counts, strict=True):
                yield f"{name}_bucket{_braced([*pairs, f'le={_quoted(bound)}'])} {count}"
            yield f"{name}_sum{_braced(pairs)} {_number(value)}"
            yield f"{name}_count{_braced(pairs)} {counts[-1]}"

    def _key(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        if labels in self._values:
            return labels
        known = zip(labels, self._known, strict=True)
        key = tuple(label if label in values else OTHER for label, values in known)
        if key not in self._values:
            self._make(key)
        return key

    def _make(self, key: tuple[str, ...]) -> None:
        self._values[key] = 0
        if self.metric.kind is Kind.HISTOGRAM:
            self._buckets[key] = [0] * (len(self.metric.bounds) + 1)


def page(numbers: Iterable[Numbers]) -> str:
    """All of them, as they are answered to Prometheus."""
    return "".join(f"{line}\n" for one in numbers for line in one.lines())


def _every(values: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    if not values:
        yield ()
        return
    for first in values[0]:
        for rest in _every(values[1:]):
            yield (first, *rest)


def _braced(pairs: Sequence[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _quoted(text: str) -> str:
    return f'"{text}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
