"""How does a silo write its log? One JSON object a line to stderr: at, level, event, and what it is about."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from septum.protocol.log_lines import LogLevel

_NAME = "septum.silo"
_FIELDS = "septum_fields"
_LEVELS = {logging.INFO: LogLevel.INFO, logging.WARNING: LogLevel.WARNING, logging.ERROR: LogLevel.ERROR}

Listener: TypeAlias = Callable[[LogLevel, str, Mapping[str, object]], None]


class Log:
    """A logger with fields that stand in each of its lines, such as silo and run_id."""

    def __init__(self, **fields: object) -> None:
        self._fields = fields
        self._listener: Listener | None = None

    def bind(self, **fields: object) -> Log:
        """The same with more fields."""
        return Log(**{**self._fields, **fields}).heard_by(self._listener)

    def heard_by(self, listener: Listener | None) -> Log:
        """The same, whose lines a listener gets as well: level, event and fields. It must not fail, nor wait."""
        log = Log(**self._fields)
        log._listener = listener
        return log

    def info(self, event: str, **fields: object) -> None:
        """Something that an operator may want to know."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something that will be tried again."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something that an operator has to look at."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, error: BaseException, **fields: object) -> None:
        """An error that nobody foresaw, with its traceback."""
        self._write(logging.ERROR, event, {"error": str(error), **fields}, error)

    def _write(self, level: int, event: str, fields: dict[str, object], error: BaseException | None = None) -> None:
        every = {**self._fields, **fields}
        logging.getLogger(_NAME).log(level, event, exc_info=error, extra={_FIELDS: every})
        if self._listener is not None:
            self._listener(_LEVELS[level], event, every)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {"logger": record.name}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr() -> None:
    """Send this process's log there. Called once, by the composition root."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries
    logging.getLogger(_NAME).setLevel(logging.INFO)
