"""Which runs have made a model? Written in the commit that makes it known, for who names it by its digest alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, insert, select

from septum.adapters.store.schema import MADE_MODELS, RUN_INDEX
from septum.protocol.facts import Fact, ModelMade

_ADD = insert(MADE_MODELS)
_IS_KNOWN = select(MADE_MODELS.c.digest).where(
    MADE_MODELS.c.digest == bindparam("of"), MADE_MODELS.c.run_id == bindparam("made_by")
)
_RUNS = (
    select(MADE_MODELS.c.run_id)
    .join(RUN_INDEX, RUN_INDEX.c.run_id == MADE_MODELS.c.run_id)
    .where(MADE_MODELS.c.digest == bindparam("of"))
    .order_by(RUN_INDEX.c.created_at.desc(), MADE_MODELS.c.run_id.desc())
)


def note_models(connection: Connection, run_id: str, facts: Iterable[Fact]) -> None:
    """A run has made the models of these facts, maybe again."""
    for digest in dict.fromkeys(fact.model.digest for fact in facts if isinstance(fact, ModelMade)):
        if connection.execute(_IS_KNOWN, {"of": digest, "made_by": run_id}).first() is None:
            connection.execute(_ADD, {"digest": digest, "run_id": run_id})


def runs_with(connection: Connection, digest: str) -> Sequence[str]:
    """The ids of the runs that have made a model, newest first."""
    return connection.scalars(_RUNS, {"of": digest}).all()
