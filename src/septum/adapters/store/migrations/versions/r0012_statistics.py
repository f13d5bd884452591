"""Plans can ask for statistics, and journals have the answers: an older program would stumble over both."""

from __future__ import annotations

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """No table changes: plans and facts are JSON, and what older ones lack has its default."""
