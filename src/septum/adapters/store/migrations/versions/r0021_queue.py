"""Runs that wait in a queue, and what silos have to give: an older program would stumble over both."""

from __future__ import annotations

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """No table changes: states, plans and descriptions are JSON, and what older ones lack has its default."""
