"""How ended runs look in lists, and by whom and under which name runs were submitted: of those that are there nobody.

The views themselves are made when the store is opened, by the code that lists show.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    connection = op.get_bind()
    rows = [row._asdict() for row in connection.execute(sa.text("SELECT * FROM run_index"))]
    op.drop_table("run_index")  # with its indexes; a column that is added would stand last, and with a default
    index = op.create_table(
        "run_index",
        sa.Column("run_id", sa.String(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("app_version", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("submitter", sa.String(), nullable=False),
    )
    op.create_index("run_index_by_age", "run_index", ["created_at", "run_id"])
    op.create_index("run_index_by_project", "run_index", ["project", "created_at", "run_id"])
    for row in rows:  # one at a time: a state may be a megabyte
        state = connection.execute(sa.text("SELECT state FROM runs WHERE id = :id"), {"id": row["run_id"]}).scalar()
        name = json.loads(state)["plan"]["name"] if state else ""
        connection.execute(sa.insert(index), {**row, "name": name, "submitter": ""})
    op.create_table(
        "run_views",
        sa.Column("run_id", sa.String(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("shape", sa.String(), nullable=False),
        sa.Column("view", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
    )
