"""Does the system's clock tell the time?"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from septum.adapters.clock import SystemClock


def test_unix_time_is_now():
    assert abs(SystemClock().unix() - datetime.now(UTC).timestamp()) < 5


def test_monotonic_time_never_goes_back():
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(1000)]
    assert all(earlier <= later for earlier, later in pairwise(readings))
    assert readings[0] < clock.monotonic() or readings[0] < readings[-1]
