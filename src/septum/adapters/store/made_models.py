"""Which runs have made a model? Written in the commit that makes it known, for who names it by its digest alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, String, bindparam, exists, insert, select

from septum.adapters.store.schema import MADE_MODELS, RUN_INDEX
from septum.protocol.facts import Fact, ModelMade

_IS_KNOWN = exists().where(MADE_MODELS.c.digest == bindparam("of"), MADE_MODELS.c.run_id == bindparam("made_by"))
_ADD = insert(MADE_MODELS).from_select(
    [MADE_MODELS.c.digest, MADE_MODELS.c.run_id],
    select(bindparam("of", type_=String), bindparam("made_by", type_=String)).where(~_IS_KNOWN),
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
        connection.execute(_ADD, {"of": digest, "made_by": run_id})


def runs_with(connection: Connection, digest: str) -> Sequence[str]:
    """The ids of the runs that have made a model, newest first."""
    return connection.scalars(_RUNS, {"of": digest}).all()
