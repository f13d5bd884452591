"""Runs, plans and effects say how silos mask what they send: an older program could not go on with such a run."""

from __future__ import annotations

revision = "0006"
down_revision = "0003"


def upgrade() -> None:
    """No table changes: states are JSON, and what they lack has its default."""
