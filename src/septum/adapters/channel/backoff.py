"""How long to wait before the next attempt, when the other side is away."""

from __future__ import annotations

from collections.abc import Callable

from septum.adapters.channel.wire_errors import RetryLaterError
from septum.errors import SeptumError

BASE_S = 0.1
CAP_S = 30.0
MAX_RETRY_AFTER_S = 300.0  # a proxy that says "tomorrow" would park a silo


def backoff(attempt: int, rand: Callable[[], float]) -> float:
    """Seconds to wait after failure number `attempt` (from 0): full jitter, for ever.

    Uniform between nothing and min(30 s, 0.1 s * 2^attempt), so that silos that lost one coordinator together do not
    come back together.

    >>> backoff(3, lambda: 0.5)
    0.4
    >>> backoff(1_000_000, lambda: 1.0)
    30.0
    """
    ceiling_s = min(CAP_S, BASE_S * 2.0 ** min(attempt, 30))
    return ceiling_s * rand()


def pause_after(error: SeptumError, attempt: int, rand: Callable[[], float]) -> float:
    """Like `backoff`, and no sooner than the other side asked for with Retry-After (5 minutes at most).

    >>> pause_after(RetryLaterError("busy", retry_after_s=7.0), 0, lambda: 0.5)
    7.05
    """
    asked_s = error.retry_after_s if isinstance(error, RetryLaterError) else 0.0
    return min(asked_s, MAX_RETRY_AFTER_S) + backoff(attempt, rand)
