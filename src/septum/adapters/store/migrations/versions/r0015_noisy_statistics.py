"""Queries can ask for noise, and answers tell how large it is: an older program would take them for exact."""

from __future__ import annotations

revision = "0015"
down_revision = "0013"


def upgrade() -> None:
    """No table changes: plans and facts are JSON, and what older ones lack has its default."""
