"""Runs with their outbox and journal, silos with their invitations, and the coordinator's epoch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "coordinator",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
    )
    op.execute("INSERT INTO coordinator (id, epoch) VALUES (1, 0)")
    op.create_table(
        "runs",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
    )
    op.create_index("runs_by_age", "runs", ["created_at", "id"])
    op.create_index("runs_at_work", "runs", ["id"], sqlite_where=sa.text("ended = 0"))
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("run_id", sa.String(), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_by_run", "outbox", ["run_id", "id"])
    op.create_table(
        "journal",
        sa.Column("run_id", sa.String(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("fact", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "silos",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("silo", sa.String(), sa.ForeignKey("silos.name"), primary_key=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("burned", sa.Boolean(), nullable=False),
    )
