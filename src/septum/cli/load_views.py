"""How does the load of a machine look to people?"""

from __future__ import annotations

from septum.cli.output import Answer, Table
from septum.cli.views import when
from septum.protocol.codec import to_json
from septum.protocol.system import SystemPoint, SystemSeries

TITLES = ("FROM", "SPAN", "CPU", "HIGHEST", "MEMORY", "DISK", "RECEIVED", "SENT", "GPU", "GPU MEMORY")
NONE = "nothing was told in this time: the silo is away, or its policy has system_every_s = 0"


def series(found: SystemSeries) -> Answer:
    """A history, oldest first."""
    machine = found.silo or "the coordinator"
    has = (
        f", of {found.memory_mb / 1000:.1f} GB memory and {found.disk_mb / 1000:.0f} GB disk" if found.memory_mb else ""
    )
    head = (f"{machine}{has}; means of each span, by the word of the machine",) if found.points else ()
    return Answer(to_json(found), (*head, Table(TITLES, tuple(_row(point) for point in found.points), NONE)))


def _row(point: SystemPoint) -> tuple[str, ...]:
    mean = point.mean
    return (
        when(point.at),
        f"{point.span_s:.0f} s",
        f"{mean.cpu:.0f} %",
        f"{point.highest.cpu:.0f} %",
        f"{mean.memory_mb / 1000:.1f} GB",
        f"{mean.disk_mb / 1000:.1f} GB",
        f"{mean.received_kbs:.0f} kB/s",
        f"{mean.sent_kbs:.0f} kB/s",
        "-" if mean.gpu is None else f"{mean.gpu:.0f} %",
        "-" if mean.gpu_memory_mb is None else f"{mean.gpu_memory_mb / 1000:.1f} GB",
    )
