"""What time it is, and how to wait."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two readings: one for people, one for durations."""

    def unix(self) -> float:
        """Seconds since 1970, UTC. May jump."""

    def monotonic(self) -> float:
        """Seconds since some moment. Never goes back."""
