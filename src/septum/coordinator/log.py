"""How does the coordinator log? One JSON object a line: time, level, logger, event, and the fields of the call.

No token, key, signature or payload is ever given to a logger; a test reads the logs of a whole run for them.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
MAX_VALUE_CHARS = 4_000


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:MAX_VALUE_CHARS],
            **fields,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-MAX_VALUE_CHARS:]
        return json.dumps(line, default=lambda value: str(value)[:MAX_VALUE_CHARS])


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send all logging, at `level` and above, to `stream` (standard error) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
