"""Plans can have silos' own models kept, and journals say which are: an older program could not read such states."""

from __future__ import annotations

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """No table changes: plans and facts are JSON, and what older ones lack has its default."""
