"""How busy is a silo's machine? Samples that its agent tells, and how a long history of them becomes few points.

None of it is proven. Numbers are rounded in the silo, and none is told while a run with differential privacy is at work
there: how long it computes tells something of its rows. Decision 0025.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby

from septum.errors import MessageError

MAX_SAMPLES = 60  # in one message
MAX_POINTS = 2_000  # in one answer
MAX_NUMBER = 1e12
_MAX_AT = 253_402_300_800.0  # the year 10000


@dataclass(frozen=True, slots=True)
class Readings:
    """What was read at one moment, or the mean or the highest of a span of time.

    cpu, gpu          percent of all cores, or of all GPUs; gpu is None where no GPU can be asked
    memory_mb         in use, 10^6 bytes; so gpu_memory_mb, of all GPUs
    disk_mb           in use on the file system with the silo's directory, 10^6 bytes
    received_kbs, sent_kbs  by all network interfaces but the loopback, 10^3 bytes a second
    """

    cpu: float
    memory_mb: float
    disk_mb: float
    received_kbs: float
    sent_kbs: float
    gpu: float | None = None
    gpu_memory_mb: float | None = None

    def __post_init__(self) -> None:
        for name in READINGS:
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= MAX_NUMBER:
                raise MessageError(f"{name}: {value!r} is out of 0 to {MAX_NUMBER:g}")


READINGS = tuple(one.name for one in fields(Readings))


@dataclass(frozen=True, slots=True)
class SystemSample:
    """Readings at a moment. `at`: Unix time by the silo's clock, seconds."""

    at: float
    readings: Readings

    def __post_init__(self) -> None:
        if not 0.0 <= self.at < _MAX_AT:
            raise MessageError(f"a sample is of no time: {self.at!r}")


@dataclass(frozen=True, slots=True)
class SystemReport:
    """What a silo tells at one time: samples, oldest first; and what its machine has, 10^6 bytes, 0 if not known."""

    samples: tuple[SystemSample, ...]
    memory_mb: float = 0.0
    disk_mb: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.samples) <= MAX_SAMPLES:
            raise MessageError(f"{len(self.samples)} samples in one message, 1 to {MAX_SAMPLES} are possible")
        for name in ("memory_mb", "disk_mb"):
            if not 0.0 <= getattr(self, name) <= MAX_NUMBER:
                raise MessageError(f"{name}: {getattr(self, name)!r} is out of 0 to {MAX_NUMBER:g}")


@dataclass(frozen=True, slots=True)
class SystemPoint:
    """A span of time that begins at `at`, Unix seconds, with `count` samples in it."""

    at: float
    span_s: float
    count: int
    mean: Readings
    highest: Readings


@dataclass(frozen=True, slots=True)
class SystemSeries:
    """The history of a machine, oldest first. Of a span without a point nobody was told anything.

    silo                 whose; empty for the coordinator's own
    memory_mb, disk_mb   what the machine has, 10^6 bytes; 0 if it is not known
    """

    silo: str
    points: tuple[SystemPoint, ...]
    memory_mb: float = 0.0
    disk_mb: float = 0.0


def fewer(points: Sequence[SystemPoint], most: int) -> tuple[SystemPoint, ...]:
    """At most `most` points that cover the same time: neighbours become one, with their mean and their highest.

    The time from the first point to the last is cut into `most` spans as long as each other, so a gap stays a gap, and
    a peak stays a peak however few points are left.
    """
    if len(points) <= most:
        return tuple(points)
    start = points[0].at
    span_s = (points[-1].at + points[-1].span_s - start) / most
    spans = groupby(points, key=lambda point: min(most - 1, int((point.at - start) / span_s)))
    return tuple(merged(tuple(group), start + number * span_s, span_s) for number, group in spans)


def merged(points: Sequence[SystemPoint], at: float, span_s: float) -> SystemPoint:
    """One point for several."""
    count = sum(point.count for point in points)
    means = {name: _mean((getattr(one.mean, name), one.count) for one in points) for name in READINGS}
    highest = {name: _highest(getattr(one.highest, name) for one in points) for name in READINGS}
    return SystemPoint(at, span_s, count, Readings(**means), Readings(**highest))  # type: ignore[arg-type]


def _mean(values: Iterable[tuple[float | None, int]]) -> float | None:
    """Of those that are known, each with how many samples it stands for."""
    known = [(value, count) for value, count in values if value is not None]
    if not known:
        return None
    return math.fsum(value * count for value, count in known) / sum(count for _, count in known)


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
