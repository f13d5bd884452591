"""Where runs live: their state, the outbox of effects still to be performed, and the journal of what happened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from septum.protocol.codec import dumps, to_json
from septum.protocol.facts import Fact
from septum.protocol.messages import Outcome
from septum.protocol.run_state import Combine, Discard, Run
from septum.protocol.views import newest_model, run_view


@dataclass(frozen=True, slots=True)
class Pending:
    """An effect that is committed but not known to be performed. `id` is unique in the store."""

    id: int
    effect: Combine | Discard


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as committed.

    version     grows by one with every commit
    created_at  Unix time, seconds
    project     to which it belongs, for ever; empty: to none
    submitter   the name of who submitted it; empty: an older septum did not ask
    ended_at    when it ended, as its journal has it, Unix time, seconds; None while it has not
    shredded_at, shredded_by  when its key was deleted and by whom (ports/run_keys.py); None and empty: it was not
    """

    run: Run
    version: int
    created_at: float
    project: str = ""
    submitter: str = ""
    ended_at: float | None = None
    shredded_at: float | None = None
    shredded_by: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A run as lists show it.

    view   its `RunView` as canonical JSON; empty for a run at work, whose state alone can tell
    model  the `ModelView` of its newest model, likewise; empty where there is none
    """

    run_id: str
    view: bytes = b""
    model: bytes = b""


def listed_of(stored: StoredRun) -> Listed:
    """A run as lists show it. Of one at work there is nothing to keep."""
    if stored.run.outcome is None:
        return Listed(stored.run.id)
    view = run_view(
        stored.run,
        created_at=stored.created_at,
        project=stored.project,
        submitter=stored.submitter,
        ended_at=stored.ended_at,
        shredded_at=stored.shredded_at,
        shredded_by=stored.shredded_by,
    )
    model = newest_model(stored.run)
    return Listed(stored.run.id, dumps(to_json(view)), dumps(to_json(model)) if model else b"")


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are looked for: those for which all of this holds. None and empty texts hold for every run.

    projects   they belong to one of these; "" among them stands for runs of no project
    app        of the app of this name
    version    of this version of it
    ended      they have ended in one of these ways, or are one of `these`
    these      by id; nothing without `ended`
    name       they have this name
    submitter  this person submitted them
    since      submitted then or later, Unix time, seconds
    text       it is in their id, name, app or submitter; upper and lower case of ASCII letters are the same
    asking     they asked for statistics and have ended, or are one of these, by id
    """

    projects: frozenset[str] | None = None
    app: str = ""
    version: str = ""
    ended: frozenset[Outcome] | None = None
    these: frozenset[str] = frozenset()
    name: str = ""
    submitter: str = ""
    since: float = 0.0
    text: str = ""
    asking: frozenset[str] | None = None


ALL_RUNS = RunFilter()


@dataclass(frozen=True, slots=True)
class Transition:
    """One commit of one run.

    version    the version that this state follows
    effects    new entries of the outbox
    performed  ids of outbox entries that are done
    facts      new entries of the journal, in order
    times      when each of these happened, Unix seconds; empty: all of them at the commit
    """

    run: Run
    version: int
    effects: tuple[Combine | Discard, ...] = ()
    performed: tuple[int, ...] = ()
    facts: tuple[Fact, ...] = ()
    times: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One fact. `seq` counts from 1 within its run without gaps; `at` is Unix time, seconds."""

    seq: int
    at: float
    fact: Fact


class RunStore(Protocol):
    """Durable runs.

    Contract: `commit` is atomic over all its transitions and durable when it returns (a kill or a power loss after it
    loses nothing). A stale version raises ConflictError and changes nothing, for any of the transitions; so does a
    store that another coordinator has taken over. A StorageError (held by another process, full, failing) changes
    nothing either, and the same may be tried again. What any earlier septum wrote is read. Methods may be called from
    any thread.
    """

    def create(
        self, run: Run, facts: Sequence[Fact], *, at: float, project: str = "", submitter: str = ""
    ) -> StoredRun:
        """Add a run at version 1, of a project and a submitter for ever. Raises ConflictError when the id is taken."""

    def commit(self, transitions: Sequence[Transition], *, at: float) -> tuple[tuple[Pending, ...], ...]:
        """Apply transitions of different runs in one transaction; the new outbox entries of each, in order.

        Ids in `performed` that are not in the run's outbox are ignored. Raises NotFoundError for an unknown run.
        """

    def get(self, run_id: str) -> StoredRun:
        """One run. Raises NotFoundError with the ids that are close."""

    def project_of(self, run_id: str) -> str:
        """The project of a run, without reading its state. Raises NotFoundError with the ids that are close."""

    def runs_with_model(self, digest: str) -> Sequence[str]:
        """The ids of the runs whose journals have a ModelMade of this digest, newest first as in `page`."""

    def page(self, *, limit: int, before: str = "", wanted: RunFilter = ALL_RUNS) -> Sequence[StoredRun]:
        """Runs that are `wanted`, newest first by (created_at, id), at most `limit`, starting after the run `before`.

        `before` need not be a wanted one. Raises NotFoundError when there is no such run.
        """

    def listed(self, *, limit: int, before: str = "", wanted: RunFilter = ALL_RUNS) -> Sequence[Listed]:
        """The same runs as `page`, as lists show them: their states are not read."""

    def unfinished(self) -> Sequence[tuple[StoredRun, tuple[Pending, ...]]]:
        """Every run that has not ended, or whose outbox is not empty, oldest first, with its outbox in order."""

    def journal(
        self, run_id: str, *, after: int = 0, limit: int = 1000, kinds: Collection[type[Fact]] = ()
    ) -> Sequence[JournalEntry]:
        """At most `limit` entries of the journal after entry `after`, in order. Raises NotFoundError.

        `kinds`: entries of these alone; none named: of all.
        """

    def journal_json(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, bytes]]:
        """The same, each as its number and the canonical JSON of its view, as it was written: a tenth of the work.

        Of what an earlier septum wrote, a field that came later may be missing.
        """
