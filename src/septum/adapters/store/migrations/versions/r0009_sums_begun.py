"""Runs remember over whom a sum of a lost model had been begun: an older program would forget it."""

from __future__ import annotations

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """No table changes: states are JSON, and what they lack has its default."""
