"""The audit log. It begins with the first opening after this; what happened before is not in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("silo", sa.String(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("nodes", sa.LargeBinary(), nullable=False),
    )
    op.create_index("audit_by_time", "audit", ["at"])
    for name, column in (("kind", "kind"), ("person", "made_by"), ("run", "run"), ("silo", "silo")):
        op.create_index(f"audit_by_{name}", "audit", [column, "seq"])
    op.create_table(
        "audit_heads",
        sa.Column("size", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("content", sa.Text(), nullable=False),
    )
    op.create_table(
        "audit_witnesses",
        sa.Column("size", sa.Integer(), sa.ForeignKey("audit_heads.size"), primary_key=True),
        sa.Column("silo", sa.String(), sa.ForeignKey("silos.name"), primary_key=True),
        sa.Column("content", sa.Text(), nullable=False),
    )
