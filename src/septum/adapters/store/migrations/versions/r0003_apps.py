"""App packages that were pushed, for silos to fetch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "apps",
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("pushed_at", sa.Float(), nullable=False),
        sa.Column("signatures", sa.Text(), nullable=False),
        sa.UniqueConstraint("name", "version", name="one_package_a_version"),
    )
