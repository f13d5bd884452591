"""How soon is a run to begin, compared with the others that wait?"""

from __future__ import annotations

from enum import Enum


class Priority(Enum):
    """The later in this list, the sooner a run begins."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """The higher, the sooner.

        >>> Priority.HIGH.rank > Priority.NORMAL.rank
        True
        """
        return list(Priority).index(self)
