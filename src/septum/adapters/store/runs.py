"""Where do runs live? Their state as canonical JSON, outbox and journal beside it. Port: ports/store.py."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, bindparam, case, delete, insert, or_, select, update

from septum.adapters.store.database import Database
from septum.adapters.store.known import new_id
from septum.adapters.store.made_models import note_models, runs_with
from septum.adapters.store.missing import not_found
from septum.adapters.store.run_index import (
    add_to_index,
    age_of,
    ended_at,
    is_fact,
    newest,
    project_in,
    set_outcome,
)
from septum.adapters.store.run_keys import add_key
from septum.adapters.store.run_views import keep_view, listed_in
from septum.adapters.store.schema import JOURNAL, MAX_ENTRY_BYTES, OUTBOX, RUN_INDEX, RUN_KEYS, RUNS
from septum.errors import ConflictError, TooLargeError
from septum.ports.store import ALL_RUNS, JournalEntry, Listed, Pending, RunFilter, StoredRun, Transition
from septum.protocol.codec import Json, dumps, from_json, loads, to_json, to_tagged_json, union_from_json
from septum.protocol.facts import Fact
from septum.protocol.run_state import Combine, Discard, Phase, Run

CLOSE_AMONG = 1000  # newest run ids searched for a mistyped one

_ADD_RUN = insert(RUNS)
_SET_RUN = (
    update(RUNS)
    .where(RUNS.c.id == bindparam("run_id"))
    .values({name: bindparam(name) for name in ("version", "ended", "facts", "state")})
)
_HEAD = select(RUNS.c.version, RUNS.c.facts, RUNS.c.ended).where(RUNS.c.id == bindparam("run_id"))
_ADD_EFFECT = insert(OUTBOX)
_DONE = delete(OUTBOX).where(OUTBOX.c.id == bindparam("done"), OUTBOX.c.run_id == bindparam("of_run"))
_ADD_FACT = insert(JOURNAL)
_RUN = select(
    RUNS.c.id,
    RUNS.c.version,
    RUNS.c.created_at,
    RUNS.c.state,
    RUN_INDEX.c.project,
    RUN_INDEX.c.submitter,
    RUN_KEYS.c.shredded_at,
    RUN_KEYS.c.shredded_by,
    case((RUNS.c.ended, ended_at(RUNS.c.id))).label("ended_at"),
).select_from(RUNS.join(RUN_INDEX, RUN_INDEX.c.run_id == RUNS.c.id).join(RUN_KEYS, RUN_KEYS.c.run_id == RUNS.c.id))
_ONE = _RUN.where(RUNS.c.id == bindparam("run_id"))
_SOME = _RUN.where(RUNS.c.id.in_(bindparam("ids", expanding=True)))
_IDS = select(RUNS.c.id).order_by(RUNS.c.created_at.desc(), RUNS.c.id.desc()).limit(CLOSE_AMONG)
_AT_WORK = _RUN.where((RUNS.c.ended.is_(False)) | RUNS.c.id.in_(select(OUTBOX.c.run_id))).order_by(
    RUNS.c.created_at, RUNS.c.id
)
_OUTBOX = select(OUTBOX.c.id, OUTBOX.c.run_id, OUTBOX.c.effect).order_by(OUTBOX.c.id)
_JOURNAL = (
    select(JOURNAL.c.seq, JOURNAL.c.at, JOURNAL.c.fact)
    .where(JOURNAL.c.run_id == bindparam("run_id"), JOURNAL.c.seq > bindparam("after"))
    .order_by(JOURNAL.c.seq)
    .limit(bindparam("most"))
)


class SqlRunStore:
    """Runs in a database. See `ports.store.RunStore` for the contract."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, run: Run, facts: Sequence[Fact], *, at: float, project: str = "", submitter: str = ""
    ) -> StoredRun:
        """Add a run at version 1, of a project and a submitter for ever. Raises ConflictError when the id is taken."""
        row = {"id": run.id, "version": 1, "created_at": at, "facts": len(facts), **_state(run)}
        entries = _entries(run.id, facts)
        with self._database.write() as connection:
            if connection.execute(_HEAD, {"run_id": run.id}).first() is not None:
                raise ConflictError(f"there is already a run {run.id!r}", hint=f"septum run show {run.id}")
            connection.execute(_ADD_RUN, row)
            add_to_index(connection, run, project, submitter, at)
            _add_facts(connection, entries, 0, at)
            note_models(connection, run.id, facts)
            add_key(connection, run.id)
            if run.outcome is not None:
                keep_view(connection, run)
        return StoredRun(run, 1, at, project, submitter)

    def commit(self, transitions: Sequence[Transition], *, at: float) -> tuple[tuple[Pending, ...], ...]:
        """Apply transitions of different runs in one transaction; the new outbox entries of each, in order."""
        prepared = [_Prepared.of(transition) for transition in transitions]  # before the lock: it costs most
        with self._database.write() as connection:
            return tuple(_apply(connection, one, at) for one in prepared)

    def get(self, run_id: str) -> StoredRun:
        """One run. Raises NotFoundError with the ids that are close."""
        with self._database.read() as connection:
            row = connection.execute(_ONE, {"run_id": run_id}).first()
            if row is None:
                raise not_found("run", run_id, connection.scalars(_IDS).all())
        return _stored(row)

    def project_of(self, run_id: str) -> str:
        """The project of a run. Raises NotFoundError with the ids that are close."""
        with self._database.read() as connection:
            found = project_in(connection, run_id)
            if found is None:
                raise not_found("run", run_id, connection.scalars(_IDS).all())
        return found

    def runs_with_model(self, digest: str) -> Sequence[str]:
        """The ids of the runs that have made a model, newest first."""
        with self._database.read() as connection:
            return runs_with(connection, digest)

    def page(self, *, limit: int, before: str = "", wanted: RunFilter = ALL_RUNS) -> Sequence[StoredRun]:
        """Runs that are `wanted`, newest first, at most `limit`, starting after the run id `before`."""
        with self._database.read() as connection:
            ids = _page(connection, limit, before, wanted)
            found = {row.id: _stored(row) for row in connection.execute(_SOME, {"ids": ids})}
        return [found[run_id] for run_id in ids]

    def listed(self, *, limit: int, before: str = "", wanted: RunFilter = ALL_RUNS) -> Sequence[Listed]:
        """The same runs as lists show them, without their states."""
        with self._database.read() as connection:
            return listed_in(connection, _page(connection, limit, before, wanted))

    def unfinished(self) -> Sequence[tuple[StoredRun, tuple[Pending, ...]]]:
        """Every run that has not ended, or whose outbox is not empty, with its outbox in order."""
        with self._database.read() as connection:
            runs = connection.execute(_AT_WORK).all()
            outbox: dict[str, list[Pending]] = {}
            for row in connection.execute(_OUTBOX):
                outbox.setdefault(row.run_id, []).append(Pending(row.id, _effect(row.effect)))
        return [(_stored(row), tuple(outbox.get(row.id, ()))) for row in runs]

    def journal(
        self, run_id: str, *, after: int = 0, limit: int = 1000, kinds: Collection[type[Fact]] = ()
    ) -> Sequence[JournalEntry]:
        """The journal from entry `after` (exclusive) on, in order; of these kinds, if any are named."""
        of_kind = [is_fact(kind) for kind in kinds]
        wanted = _JOURNAL.where(or_(*of_kind)) if of_kind else _JOURNAL
        with self._database.read() as connection:
            rows = connection.execute(wanted, {"run_id": run_id, "after": after, "most": limit}).all()
            if not rows and connection.execute(_HEAD, {"run_id": run_id}).first() is None:
                raise not_found("run", run_id, connection.scalars(_IDS).all())
        return [JournalEntry(row.seq, row.at, _fact(row.fact)) for row in rows]

    def journal_json(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, bytes]]:
        """The same, each as its number and the canonical JSON of its view, as it was written."""
        with self._database.read() as connection:
            rows = connection.execute(_JOURNAL, {"run_id": run_id, "after": after, "most": limit}).all()
        return [(seq, b'{"at":%s,"fact":%s,"seq":%d}' % (dumps(at), fact.encode(), seq)) for seq, at, fact in rows]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A transition whose JSON is made."""

    transition: Transition
    state: dict[str, object]
    effects: list[dict[str, object]]
    facts: list[dict[str, object]]

    @classmethod
    def of(cls, transition: Transition) -> _Prepared:
        run_id = transition.run.id
        effects: list[dict[str, object]] = [
            {"run_id": run_id, "effect": _text(to_tagged_json(effect), run_id)} for effect in transition.effects
        ]
        return cls(transition, _state(transition.run), effects, _entries(run_id, transition.facts, transition.times))


def _apply(connection: Connection, prepared: _Prepared, at: float) -> tuple[Pending, ...]:
    transition, run_id = prepared.transition, prepared.transition.run.id
    head = connection.execute(_HEAD, {"run_id": run_id}).first()
    if head is None:
        raise not_found("run", run_id, connection.scalars(_IDS).all())
    version, length, ended = head
    if version != transition.version:
        raise ConflictError(
            f"run {run_id} is at version {version}, but this change follows version {transition.version}",
            hint=f"septum run show {run_id}, and try again",
        )
    changed = {"version": version + 1, "facts": length + len(prepared.facts), **prepared.state}
    connection.execute(_SET_RUN, {"run_id": run_id, **changed})
    if transition.performed:
        connection.execute(_DONE, [{"done": done, "of_run": run_id} for done in transition.performed])
    ids = [new_id(connection, _ADD_EFFECT, row) for row in prepared.effects]
    _add_facts(connection, prepared.facts, length, at)
    note_models(connection, run_id, transition.facts)
    if ended or transition.run.outcome is not None:
        set_outcome(connection, transition.run)
        keep_view(connection, transition.run)
    return tuple(Pending(id_, effect) for id_, effect in zip(ids, transition.effects, strict=True))


def _add_facts(connection: Connection, entries: Iterable[dict[str, object]], length: int, at: float) -> None:
    rows = [{"at": at, **entry, "seq": seq} for seq, entry in enumerate(entries, start=length + 1)]
    if rows:
        connection.execute(_ADD_FACT, rows)


def _state(run: Run) -> dict[str, object]:
    return {"ended": run.phase is Phase.ENDED, "state": _text(to_json(run), run.id)}


def _entries(run_id: str, facts: Sequence[Fact], times: Sequence[float] = ()) -> list[dict[str, object]]:
    """`times`: of each, where they are not that of the commit."""
    rows: list[dict[str, object]] = [{"run_id": run_id, "fact": _text(to_tagged_json(fact), run_id)} for fact in facts]
    return [{**row, "at": at} for row, at in zip(rows, times, strict=True)] if times else rows


def _text(body: Json, run_id: str) -> str:
    data = dumps(body)
    if len(data) > MAX_ENTRY_BYTES:  # it could be written and then never be read again
        raise TooLargeError(f"run {run_id}: a state or fact of {len(data)} bytes, at most {MAX_ENTRY_BYTES}")
    return data.decode()


def _page(connection: Connection, limit: int, before: str, wanted: RunFilter) -> Sequence[str]:
    older_than = age_of(connection, before) if before else None
    if before and older_than is None:
        raise not_found("run", before, connection.scalars(_IDS).all())
    return newest(connection, wanted, limit, older_than)


def _stored(row: Row[*tuple[Any, ...]]) -> StoredRun:
    run = from_json(Run, loads(row.state.encode(), limit=MAX_ENTRY_BYTES))
    about = (row.version, row.created_at, row.project, row.submitter, row.ended_at)
    return StoredRun(run, *about, row.shredded_at, row.shredded_by)


def _effect(text: str) -> Combine | Discard:
    return cast("Combine | Discard", union_from_json(Combine | Discard, loads(text.encode(), limit=MAX_ENTRY_BYTES)))


def _fact(text: str) -> Fact:
    return cast("Fact", union_from_json(Fact, loads(text.encode(), limit=MAX_ENTRY_BYTES)))
