"""The feed is found by run, silo, project and kind; plans name who may drive a run, models say on which data.

Of the latter two no table knows: they are JSON, and an older program would stumble over them.
"""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_index("feed_by_run", "feed", ["run", "seq"])
    op.create_index("feed_by_silo", "feed", ["silo", "seq", "kind", "noun", "place"])
    op.create_index("feed_by_project", "feed", ["project", "seq", "kind", "noun", "place"])
    op.create_index("feed_by_kind", "feed", ["kind", "seq", "noun", "place"])
