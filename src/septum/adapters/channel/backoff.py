"""How long to wait before the next attempt, when the other side is away."""

from __future__ import annotations

from collections.abc import Callable

from septum.adapters.channel.http1 import StaleLineError
from septum.adapters.channel.wire_errors import RetryLaterError
from septum.errors import SeptumError

BASE_S = 0.1
SOON_S = 2.0  # a coordinator that is restarted is away for some seconds: its silos are to be back soon after it
SOON_ATTEMPTS = 30  # about half a minute; who is still away then is asked less and less often
CAP_S = 30.0
MAX_RETRY_AFTER_S = 300.0  # a proxy that says "tomorrow" would park a silo
HELD_S = 1.0  # a request that waited so long had reached a coordinator that was well


def backoff(attempt: int, rand: Callable[[], float]) -> float:
    """Seconds to wait after failure number `attempt` (from 0): full jitter, for ever.

    Uniform between nothing and a ceiling, so that silos that lost one coordinator together do not come back together.
    The ceiling doubles from 0.1 s to 2 s, stays there for half a minute, and then doubles again, to 30 s.

    >>> backoff(3, lambda: 0.5), backoff(20, lambda: 0.5)
    (0.4, 1.0)
    >>> backoff(1_000_000, lambda: 1.0)
    30.0
    """
    return _ceiling_s(attempt) * rand()


def pause_after(error: SeptumError, attempt: int, rand: Callable[[], float]) -> float:
    """Like `backoff`, and no sooner than the other side asked for with Retry-After (5 minutes at most).

    Everybody is asked for the same, so what is added to it is spread over as long again.

    >>> pause_after(RetryLaterError("busy", retry_after_s=7.0), 0, lambda: 0.5)
    10.5
    """
    asked_s = min(error.retry_after_s, MAX_RETRY_AFTER_S) if isinstance(error, RetryLaterError) else 0.0
    return asked_s + max(_ceiling_s(attempt), asked_s) * rand()


def attempt_of(error: SeptumError, attempt: int) -> int:
    """The number under which failure `attempt` counts: from 0 again when the other side was there.

    A coordinator that goes down while it holds a request has been well, and one that says when to come back is: what
    failed before that says nothing about how long it will be away now.

    >>> attempt_of(StaleLineError("broken", held_s=20.0), 7), attempt_of(StaleLineError("broken"), 7)
    (0, 7)
    """
    if isinstance(error, RetryLaterError):
        return 0
    return 0 if isinstance(error, StaleLineError) and error.held_s >= HELD_S else attempt


def _ceiling_s(attempt: int) -> float:
    if attempt < SOON_ATTEMPTS:
        return min(SOON_S, BASE_S * 2.0**attempt)
    return min(CAP_S, SOON_S * 2.0 ** min(attempt - SOON_ATTEMPTS + 1, 30))
