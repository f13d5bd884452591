"""How do the lines of the runs' logs get to the coordinator? In batches, in a thread of its own, when the line is free.

Nothing of a run waits for it. While the coordinator cannot be reached the lines wait in the outbox, which drops the
oldest; what it refuses for another reason than that it is busy is not told again, nor anything more of that run.
"""

from __future__ import annotations

from collections.abc import Callable

from septum.adapters.channel.backoff import attempt_of, pause_after
from septum.errors import (
    AuthError,
    ConnectionFailedError,
    RateLimitedError,
    SeptumError,
    StorageError,
    TimedOutError,
)
from septum.protocol.log_lines import LogBatch
from septum.silo.log import Log
from septum.silo.log_outbox import LogOutbox
from septum.silo.taking_part import StopSignal

GATHER_S = 1.0  # lines that come together go together: one batch of each run in this time at most
_PASSING = (AuthError, ConnectionFailedError, RateLimitedError, StorageError, TimedOutError)


class LogShipping:
    """Tells what waits in an outbox. `serve` until the stop signal, and until the outbox is told to end.

    send  tells a batch of a run
    rand  uniform in [0, 1), for pauses
    """

    def __init__(
        self,
        outbox: LogOutbox,
        send: Callable[[str, LogBatch], None],
        stop: StopSignal,
        log: Log,
        rand: Callable[[], float],
    ) -> None:
        self._outbox = outbox
        self._send = send
        self._stop = stop
        self._log = log
        self._rand = rand
        self._failures = 0

    def serve(self) -> None:
        """Tell what comes."""
        while self._outbox.wait() and not self._stop.wait(GATHER_S):
            problem = self.ship()
            if problem is not None:
                self._failures = attempt_of(problem, self._failures)
                self._stop.wait(pause_after(problem, self._failures, self._rand))
                self._failures += 1

    def ship(self) -> SeptumError | None:
        """One batch of each run; why it has to be tried again later, if so."""
        for run in self._outbox.waiting():
            batch = self._outbox.take(run)
            if batch is None:
                continue
            try:
                self._send(run, batch)
            except _PASSING as error:
                return error
            except SeptumError as error:
                self._outbox.close(run)
                self._log.warning("log_not_told", run_id=run, error=error.message, hint=error.hint)
                continue
            self._failures = 0
            self._outbox.settled(run, batch)
        return None
