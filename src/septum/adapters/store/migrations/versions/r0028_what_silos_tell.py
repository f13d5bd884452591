"""Silos may say which rows a run had, and where a privacy budget is low; journals have on which machine it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("silo_accounts", sa.Column("budget_low", sa.Text(), nullable=False, server_default="[]"))
