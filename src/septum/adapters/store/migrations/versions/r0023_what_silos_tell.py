"""Silos may say which rows a run had, and where a privacy budget is low; journals have on which machine it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    connection = op.get_bind()
    rows = [dict(row) for row in connection.execute(sa.text("SELECT * FROM silo_accounts")).mappings()]
    op.drop_table("silo_accounts")  # made anew: SQLite writes a column that is added otherwise than one that was there
    accounts = op.create_table(
        "silo_accounts",
        sa.Column("silo", sa.String(), sa.ForeignKey("silos.name"), primary_key=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("described_at", sa.Float(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("stood_at", sa.Float(), nullable=False),
        sa.Column("budget_low", sa.Text(), nullable=False),
    )
    for row in rows:
        known = {**row, "paused": bool(row["paused"]), "budget_low": "[]"}
        connection.execute(sa.insert(accounts), known)
