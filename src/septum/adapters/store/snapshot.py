"""How is the database copied while a coordinator writes it? With SQLite's online backup, of one committed state.

The write lock is held only while the state to copy is chosen; the copying itself keeps nobody waiting. Nothing is
migrated and no epoch is raised: the copy is what a coordinator killed at that moment would have left.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from septum.adapters.store.schema import MAX_ENTRY_BYTES
from septum.adapters.store.sqlite_file import translated
from septum.errors import ConfigError, StorageError
from septum.protocol.codec import from_json, loads, union_from_json
from septum.protocol.facts import Fact, ModelMade, SiloModelsKept
from septum.protocol.messages import Blob, Outcome
from septum.protocol.run_state import Combine, Discard, Run

LOCK_WAIT_S = 30.0  # a coordinator in brisk rounds takes the lock again and again, for milliseconds each


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was copied: the schema's revision, and how often the database had been opened."""

    schema: str
    epoch: int


def copy_database(source: Path, target: Path, while_still: Callable[[], None]) -> Snapshot:
    """Copy the newest committed state of `source` into the new file `target`, which is checked.

    `while_still` is called while no commit can follow that state: what it finds on disk belongs to it.

    Raises ConfigError where there is no coordinator's database, StorageError when it is locked, damaged or full.
    """
    if not source.is_file():
        raise ConfigError(f"there is no coordinator's database {source}", hint=f"ls -l {source.parent}")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with translated(source), _connected(source) as reader:
        with _connected(source) as writer:
            writer.execute("BEGIN IMMEDIATE")
            reader.execute("BEGIN")
            snapshot = _snapshot(reader, source)  # a transaction sees the state of its first read
            while_still()
        with translated(target), _connected(target) as copy:
            reader.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file; who opens it turns WAL on again
            _check(copy, source)
    return snapshot


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection; what it has not committed is rolled back."""
    with closing(sqlite3.connect(path, timeout=LOCK_WAIT_S, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        yield connection


def _snapshot(reader: sqlite3.Connection, source: Path) -> Snapshot:
    try:
        (schema,) = reader.execute("SELECT version_num FROM alembic_version").fetchone()
        (epoch,) = reader.execute("SELECT epoch FROM coordinator").fetchone()
    except (sqlite3.OperationalError, TypeError) as error:
        raise ConfigError(f"{source} is no coordinator's database: {error}", hint=f"ls -l {source.parent}") from error
    return Snapshot(str(schema), int(epoch))


@dataclass(frozen=True, slots=True)
class Needs:
    """The blobs that a run refers to, by digest: its models, the payloads it works on, its optimizer's state.

    updates  what its silos sent, where their own models are kept
    """

    run: str
    models: frozenset[str]
    payloads: frozenset[str]
    optimizers: frozenset[str]
    updates: frozenset[str]


def needs_of(copy: Path) -> Iterator[Needs]:
    """What each run in a copied database refers to. A finished run needs its models alone."""
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        for run_id, state in connection.execute("SELECT id, state FROM runs"):
            run = from_json(Run, loads(state.encode(), MAX_ENTRY_BYTES))
            made = connection.execute(_MODELS, (run_id,)).fetchall()
            models = {cast("ModelMade", _of(Fact, text)).model for (text,) in made} | {run.model}
            given = [*run.reports.values()]
            optimizers = {None if run.outcome is Outcome.FINISHED else run.optimizer}
            for (text,) in connection.execute("SELECT effect FROM outbox WHERE run_id = ?", (run_id,)):
                effect = _of(Combine | Discard, text)
                if isinstance(effect, Combine):
                    given += effect.contributions.values()
                    models.add(effect.base)
                    optimizers.add(effect.optimizer)
            payloads, updates = (one.payload for one in given), _kept_updates(connection, run_id)
            yield Needs(run_id, _digests(models), _digests(payloads), _digests(optimizers), _digests(updates))


@dataclass(frozen=True, slots=True)
class Salts:
    """What the keys of runs are made with (ports/run_keys.py), and which runs were shredded.

    of_run  None: the database is from before there were any
    """

    of_run: Mapping[str, bytes] | None
    shredded: frozenset[str]

    def leave_out(self, run: str) -> bool:
        """Whether files of a run are not to be kept with this database: it was shredded, or began later."""
        return run in self.shredded or (self.of_run is not None and run not in self.of_run)


def salts_of(copy: Path) -> Salts:
    """Those in a copied database; none in one from before there were any."""
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'run_keys'").fetchone():
            return Salts(None, frozenset())
        rows = connection.execute("SELECT run_id, salt, shredded_at IS NOT NULL FROM run_keys").fetchall()
    return Salts({run: salt for run, salt, gone in rows if not gone}, frozenset(run for run, _, gone in rows if gone))


def _kept_updates(connection: sqlite3.Connection, run_id: str) -> Iterator[Blob]:
    for (text,) in connection.execute(_SILO_MODELS, (run_id,)):
        for one in cast("SiloModelsKept", _of(Fact, text)).silos.values():
            yield one.update


_MODELS = """SELECT fact FROM journal WHERE run_id = ? AND fact LIKE '%"kind":"model_made"%'"""
_SILO_MODELS = """SELECT fact FROM journal WHERE run_id = ? AND fact LIKE '%"kind":"silo_models_kept"%'"""


def _of(union: object, text: str) -> object:
    return union_from_json(union, loads(text.encode(), MAX_ENTRY_BYTES))


def _digests(blobs: Iterable[Blob | None]) -> frozenset[str]:
    return frozenset(blob.digest for blob in blobs if blob is not None)


def _check(copy: sqlite3.Connection, source: Path) -> None:
    (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StorageError(
            f"the database {source} is damaged: {found}", hint=f"sqlite3 {source} 'PRAGMA integrity_check'"
        )
