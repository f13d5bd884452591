"""What time is it, really? The machine's own clock."""

from __future__ import annotations

import time


class SystemClock:
    """The operating system's clocks. See `ports.clock.Clock` for the contract."""

    def unix(self) -> float:
        """Seconds since 1970, UTC. May jump."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment. Never goes back."""
        return time.monotonic()
