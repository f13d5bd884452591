"""Plans say what is each silo's own: an older program would not understand one that does."""

from __future__ import annotations

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """No table changes: plans are JSON, and what they lack has its default."""
