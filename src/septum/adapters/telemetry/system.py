"""Where is the load of machines kept? In the file of telemetry (file.py), as points. Port: ports/telemetry.py."""

from __future__ import annotations

from septum.adapters.telemetry.file import TelemetryFile
from septum.protocol.system import READINGS, Readings, SystemPoint, SystemReport, SystemSeries

OLDEST_SAMPLE_S = 3_600.0  # an agent holds its samples for as long when the coordinator is away
LEAST_APART_S = 1.0  # samples of one machine
SLACK_S = 60.0  # who asks for the last hour asks a moment later
TIERS = ((10, 3_600), (60, 86_400), (1_800, 30 * 86_400))  # a point for so many seconds, kept for so many

_COLUMNS = ", ".join(f"{name}, {name}_high" for name in READINGS)
_MORE = ", ".join(
    f"{name} = {name} + excluded.{name}, {name}_high = max({name}_high, excluded.{name}_high)" for name in READINGS
)
_ADD = (  # no value is in it, here and below
    f"INSERT INTO points (machine, every, at, count, {_COLUMNS}) VALUES (?, ?, ?, 1{', ?, ?' * len(READINGS)})"  # noqa: S608
    f" ON CONFLICT DO UPDATE SET count = count + 1, {_MORE}"
)
_NEWEST = "SELECT newest FROM machines WHERE machine = ?"
_SET_MACHINE = "INSERT OR REPLACE INTO machines VALUES (?, ?, ?, ?)"
_MACHINE = "SELECT memory_mb, disk_mb FROM machines WHERE machine = ?"
_OLD = "DELETE FROM points WHERE machine = ? AND every = ? AND at < ?"
_POINTS = (
    f"SELECT at, count, {_COLUMNS} FROM points"  # noqa: S608
    " WHERE machine = ? AND every = ? AND at > ? AND at <= ? ORDER BY at"
)


class SqliteSystem:
    """Loads of machines in one SQLite file. See `ports.telemetry.SystemStore` for the contract."""

    def __init__(self, file: TelemetryFile) -> None:
        self._file = file

    def note(self, machine: str, report: SystemReport, *, now: float) -> int:
        """Add samples; how many were."""
        added = 0
        with self._file.write() as connection:
            (newest,) = connection.execute(_NEWEST, (machine,)).fetchone() or (0.0,)
            newest = min(newest, now)  # the clock here may have been set back
            for sample in report.samples:
                at = min(sample.at, now)
                if at < max(now - OLDEST_SAMPLE_S, newest + LEAST_APART_S):
                    continue
                newest, added = at, added + 1
                values = [value for name in READINGS for value in [getattr(sample.readings, name)] * 2]
                for every_s, _ in TIERS:
                    connection.execute(_ADD, (machine, every_s, int(at) // every_s * every_s, *values))
            for every_s, kept_s in TIERS:
                connection.execute(_OLD, (machine, every_s, now - kept_s))
            connection.execute(_SET_MACHINE, (machine, newest, report.memory_mb, report.disk_mb))
        return added

    def series(self, machine: str, *, since: float, until: float, now: float) -> SystemSeries:
        """The points of a time, by the shortest spans that are kept for its beginning."""
        every_s = next((every for every, kept_s in TIERS if since >= now - kept_s - SLACK_S), TIERS[-1][0])
        with self._file.read() as connection:
            rows = connection.execute(_POINTS, (machine, every_s, since - every_s, until)).fetchall()
            has = connection.execute(_MACHINE, (machine,)).fetchone() or (0.0, 0.0)
        return SystemSeries(machine, tuple(_point(every_s, row) for row in rows), *has)


def _point(every_s: int, row: tuple[float, ...]) -> SystemPoint:
    at, count, *values = row
    mean = dict(zip(READINGS, (None if total is None else total / count for total in values[::2]), strict=True))
    highest = dict(zip(READINGS, values[1::2], strict=True))
    return SystemPoint(float(at), float(every_s), int(count), Readings(**mean), Readings(**highest))
