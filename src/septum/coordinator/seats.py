"""How many streams may one person watch at one time? Each holds a connection, and costs something at every hand-out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from septum.errors import RateLimitedError

RETRY_S = 5.0


class Seats:
    """Who watches how much. By person: their sessions and tokens count together. For the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}

    def need(self, who: str) -> None:
        """Whether there is a seat. Raises RateLimitedError."""
        if self._taken.get(who, 0) >= self._most:
            raise RateLimitedError(
                f"{who!r} watches {self._most} streams already, as many as one person may",
                hint="end one of them; the limit is streams_per_person in coordinator.toml",
                retry_after_s=RETRY_S,
            )

    @contextmanager
    def taken(self, who: str) -> Iterator[None]:
        """A seat, for as long as this is open."""
        self._taken[who] = self._taken.get(who, 0) + 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]
