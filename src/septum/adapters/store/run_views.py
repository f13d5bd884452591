"""How does a run that has ended look in a list? As JSON beside it, made when it ends: its large state is not read.

Runs at work are in the coordinator's memory, so no round writes here. Each row says by which shape of the views it was
made; one of another shape is another septum's, and is made again when the store is opened.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import get_args, get_type_hints

from sqlalchemy import Connection, bindparam, delete, insert, select

from septum import __version__
from septum.adapters.store.run_index import ended_at
from septum.adapters.store.schema import MAX_ENTRY_BYTES, RUN_INDEX, RUN_KEYS, RUN_VIEWS, RUNS
from septum.errors import SeptumError
from septum.ports.store import Listed, StoredRun, listed_of
from septum.protocol.codec import from_json, loads
from septum.protocol.run_state import Run
from septum.protocol.views import ModelView, RunView

log = logging.getLogger("septum.adapters.store")

_KEEP = insert(RUN_VIEWS)
_DROP = delete(RUN_VIEWS).where(RUN_VIEWS.c.run_id == bindparam("of_run"))
_SOME = select(RUN_VIEWS).where(RUN_VIEWS.c.run_id.in_(bindparam("ids", expanding=True)))
_ABOUT = select(
    RUN_INDEX.c.created_at,
    RUN_INDEX.c.project,
    RUN_INDEX.c.submitter,
    ended_at(RUN_INDEX.c.run_id).label("ended_at"),
    RUN_KEYS.c.shredded_at,
    RUN_KEYS.c.shredded_by,
).where(RUN_INDEX.c.run_id == bindparam("of_run"), RUN_KEYS.c.run_id == RUN_INDEX.c.run_id)
_STATE = select(RUNS.c.state).where(RUNS.c.id == bindparam("of_run"))
_ENDED = select(RUN_INDEX.c.run_id).where(RUN_INDEX.c.outcome != "")
_STALE = _ENDED.where(
    RUN_INDEX.c.run_id.not_in(select(RUN_VIEWS.c.run_id).where(RUN_VIEWS.c.shape == bindparam("today")))
)


def keep_view(connection: Connection, run: Run) -> None:
    """A run has ended, as its journal says: keep how it looks. It goes on after that: what was kept goes."""
    connection.execute(_DROP, {"of_run": run.id})
    if run.outcome is None:
        return
    about = connection.execute(_ABOUT, {"of_run": run.id}).one()
    listed = listed_of(StoredRun(run, 0, **about._mapping))
    row = {"run_id": run.id, "shape": shape(), "view": listed.view.decode(), "model": listed.model.decode()}
    connection.execute(_KEEP, row)


def listed_in(connection: Connection, ids: Sequence[str]) -> list[Listed]:
    """These runs, in this order."""
    found = {
        row.run_id: Listed(row.run_id, row.view.encode(), row.model.encode())
        for row in connection.execute(_SOME, {"ids": ids})
        if row.shape == shape()
    }
    return [found.get(run_id, Listed(run_id)) for run_id in ids]


def renew_views(connection: Connection) -> None:
    """Make the views again that another septum has made, or none. About half a millisecond each."""
    stale = connection.scalars(_STALE, {"today": shape()}).all()
    for run_id in stale:  # one at a time: a state may be a megabyte
        state = connection.scalar(_STATE, {"of_run": run_id}) or ""
        try:
            run = from_json(Run, loads(state.encode(), limit=MAX_ENTRY_BYTES))
        except SeptumError as error:  # whoever asks for this run is told; the others need not wait for that
            log.error("run_unreadable", extra={"run_id": run_id, "error": error.message})  # noqa: TRY400
            continue
        keep_view(connection, run)
    if stale:
        log.info("views_renewed", extra={"runs": len(stale)})


@cache
def shape() -> str:
    """By what today's views are made: this septum, and the fields of the views."""
    return f"{__version__}-{sha256(repr(sorted(_fields())).encode()).hexdigest()[:16]}"


def _fields() -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    waiting: list[object] = [RunView, ModelView]
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            hints = get_type_hints(hint)
            new = {(hint.__name__, field.name) for field in dataclasses.fields(hint)} - found
            found |= new
            waiting += [hints[name] for _, name in new]
        else:
            waiting += get_args(hint)
    return found
