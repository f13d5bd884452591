"""Which runs have made a model is found by its digest: each run's models lie in an area of their own."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"

_MADE = sa.text("SELECT fact FROM journal WHERE run_id = :run AND fact LIKE :made ORDER BY seq")


def upgrade() -> None:
    connection = op.get_bind()
    models = op.create_table(
        "models",
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("run_id", sa.String(), sa.ForeignKey("runs.id"), primary_key=True),
        sqlite_with_rowid=False,
    )
    for run in connection.scalars(sa.text("SELECT id FROM runs ORDER BY id")).all():
        made = connection.scalars(_MADE, {"run": run, "made": '%"kind":"model_made"%'}).all()
        digests = dict.fromkeys(json.loads(fact)["model"]["digest"] for fact in made)
        if digests:
            connection.execute(sa.insert(models), [{"digest": digest, "run_id": run} for digest in digests])
