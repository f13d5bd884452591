"""Plans can pay for metrics with noise, and journals have them: an older program would take them for exact."""

from __future__ import annotations

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """No table changes: plans and facts are JSON, and what older ones lack has its default."""
