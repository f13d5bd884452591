"""Which of the coordinator's own lines are shown in the log of the run that they are about? Those of a list.

The rest stays in the coordinator's log: what is about people and tokens, paths of its machine, tracebacks. Why a run
waits or has failed is in the run's own reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from septum.protocol.log_lines import MAX_ROUND, LogLevel, LogLine, LogOrigin, cut

LOGGER = "septum.coordinator"  # and all below it
OWN = ""  # by which name the coordinator's lines stand among those of silos; no silo can have it

# The fields of each event that are shown, in this order.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "bytes_lost": (),
    "combine_failed": ("stage", "round", "attempt"),
    "combined": ("stage", "round", "attempt", "silos", "seconds"),
    "discard_failed": (),
    "event_refused": ("error",),
    "model_unreadable": (),
    "reveals_left_out": ("wrong",),
    "run_not_driven": ("reason",),
    "sum_unmasked": ("stage", "round", "attempt", "silos", "revealed_by"),
    "tracker_failed": ("tracker",),
    "tracking_refused": ("tracker", "refused"),
    "upload_not_stored": (),
}
_LEVELS = ((logging.ERROR, LogLevel.ERROR), (logging.WARNING, LogLevel.WARNING), (logging.INFO, LogLevel.INFO))


class OwnLines(logging.Handler):
    """Hands each line that is shown to `take`, with its run. For any thread, as loggers are."""

    def __init__(self, take: Callable[[str, LogLine], None]) -> None:
        super().__init__()
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        run, event = getattr(record, "run_id", None), record.getMessage()
        if isinstance(run, str) and event in SHOWN:
            self._take(run, line_of(record, event))


def line_of(record: logging.LogRecord, event: str) -> LogLine:
    """The line that stands for a record of such an event."""
    given = vars(record)
    words = [f"{name}={_text(given[name])}" for name in SHOWN[event] if name in given]
    level = next((level for number, level in _LEVELS if record.levelno >= number), LogLevel.DEBUG)
    round_ = given.get("round", 0)
    at_work = round_ if isinstance(round_, int) and 0 <= round_ <= MAX_ROUND else 0
    return LogLine(record.created, level, LogOrigin.COORDINATOR, cut(" ".join((event, *words))), at_work)


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
