"""Plans can ask for differential privacy: an older program would train without."""

from __future__ import annotations

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """No table changes: plans are JSON, and what they lack has its default."""
