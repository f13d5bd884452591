"""How much may each silo send in a time? A token bucket for each, in memory: what is too much is answered with 429."""

from __future__ import annotations

from collections import OrderedDict

from septum.errors import RateLimitedError

MAX_NAMES = 10_000


class Allowance:
    """So many things a second of each name, after `burst` at once. For one thread."""

    def __init__(self, what: str, a_second: float, burst: float) -> None:
        self._what = what
        self._a_second = a_second
        self._burst = burst
        self._rooms: OrderedDict[str, tuple[float, float]] = OrderedDict()  # room, and when it was so much

    def take(self, name: str, count: int, now: float) -> None:
        """Let `count` things of `name` pass at `now`, monotonic seconds. Raises RateLimitedError if they are too many.

        >>> Allowance("lines", 10.0, 100.0).take("north", 100, 0.0)
        """
        room, at = self._rooms.get(name, (self._burst, now))
        room = min(self._burst, room + self._a_second * max(0.0, now - at))
        if count > room:
            wait_s = (count - room) / self._a_second
            raise RateLimitedError(
                f"silo {name!r} sends too many {self._what}: {self._a_second:g} a second are taken",
                hint="it is tried again by itself",
                retry_after_s=wait_s,
            )
        self._rooms[name] = (room - count, now)
        self._rooms.move_to_end(name)
        if len(self._rooms) > MAX_NAMES:
            self._rooms.popitem(last=False)
