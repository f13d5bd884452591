"""How does a silo tell its coordinator something that changes now and then? When it has changed, until it was heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from septum.errors import AuthError, ConnectionFailedError, SeptumError, StorageError, TimedOutError
from septum.protocol.codec import to_json
from septum.silo.log import Log

_PASSING = (AuthError, ConnectionFailedError, StorageError, TimedOutError)
T = TypeVar("T")


class Herald(Generic[T]):
    """Tells one kind of thing, a dataclass. For one thread. `event`: how the log names what has left."""

    def __init__(self, send: Callable[[T], None], log: Log, event: str) -> None:
        self._send = send
        self._log = log
        self._event = event
        self._told: T | None = None
        self._complained = ""

    def say(self, now: T, *, again: bool = False) -> None:
        """Say it if it has changed, or `again`. What fails is said at the next call, unless it never can be heard."""
        if now == self._told and not again:
            return
        try:
            self._send(now)
        except SeptumError as error:
            if not isinstance(error, _PASSING):
                self._told = now  # a coordinator that is too old, say: it is told after the next change
            self.complain(error)
            return
        self._complained = ""
        if now != self._told:
            self._told = now
            self._log.info(self._event, told=to_json(now))

    def complain(self, error: SeptumError) -> None:
        """Log a problem, once each: the agent calls again and again."""
        if error.message != self._complained:
            self._complained = error.message
            self._log.warning(f"not_{self._event}", error=error.message, hint=error.hint)
