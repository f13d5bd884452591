"""Presets of hyper-parameters that were given to packages beside those in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "presets",
        sa.Column("app", sa.String(), sa.ForeignKey("apps.digest"), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("content", sa.Text(), nullable=False),
    )
