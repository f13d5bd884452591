"""Runs may have a vote on their models, and remember how many were voted down: an older program would forget it."""

from __future__ import annotations

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """No table changes: states are JSON, and what they lack has its default."""
