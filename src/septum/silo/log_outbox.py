"""What waits to be told of the runs' logs? Bounded queues that drop the oldest line, and never make anybody wait.

Lines of the agent's own come from `Log`, cut to what may leave (told.py); those of an app from the pipe that its
process prints into, and only for a run that `begin` was told of with `app`. What is dropped is numbered as well, so
that the coordinator sees how many lines are missing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from septum.protocol.codec import dumps
from septum.protocol.log_lines import (
    MAX_BATCH_BYTES,
    MAX_BATCH_LINES,
    MAX_LINE_CHARS,
    MAX_ROUND,
    LogBatch,
    LogLevel,
    LogLine,
    LogOrigin,
    cut,
    level_of,
)
from septum.silo.told import told

MAX_RUNS = 64
MAX_WAITING_BYTES = 512 * 1024  # of one run's lines: while the coordinator is away the oldest are dropped
LINES_A_SECOND = 50.0  # of one run and origin; what an app prints above it is counted, and not looked at
BURST_LINES = 500.0
MAX_APP_BYTES = 4 * 1024 * 1024  # of what an app prints in one run
_ENOUGH_BYTES = 4 * MAX_LINE_CHARS  # of a line's beginning: UTF-8 has 4 bytes a character at most


@dataclass(eq=False, slots=True)
class _Bucket:
    """A token bucket: LINES_A_SECOND, after BURST_LINES at once."""

    room: float = BURST_LINES
    filled_at: float = 0.0

    def has_room(self, now: float) -> bool:
        """Whether another line may come."""
        self.room = min(BURST_LINES, self.room + LINES_A_SECOND * max(0.0, now - self.filled_at))
        self.filled_at = now
        return self.room >= 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A line with its number, and its size as JSON."""

    number: int
    line: LogLine
    size_bytes: int


@dataclass(eq=False, slots=True)
class _Run:
    """What waits of one run. `next`: the number of the next line; `begun`: of a line that the app has not ended."""

    lines: deque[_Waiting] = field(default_factory=deque)
    size_bytes: int = 0
    next: int = 0
    round: int = 0
    app: bool = False
    exact: bool = False
    closed: bool = False
    buckets: dict[LogOrigin, _Bucket] = field(default_factory=lambda: {origin: _Bucket() for origin in LogOrigin})
    app_bytes: int = 0
    begun: bytearray = field(default_factory=bytearray)
    begun_bytes: int = 0


class LogOutbox:
    """The lines of all runs that this agent serves. For any thread.

    stream     names this life of the agent, 16 hex digits
    unix       Unix time, seconds
    monotonic  seconds
    """

    def __init__(self, stream: str, unix: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._stream = stream
        self._unix = unix
        self._monotonic = monotonic
        self._runs: dict[str, _Run] = {}
        self._changed = threading.Condition()
        self._ending = False

    def begin(self, run: str, *, app: bool, exact: bool) -> None:
        """A run is served. `app`: what its app prints may leave; `exact`: times leave as they are, else whole seconds.

        Without it the agent's own lines of a run are told to the second, and what an app prints stays.
        """
        with self._changed:
            known = self._of(run)
            known.app, known.exact = app, exact

    def agent(self, level: LogLevel, event: str, fields: Mapping[str, object]) -> None:
        """The agent has logged something. Lines of no run, and what may not leave, are passed over."""
        run, text = fields.get("run_id"), told(event, fields)
        if not isinstance(run, str) or text is None:
            return
        with self._changed:
            known = self._of(run)
            if event == "working" and isinstance(round_ := fields.get("round"), int):
                known.round = min(max(round_, 0), MAX_ROUND)
            self._add(known, level, LogOrigin.AGENT, cut(text))

    def app(self, run: str, chunk: bytes) -> None:
        """An app has printed something: any bytes, whole lines or not."""
        with self._changed:
            known = self._runs.get(run)
            if known is None or not known.app or known.closed or known.app_bytes > MAX_APP_BYTES:
                return
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                if not known.buckets[LogOrigin.APP].has_room(self._monotonic()):
                    known.next += 1 + chunk.count(b"\n", end + 1)  # a flood: it is counted, and not looked at
                    known.begun.clear()
                    start, known.begun_bytes = chunk.rfind(b"\n") + 1, 0
                    break
                _more(known, chunk, start, end)
                self._line(known)
                start = end + 1
            _more(known, chunk, start, len(chunk))

    def take(self, run: str) -> LogBatch | None:
        """What is to be told next of a run, None if nothing is. It waits on until it is `settled`."""
        with self._changed:
            known = self._runs.get(run)
            if known is None or not known.lines:
                return None
            first, size_bytes = known.lines[0].number, 0
            lines: list[LogLine] = []
            for waiting in known.lines:
                size_bytes += waiting.size_bytes
                gap = waiting.number != first + len(lines)
                if gap or len(lines) == MAX_BATCH_LINES or (lines and size_bytes > MAX_BATCH_BYTES):
                    break
                lines.append(waiting.line)
            return LogBatch(self._stream, first, tuple(lines))

    def settled(self, run: str, batch: LogBatch) -> None:
        """A batch was told."""
        with self._changed:
            known = self._runs.get(run)
            while known is not None and known.lines and known.lines[0].number < batch.end:
                known.size_bytes -= known.lines.popleft().size_bytes

    def close(self, run: str) -> None:
        """Nothing more of a run is told, as the coordinator does not want it."""
        with self._changed:
            known = self._of(run)
            known.closed = True
            known.lines.clear()
            known.size_bytes = 0

    def waiting(self) -> tuple[str, ...]:
        """Runs of which something waits."""
        with self._changed:
            return self._waiting()

    def wait(self) -> bool:
        """Until something waits, or `end`. Whether it goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending or bool(self._waiting()))
            return not self._ending

    def end(self) -> None:
        """Wake up whoever waits."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def _waiting(self) -> tuple[str, ...]:
        return tuple(run for run, known in self._runs.items() if known.lines)

    def _of(self, run: str) -> _Run:
        """The queue of a run. When there are too many, the oldest goes of which nothing waits, or else the oldest."""
        if run not in self._runs:
            if len(self._runs) >= MAX_RUNS:
                silent = (old for old, known in self._runs.items() if not known.lines)
                del self._runs[next(silent, next(iter(self._runs)))]
            self._runs[run] = _Run()
        return self._runs[run]

    def _line(self, known: _Run) -> None:
        """The app has ended a line. Empty ones are none."""
        whole = known.begun_bytes == len(known.begun)
        text = known.begun.decode(errors="replace").rstrip("\r")
        size = len(text) if whole else known.begun_bytes
        known.begun.clear()
        known.begun_bytes = 0
        if not text.strip():
            return
        line = cut(text, size)
        known.app_bytes += len(line.encode())
        self._add(known, level_of(line), LogOrigin.APP, line)
        if known.app_bytes > MAX_APP_BYTES:
            limit = f"log_limit bytes={MAX_APP_BYTES}: nothing more is told of what the app prints in this run"
            self._add(known, LogLevel.WARNING, LogOrigin.AGENT, limit)

    def _add(self, known: _Run, level: LogLevel, origin: LogOrigin, text: str) -> None:
        if known.closed:
            return
        number, known.next = known.next, known.next + 1
        bucket = known.buckets[origin]
        if not bucket.has_room(self._monotonic()):
            return
        bucket.room -= 1.0
        at = self._unix()
        line = LogLine(at if known.exact else float(int(at)), level, origin, text, known.round)
        waiting = _Waiting(number, line, len(dumps(text)))
        known.lines.append(waiting)
        known.size_bytes += waiting.size_bytes
        while known.size_bytes > MAX_WAITING_BYTES:
            known.size_bytes -= known.lines.popleft().size_bytes
        self._changed.notify_all()


def _more(known: _Run, chunk: bytes, start: int, end: int) -> None:
    """Add to the line that is begun: of a long one the beginning is kept, and how long it is."""
    room = max(0, _ENOUGH_BYTES - len(known.begun))
    known.begun += chunk[start : min(end, start + room)]
    known.begun_bytes += end - start
