"""What is told of a run's log? Lines of a silo's agent or of its app, cut to size, in numbered batches.

A batch may come twice, or not at all: its lines are numbered within one life of the agent and one run, so that a repeat
is known, and a gap says how many lines nobody was told. Sizes are checked here and nowhere else. Decision 0025.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from septum.errors import MessageError
from septum.protocol.plan import Plan

MAX_LINE_CHARS = 2_000
MAX_BATCH_LINES = 100
MAX_BATCH_BYTES = 128 * 1024  # of the texts, as JSON: a message has at most 256 KiB
MAX_LINES = 2**53
MAX_AT = 253_402_300_800.0  # the year 10000
MAX_ROUND = 1_000_000
_STREAM = re.compile(r"[0-9a-f]{16}")


class LogLevel(Enum):
    """How much a line matters."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def at_least(self) -> tuple[LogLevel, ...]:
        """This level and those above it.

        >>> [level.value for level in LogLevel.WARNING.at_least]
        ['warning', 'error']
        """
        levels = tuple(LogLevel)
        return levels[levels.index(self) :]


class LogOrigin(Enum):
    """Who said it: a silo's agent, the app in its training process, or the coordinator."""

    AGENT = "agent"
    APP = "app"
    COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `at`: Unix time by the silo's clock, seconds. `round`: the one at work; 0 before the first."""

    at: float
    level: LogLevel
    origin: LogOrigin
    text: str
    round: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.at < MAX_AT:
            raise MessageError(f"a line of a log is of no time: {self.at!r}")
        if len(self.text) > MAX_LINE_CHARS:
            raise MessageError(f"a line of {len(self.text)} characters, at most {MAX_LINE_CHARS} are told")
        if not 0 <= self.round <= MAX_ROUND:
            raise MessageError(f"a line of a log is of round {self.round}, out of 0 to {MAX_ROUND}")


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Lines of one run, in order.

    stream  the agent's life, 16 hex digits: numbers begin anew with each
    first   the number of the first line in it, from 0; what was dropped is numbered as well
    """

    stream: str
    first: int
    lines: tuple[LogLine, ...]

    def __post_init__(self) -> None:
        if not _STREAM.fullmatch(self.stream):
            raise MessageError(f"{self.stream[:40]!r} names no stream of lines: 16 hex digits are needed")
        if not 0 <= self.first <= MAX_LINES:
            raise MessageError(f"a batch begins at line {self.first}, out of 0 to {MAX_LINES}")
        if not 1 <= len(self.lines) <= MAX_BATCH_LINES:
            raise MessageError(f"a batch of {len(self.lines)} lines, 1 to {MAX_BATCH_LINES} are possible")

    @property
    def end(self) -> int:
        """The number of the next line."""
        return self.first + len(self.lines)

    def check_told(self) -> None:
        """Whether a silo may tell this. Raises MessageError."""
        if any(line.origin is LogOrigin.COORDINATOR for line in self.lines):
            raise MessageError("a silo tells what it says itself, not what the coordinator says")


@dataclass(frozen=True, slots=True)
class LogView:
    """A line as people and tools see it.

    seq          grows with each line that the coordinator was told, over all runs
    silo         who told it; empty: the coordinator itself
    at           Unix time, seconds: as the silo says, and never later than it came
    """

    seq: int
    silo: str
    at: float
    level: LogLevel
    origin: LogOrigin
    round: int
    text: str


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines are looked for: those for which all of this holds. Empty values hold for every line.

    silo    told by this one
    level   of this level, or above
    origin  said by this one
    since   at this Unix time or later
    round   of this round; None for all
    text    with this in it; upper and lower case are the same for ASCII
    """

    silo: str = ""
    level: LogLevel = LogLevel.DEBUG
    origin: LogOrigin | None = None
    since: float = 0.0
    round: int | None = None
    text: str = ""

    def holds(self, line: LogView) -> bool:
        """Whether a line is looked for."""
        return (
            self.silo in ("", line.silo)
            and line.level in self.level.at_least
            and self.origin in (None, line.origin)
            and line.at >= self.since
            and self.round in (None, line.round)
            and _lower(self.text) in _lower(line.text)
        )


ALL_LINES = LogFilter()


def app_may_tell(plan: Plan) -> bool:
    """Whether what an app prints may leave a silo in such a run at all: neither in a masked one nor in a private one.

    There the coordinator is to learn sums, or noisy numbers, and a line that an app prints is neither.
    """
    return plan.masking is None and plan.privacy is None and plan.query is None


def cut(text: str, size: int | None = None) -> str:
    """A line as it is told: of a long one the beginning, and how long it was. `size`: characters or bytes of all of it.

    >>> cut("loss 0.5")
    'loss 0.5'
    >>> cut("x" * 5000)[-42:]
    'xxxx ... (the first 1940 of 5000 are told)'
    """
    size = len(text) if size is None else size
    if len(text) <= MAX_LINE_CHARS and size <= len(text):
        return text
    kept = text[: MAX_LINE_CHARS - 60]
    return f"{kept} ... (the first {len(kept)} of {size} are told)"


def missing(count: int, silo: str) -> str:
    """What is said in place of lines that did not come, of a silo or of the coordinator itself.

    >>> missing(3, "north")
    '3 lines of this silo are missing here'
    """
    return f"{count} lines {'of this silo' if silo else 'of the coordinator'} are missing here"


_ERROR = re.compile(
    r"(?:Traceback \(most recent call last\)|(?:[A-Za-z_][\w.]*)?(?:Error|Exception)\b|(?:ERROR|CRITICAL|FATAL)\b)"
)
_WARNING = re.compile(r"WARN(?:ING)?\b|.*\b\w*Warning: ")


def level_of(text: str) -> LogLevel:
    """How much a line matters that an app has printed, as far as its words tell.

    >>> level_of("UserWarning: x is deprecated").value, level_of("ValueError: no rows").value, level_of("loss 1").value
    ('warning', 'error', 'info')
    """
    if _ERROR.match(text):
        return LogLevel.ERROR
    return LogLevel.WARNING if _WARNING.match(text) else LogLevel.INFO


def _lower(text: str) -> str:
    """Lower case for ASCII alone, as SQLite's LIKE has it."""
    return "".join(char.lower() if char.isascii() else char for char in text)
