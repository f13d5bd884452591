"""How does a silo tell how busy its machine is? It looks every some seconds, and tells what it saw in one request.

While a run with differential privacy is at work here it neither looks nor tells: for how long a silo computes, and how
much it holds, say something of how many rows it has. What was seen while the coordinator was away waits, an hour of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from septum.errors import AuthError, ConnectionFailedError, RateLimitedError, SeptumError, StorageError, TimedOutError
from septum.protocol.system import MAX_SAMPLES, Readings, SystemReport, SystemSample
from septum.silo.log import Log

QUIET_S = 60.0  # how long samples may wait before they are told while no run is served
WAITING = 360  # samples: an hour of them, at one every 10 s
_PASSING = (AuthError, ConnectionFailedError, RateLimitedError, StorageError, TimedOutError)


class SystemTelling:
    """For one thread: `look` now and then.

    read     what holds now; None if nothing is known
    sizes    memory and disk that there are, 10^6 bytes
    send     tells the coordinator
    serving  whether a run is served
    hidden   whether nothing may show now
    """

    def __init__(
        self,
        read: Callable[[], Readings | None],
        sizes: Callable[[], tuple[float, float]],
        send: Callable[[SystemReport], None],
        log: Log,
        *,
        serving: Callable[[], bool],
        hidden: Callable[[], bool],
    ) -> None:
        self._read = read
        self._sizes = sizes
        self._send = send
        self._log = log
        self._serving = serving
        self._hidden = hidden
        self._seen: deque[SystemSample] = deque(maxlen=WAITING)
        self._told_at = 0.0
        self._refused = ""
        self._was_hidden = False

    def look(self, now: float) -> None:
        """Look, at this Unix time, and tell if it is time to."""
        readings = self._read()
        hidden, before, self._was_hidden = self._hidden(), self._was_hidden, self._hidden()
        if hidden or before:  # what is by the second goes back to the reading before
            return
        if readings is not None:
            self._seen.append(SystemSample(now, readings))
        if self._seen and (self._serving() or now - self._told_at >= QUIET_S):
            self._tell(now)

    def _tell(self, now: float) -> None:
        self._told_at = now
        while self._seen:
            samples = tuple(self._seen)[:MAX_SAMPLES]
            try:
                self._send(SystemReport(samples, *self._sizes()))
            except _PASSING:
                return
            except SeptumError as error:  # a coordinator that is too old, say
                if error.message != self._refused:
                    self._log.warning("system_not_told", error=error.message, hint=error.hint)
                self._refused = error.message
            for _ in samples:
                self._seen.popleft()
