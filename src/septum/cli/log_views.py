"""How do lines of runs' logs look to people?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from septum.cli.failures import Interrupted, UsageProblem
from septum.cli.output import Answer, Output, one_line
from septum.errors import did_you_mean
from septum.protocol.codec import to_json
from septum.protocol.log_lines import LogFilter, LogLevel, LogOrigin, LogView

if TYPE_CHECKING:
    from septum.client.telemetry import LogsClient

NEWEST = 2**53
NONE = 'no line: a silo tells none where its policy has logs = "none"; of an app only with logs = "app"'


def wanted(*, silo: str, level: str, origin: str, round_: int | None, text: str) -> LogFilter:
    """Which lines are asked for. Raises UsageProblem for a word that is none of the known ones."""
    levels = {one.value: one for one in LogLevel}
    origins = {one.value: one for one in LogOrigin}
    if level not in levels:
        raise UsageProblem(f"--level {level[:40]!r}: {did_you_mean(level, levels)}")
    if origin and origin not in origins:
        raise UsageProblem(f"--origin {origin[:40]!r}: {did_you_mean(origin, origins)}")
    return LogFilter(silo=silo, level=levels[level], origin=origins.get(origin), round=round_, text=text)


def shown(logs: LogsClient, run: str, asked: LogFilter, *, after: int | None, limit: int) -> Answer:
    """The newest lines, or those after one."""
    lines = _lines(logs, run, asked, after, limit)
    text = "\n".join(line_text(line) for line in lines) if lines else NONE
    return Answer({"lines": [to_json(line) for line in lines]}, (text,))


def followed(output: Output, logs: LogsClient, run: str, asked: LogFilter, *, after: int | None, limit: int) -> Answer:
    """The same, and each line as it comes, until the run has ended.

    Raises:
        Interrupted: Ctrl-C. The hint says how to come back.
    """
    last = after or 0
    told = 0
    try:
        for line in _lines(logs, run, asked, after, limit):
            output.item(to_json(line), line_text(line))
            last, told = line.seq, told + 1
        for line in logs.follow(run, asked, after=last):
            output.item(to_json(line), line_text(line))
            last, told = line.seq, told + 1
    except KeyboardInterrupt:
        raise Interrupted(
            f"detached from the log of run {run}", hint=f"septum log show {run} --follow --after {last}"
        ) from None
    return Answer({"run": run, "lines": told, "last": last})


def line_text(line: LogView) -> str:
    """A line as people read it.

    >>> line_text(LogView(7, "north", 0.25, LogLevel.INFO, LogOrigin.APP, 3, "loss 0.5"))
    '1970-01-01 00:00:00.250 info    north app 3: loss 0.5'
    """
    at = datetime.fromtimestamp(line.at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    who = " ".join(word for word in (line.silo, line.origin.value, str(line.round)) if word)
    return f"{at} {line.level.value:7} {who}: {one_line(line.text)}"


def _lines(logs: LogsClient, run: str, asked: LogFilter, after: int | None, limit: int) -> Sequence[LogView]:
    if after is not None:
        return logs.page(run, asked, after=after, limit=limit)
    return logs.page(run, asked, before=NEWEST, limit=limit)
