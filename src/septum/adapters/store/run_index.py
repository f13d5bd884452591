"""Which runs are wanted? They are looked for in a narrow table: the states of runs are large, and are not read for it.

It is written when a run is made and when it ends, or goes on after its end: no round costs anything here.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    bindparam,
    exists,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from septum.adapters.store.schema import JOURNAL, RUN_INDEX, RUN_VIEWS
from septum.ports.store import RunFilter
from septum.protocol.codec import kind_of
from septum.protocol.facts import Fact, RunEnded
from septum.protocol.run_state import Run

_ADD = insert(RUN_INDEX)
_ENDED = update(RUN_INDEX).where(RUN_INDEX.c.run_id == bindparam("of_run")).values(outcome=bindparam("now"))
_PROJECT = select(RUN_INDEX.c.project).where(RUN_INDEX.c.run_id == bindparam("of_run"))
_AGE = select(RUN_INDEX.c.created_at, RUN_INDEX.c.run_id).where(RUN_INDEX.c.run_id == bindparam("of_run"))
_NEWEST = (
    select(RUN_INDEX.c.run_id)
    .order_by(RUN_INDEX.c.created_at.desc(), RUN_INDEX.c.run_id.desc())
    .limit(bindparam("most"))
)
_OLDER = tuple_(RUN_INDEX.c.created_at, RUN_INDEX.c.run_id) < tuple_(bindparam("older_at"), bindparam("older_id"))


# A view is canonical JSON, its keys sorted: `asks` follows the app's last brace. Nothing else in it reads like this: a
# text has its quotes escaped, and a hyper-parameter is no object.
_ASKED = exists().where(RUN_VIEWS.c.run_id == RUN_INDEX.c.run_id, RUN_VIEWS.c.view.contains('},"asks":true,"attempt":'))


def add_to_index(connection: Connection, run: Run, project: str, submitter: str, at: float) -> None:
    """A new run can be found."""
    app = run.plan.app
    row = {"run_id": run.id, "created_at": at, "project": project, "app": app.name, "app_version": app.version}
    connection.execute(_ADD, {**row, "outcome": _outcome(run), "name": run.plan.name, "submitter": submitter})


def set_outcome(connection: Connection, run: Run) -> None:
    """A run has ended, or goes on after that."""
    connection.execute(_ENDED, {"of_run": run.id, "now": _outcome(run)})


def is_fact(kind: type[Fact]) -> ColumnElement[bool]:
    """Whether an entry of the journal is of this kind.

    A text in a fact has its quotes escaped, and no fact holds another: so no other fact has these characters.
    """
    return JOURNAL.c.fact.contains(f'"kind":"{kind_of(kind)}"', autoescape=True)


def ended_at(run_id: ColumnElement[str]) -> ScalarSelect[float]:
    """When a run that has ended did: its end is among the last entries of its journal."""
    return (
        select(JOURNAL.c.at)
        .where(JOURNAL.c.run_id == run_id, is_fact(RunEnded))
        .order_by(JOURNAL.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )


def project_in(connection: Connection, run_id: str) -> str | None:
    """The project of a run, empty for none; None for an unknown run."""
    return connection.scalar(_PROJECT, {"of_run": run_id})


def age_of(connection: Connection, run_id: str) -> tuple[float, str] | None:
    """The place of a run among all, by age; None for an unknown one."""
    row = connection.execute(_AGE, {"of_run": run_id}).first()
    return (row.created_at, row.run_id) if row else None


def newest(
    connection: Connection, wanted: RunFilter, limit: int, older_than: tuple[float, str] | None
) -> Sequence[str]:
    """The ids of the newest wanted runs, newest first; of those that are older than a place."""
    values: dict[str, object] = {"most": limit}
    conditions = list(_conditions(wanted))
    if older_than is not None:
        conditions.append(_OLDER)
        values |= {"older_at": older_than[0], "older_id": older_than[1]}
    return connection.scalars(_NEWEST.where(*conditions), values).all()


def _conditions(wanted: RunFilter) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.projects is not None:
        found.append(RUN_INDEX.c.project.in_(sorted(wanted.projects)))
    if wanted.app:
        found.append(RUN_INDEX.c.app == wanted.app)
    if wanted.version:
        found.append(RUN_INDEX.c.app_version == wanted.version)
    if wanted.name:
        found.append(RUN_INDEX.c.name == wanted.name)
    if wanted.submitter:
        found.append(RUN_INDEX.c.submitter == wanted.submitter)
    if wanted.since:
        found.append(RUN_INDEX.c.created_at >= wanted.since)
    if wanted.text:
        texts = (RUN_INDEX.c.run_id, RUN_INDEX.c.name, RUN_INDEX.c.app, RUN_INDEX.c.submitter)
        found.append(or_(*(text.icontains(wanted.text, autoescape=True) for text in texts)))
    if wanted.asking is not None:
        found.append(or_(RUN_INDEX.c.run_id.in_(sorted(wanted.asking)), _ASKED))
    if wanted.ended is not None:
        ways = RUN_INDEX.c.outcome.in_(sorted(one.value for one in wanted.ended))
        found.append(or_(ways, RUN_INDEX.c.run_id.in_(sorted(wanted.these))))
    return found


def _outcome(run: Run) -> str:
    return run.outcome.value if run.outcome else ""
