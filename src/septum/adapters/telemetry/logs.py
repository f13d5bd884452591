"""Where are the lines of the runs' logs kept? In the file of telemetry (file.py). Port: ports/telemetry.py."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence

from septum.adapters.telemetry.file import TelemetryFile
from septum.ports.telemetry import Kept
from septum.protocol.log_lines import LogBatch, LogFilter, LogLevel, LogOrigin, LogView, missing

MAX_SILO_BYTES = 8 * 1024 * 1024  # of one silo's lines in one run; above it the oldest quarter of them goes
PRUNED_AT_ONCE = 5_000  # lines: nobody waits longer for the file than their removal takes
LINE_BYTES = 64  # what a line takes besides its text

_LEVELS = tuple(LogLevel)
_ORIGINS = tuple(LogOrigin)
_COUNTED = f"count(*), coalesce(sum({LINE_BYTES} + length(CAST(text AS BLOB))), 0)"
_HEAD = "SELECT stream, next, lines, bytes FROM streams WHERE run = ? AND silo = ?"
_SET_HEAD = "INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?, ?)"
_ADD = "INSERT INTO lines (run, silo, at, came, level, origin, round, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_THIN = "DELETE FROM lines WHERE seq IN (SELECT seq FROM lines WHERE run = ? AND silo = ? ORDER BY seq LIMIT ?)"
_LEFT = f"SELECT {_COUNTED} FROM lines WHERE run = ? AND silo = ?"  # noqa: S608  no value is in it, here and below
_TOTAL = "SELECT coalesce(sum(bytes), 0) FROM streams"
_LAST_TO_GO = "SELECT max(seq) FROM (SELECT seq, came FROM lines ORDER BY seq LIMIT ?) WHERE came < ?"
_GOING = f"SELECT {_COUNTED}, run, silo FROM lines WHERE seq <= ? GROUP BY run, silo"  # noqa: S608
_LESS = "UPDATE streams SET lines = lines - ?, bytes = bytes - ? WHERE run = ? AND silo = ?"
_SELECT = "SELECT seq, silo, at, level, origin, round, text FROM lines"


class SqliteLogs:
    """Lines of logs in one SQLite file. See `ports.telemetry.LogStore` for the contract."""

    def __init__(self, file: TelemetryFile) -> None:
        self._file = file

    def add(self, run: str, silo: str, batch: LogBatch, *, at: float) -> tuple[LogView, ...]:
        """Add lines of a silo; those that are new, with what is said of a gap."""
        with self._file.write() as connection:
            stream, following, count, size_bytes = connection.execute(_HEAD, (run, silo)).fetchone() or ("", 0, 0, 0)
            expected = following if stream == batch.stream else 0
            new = batch.lines[max(0, expected - batch.first) :]
            if not new:
                return ()
            lines = [
                (min(line.at, at), line.level, line.origin, line.round, line.text.replace("\0", "\ufffd"))
                for line in new
            ]
            if batch.first > expected:
                gap = missing(batch.first - expected, silo)
                lines.insert(0, (lines[0][0], LogLevel.WARNING, LogOrigin.COORDINATOR, new[0].round, gap))
            views = []
            for line_at, level, origin, round_, text in lines:
                row = (run, silo, line_at, at, _LEVELS.index(level), _ORIGINS.index(origin), round_, text)
                seq = connection.execute(_ADD, row).lastrowid
                assert seq is not None
                views.append(LogView(seq, silo, line_at, level, origin, round_, text))
            count += len(views)
            size_bytes += sum(LINE_BYTES + len(view.text.encode()) for view in views)
            if size_bytes > MAX_SILO_BYTES:
                connection.execute(_THIN, (run, silo, max(1, count // 4)))
                count, size_bytes = connection.execute(_LEFT, (run, silo)).fetchone()
            connection.execute(_SET_HEAD, (run, silo, batch.stream, batch.end, count, size_bytes))
        return tuple(views)

    def page(
        self, run: str, wanted: LogFilter, *, limit: int, after: int = 0, before: int | None = None
    ) -> Sequence[LogView]:
        """At most `limit` wanted lines, in order: the oldest after `after`; with `before` the newest before it."""
        where, given = _where(wanted)
        order = "seq"
        if before is not None:
            where, given, order = f"{where} AND seq < ?", (*given, before), "seq DESC"
        query = f"{_SELECT} WHERE run = ? AND seq > ? AND {where} ORDER BY {order} LIMIT ?"
        with self._file.read() as connection:
            rows = connection.execute(query, (run, after, *given, limit)).fetchall()
        return [_view(row) for row in (rows if before is None else reversed(rows))]

    def prune(self, kept: Kept, *, now: float) -> int:
        """Remove what is older than is kept, and the oldest of what is more; how many lines went."""
        gone = 0
        while removed := self._prune_some(now - kept.seconds, kept.size_bytes):
            gone += removed
        return gone

    def _prune_some(self, oldest: float, size_bytes: int) -> int:
        with self._file.write() as connection:
            (total,) = connection.execute(_TOTAL).fetchone()
            until = math.inf if total > size_bytes else oldest
            (last,) = connection.execute(_LAST_TO_GO, (PRUNED_AT_ONCE, until)).fetchone()
            if last is None:
                return 0
            connection.executemany(_LESS, connection.execute(_GOING, (last,)).fetchall())
            connection.execute("DELETE FROM streams WHERE lines <= 0")
            return int(connection.execute("DELETE FROM lines WHERE seq <= ?", (last,)).rowcount)


def _where(wanted: LogFilter) -> tuple[str, tuple[object, ...]]:
    conditions: list[str] = ["level >= ?", "at >= ?"]
    given: list[object] = [_LEVELS.index(wanted.level), wanted.since]
    if wanted.silo:
        conditions.append("silo = ?")
        given.append(wanted.silo)
    if wanted.origin is not None:
        conditions.append("origin = ?")
        given.append(_ORIGINS.index(wanted.origin))
    if wanted.round is not None:
        conditions.append("round = ?")
        given.append(wanted.round)
    if wanted.text:
        conditions.append("instr(lower(text), lower(?)) > 0")
        given.append(wanted.text.replace("\0", "\ufffd"))
    return " AND ".join(conditions), tuple(given)


def _view(row: sqlite3.Row | tuple[int, str, float, int, int, int, str]) -> LogView:
    seq, silo, at, level, origin, round_, text = row
    return LogView(seq, silo, at, _LEVELS[level], _ORIGINS[origin], round_, text)
