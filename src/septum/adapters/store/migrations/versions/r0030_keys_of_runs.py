"""Each run has a salt, with which its key is made, and which is deleted to shred it; runs that are there get theirs."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    connection = op.get_bind()
    keys = op.create_table(
        "run_keys",
        sa.Column("run_id", sa.String(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("shredded_at", sa.Float()),
        sa.Column("shredded_by", sa.String(), nullable=False),
        sa.Column("files", sa.Boolean(), nullable=False),
    )
    new = {"shredded_at": None, "shredded_by": "", "files": False}
    runs = connection.scalars(sa.text("SELECT id FROM runs ORDER BY id")).all()
    if runs:
        rows = [{"run_id": run, "salt": secrets.token_bytes(32), **new} for run in runs]
        connection.execute(sa.insert(keys), rows)
