"""How does a golden data directory come to be? `python -m tests.golden.record_schema` writes that of today's schema.

    schema-REVISION/dump.sql       the database: runs at work, one with a report in, one with its Combine still to be
                                   performed, one that has ended; silos enrolled, revoked, invited
    schema-REVISION/blobs/         what the database refers to
    schema-REVISION/expected.json  the states as they were then, and the model at which each run must end
    schema-REVISION/fields.json    the fields of everything that is stored as JSON

A directory that is there is never written again: there are coordinators out there that look like it. When a stored
dataclass gets a field, the schema gets a revision, if need be one that changes nothing, so that an older septum refuses
the database instead of stumbling over it; then run the command.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import get_args, get_type_hints

from tests.golden.silo_work import ROWS, key_of, report_on

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.identity.keys import public_bytes
from septum.adapters.store.open import DATABASE_NAME, Stores, open_store
from septum.coordinator.combining import Combiner
from septum.coordinator.shelf import Shelf
from septum.coordinator.spool import Spool
from septum.ports.store import Transition
from septum.protocol.audit import AuditEvent, Countersignature, SignedHead
from septum.protocol.codec import kind_of, to_json, to_tagged_json
from septum.protocol.description import SiloDescription
from septum.protocol.facts import Fact
from septum.protocol.feed import Change
from septum.protocol.messages import Join
from septum.protocol.plan import AppRef, Plan, StrategyRef
from septum.protocol.registered import ModelVersion
from septum.protocol.run import create, instruction, step
from septum.protocol.run_state import Combine, Discard, Effect, Event, FromSilo, Note, Run

HERE = Path(__file__).parent
TOKEN = sha256(b"golden token").digest()
NEVER = 4e9  # Unix time, in the year 2096: an invitation that stays open


def plan_of(name: str, strategy: str) -> Plan:
    """Three rounds of the three silos."""
    app = AppRef("golden", "1.0.0", "sha256:" + "0" * 64)
    return Plan(name, app, {"rounds": 3, "lr": 0.5}, tuple(ROWS), rounds=3, seed=7, strategy=StrategyRef(strategy))


@dataclass
class Life:
    """One run, lived by hand: each step is committed with its effects and facts, as the coordinator does."""

    stores: Stores
    blobs: DirectoryBlobs
    run: Run
    version: int = 1
    todo: dict[int, Combine | Discard] = field(default_factory=dict)

    @classmethod
    def begin(cls, stores: Stores, blobs: DirectoryBlobs, run_id: str, plan: Plan) -> Life:
        """A run whose silos have joined."""
        run, effects = create(run_id, plan, 0.0)
        stores.runs.create(run, _facts(effects), at=1.0)
        life = cls(stores, blobs, run)
        for silo in plan.silos:
            life.do(FromSilo(silo, Join(plan.digest)))
        return life

    def do(self, event: Event, performed: tuple[int, ...] = ()) -> None:
        """Step and commit."""
        self.run, effects = step(self.run, event, self.run.now + 0.25)
        lasting = tuple(effect for effect in effects if not isinstance(effect, Note))
        transition = Transition(self.run, self.version, lasting, performed, tuple(_facts(effects)))
        ((*pending,),) = self.stores.runs.commit([transition], at=2.0)
        self.version += 1
        for done in performed:
            del self.todo[done]
        self.todo |= {entry.id: entry.effect for entry in pending}

    def report(self, *silos: str) -> None:
        """These silos report, and their payloads are on disk."""
        for silo in silos:
            told = instruction(self.run, silo)
            report = None if told is None else report_on(told, silo)
            assert report is not None
            assert report.payload.inline is not None
            self.blobs.put(f"spool-{self.run.id}", report.payload.inline, durable=True)
            self.do(FromSilo(silo, report))

    def combine(self) -> None:
        """Perform the Combine in the outbox."""
        ((id_, effect),) = [(id_, effect) for id_, effect in self.todo.items() if isinstance(effect, Combine)]
        spool = Spool(self.blobs, self.run.id, complete=False)
        combined = Combiner(self.blobs, Shelf(self.blobs)).combine(effect, self.run.plan, self.run.id, spool)
        self.do(combined, (id_,))

    def to_the_end(self) -> Run:
        """Every silo reports whatever it is asked."""
        while self.run.outcome is None:
            self.report(*self.run.awaited)
            self.combine()
        return self.run


def _facts(effects: Iterable[Effect]) -> list[Fact]:
    return [effect.fact for effect in effects if isinstance(effect, Note)]


def live(stores: Stores, blobs: DirectoryBlobs) -> dict[str, Life]:
    """The runs as they are left."""
    registry = stores.registry
    for silo in (*ROWS, "gone"):
        registry.invite(silo, TOKEN, expires_at=NEVER)
        registry.enroll(silo, TOKEN, public_bytes(key_of(silo)), at=5.0)
    registry.revoke("gone")
    registry.invite("east", TOKEN, expires_at=NEVER)
    lives = {
        run_id: Life.begin(stores, blobs, run_id, plan_of(run_id, strategy))
        for run_id, strategy in (("r-open", "fedadam"), ("r-combining", "fedavg"), ("r-ended", "fedavgm"))
    }
    lives["r-open"].report(*ROWS)
    lives["r-open"].combine()
    lives["r-open"].report(*ROWS)
    lives["r-open"].combine()
    lives["r-open"].report("north")
    lives["r-combining"].report(*ROWS)
    lives["r-combining"].combine()
    lives["r-combining"].report(*ROWS)
    lives["r-ended"].to_the_end()
    return lives


def write(root: Path = HERE) -> Path | None:
    """Write the directory of today's schema, if it is not there."""
    with TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        blobs = DirectoryBlobs(data / "blobs")
        with open_store(data) as stores:
            lives = live(stores, blobs)
            expected = {run_id: {"state": to_json(life.run)} for run_id, life in lives.items()}
            for run_id, life in lives.items():
                expected[run_id]["outbox"] = [to_tagged_json(effect) for effect in life.todo.values()]
        with closing(sqlite3.connect(data / DATABASE_NAME)) as database:
            (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            dump = "\n".join(database.iterdump()) + "\n"
        target = root / f"schema-{revision}"
        if target.exists():
            return None
        copytree(data / "blobs", target / "blobs", ignore=ignore_patterns(".*"))
        with open_store(data) as stores:
            for run_id, life in lives.items():
                rest = Life(stores, blobs, life.run, life.version, life.todo)
                if any(isinstance(effect, Combine) for effect in rest.todo.values()):
                    rest.combine()
                model = rest.to_the_end().model
                assert model is not None
                expected[run_id]["final"] = model.digest
    (target / "dump.sql").write_text(dump)
    (target / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    (target / "fields.json").write_text(json.dumps(stored_fields(), indent=1, sort_keys=True) + "\n")
    return target


def stored_fields() -> dict[str, list[str]]:
    """The fields of every dataclass that is stored as JSON, and the values of every choice, by kind."""
    found: dict[str, list[str]] = {}
    waiting: list[object] = [Run, Combine, Discard, *get_args(Fact), SiloDescription, ModelVersion, Change]
    waiting += [AuditEvent, SignedHead, Countersignature]
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, type) and issubclass(hint, Enum):
            found[kind_of(hint)] = sorted(str(member.value) for member in hint)
        elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
            hints: Mapping[str, object] = get_type_hints(hint)
            if kind_of(hint) not in found:
                found[kind_of(hint)] = sorted(field.name for field in dataclasses.fields(hint))
                waiting += [hints[name] for name in found[kind_of(hint)]]
        else:
            waiting += get_args(hint)
    return found


if __name__ == "__main__":
    sys.stdout.write(f"{write() or 'it is there already'}\n")
