"""Groups of silos, projects, and by what runs are looked for. Runs that are there belong to no project."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    _groups()
    _projects()
    _runs()


def _groups() -> None:
    op.create_table(
        "silo_groups",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("open_to", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "silos_of_groups",
        sa.Column("of_group", sa.String(), sa.ForeignKey("silo_groups.name"), primary_key=True),
        sa.Column("silo", sa.String(), sa.ForeignKey("silos.name"), primary_key=True),
    )


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("silo_group", sa.String(), sa.ForeignKey("silo_groups.name"), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "project_owners",
        sa.Column("project", sa.String(), sa.ForeignKey("projects.name"), primary_key=True),
        sa.Column("organisation", sa.String(), sa.ForeignKey("organisations.name"), primary_key=True),
    )


def _runs() -> None:
    index = op.create_table(
        "run_index",
        sa.Column("run_id", sa.String(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("app_version", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
    )
    op.create_index("run_index_by_age", "run_index", ["created_at", "run_id"])
    op.create_index("run_index_by_project", "run_index", ["project", "created_at", "run_id"])
    connection = op.get_bind()
    ids = connection.execute(sa.text("SELECT id FROM runs")).scalars().all()
    for run_id in ids:  # one at a time: a state may be a megabyte
        found = connection.execute(sa.text("SELECT created_at, state FROM runs WHERE id = :id"), {"id": run_id}).one()
        state = json.loads(found.state)
        app = state["plan"]["app"]
        row = {"run_id": run_id, "created_at": found.created_at, "project": "", "outcome": state["outcome"] or ""}
        connection.execute(sa.insert(index), {**row, "app": app["name"], "app_version": app["version"]})
