"""The real coordinator, which writes down each of its writes and kills itself where the plan says so.

    python -m tests.faults.coordinator_to_kill DATA_DIR PORT FATE_DIR [--once]

Without --once it comes back after each death, in a new process, as under a service manager. With `hold` in FATE_DIR,
combining waits until its effect is committed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tests.faults.dying import Fate, When, live_again_and_again
from tests.faults.kill_points import (
    COORDINATOR_POINTS,
    WRITERS,
    last_model,
    name_of_put,
    name_of_removal,
    names_of,
    run_in,
)

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.sealing.keys import Keys
from septum.adapters.store.open import Stores, open_store
from septum.adapters.store.postgres_address import PostgresAddress
from septum.adapters.telemetry.open import Telemetry, open_telemetry
from septum.coordinator import audit, login, presence, root
from septum.coordinator.blob_place import BLOBS, BlobPlace
from septum.coordinator.blobs_config import BlobsConfig
from septum.coordinator.combining import Combiner
from septum.coordinator.config import load_config
from septum.coordinator.log import configure
from septum.coordinator.root import Adapters, Ready, serve
from septum.ports.apps import AppRecord, AppRegistry
from septum.ports.blobs import BlobStore, OpenBlob
from septum.ports.registry import SiloRecord
from septum.ports.store import ALL_RUNS, JournalEntry, Listed, Pending, RunFilter, RunStore, StoredRun, Transition
from septum.protocol.codec import Scalar
from septum.protocol.facts import Fact
from septum.protocol.run_state import Combine, Combined, Run

HOLD_S = 30.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WatchedRuns:
    """A RunStore whose writes are points."""

    store: RunStore
    fate: Fate
    epoch: int
    combining: threading.Event  # a Combine effect was committed

    def create(
        self, run: Run, facts: Sequence[Fact], *, at: float, project: str = "", submitter: str = ""
    ) -> StoredRun:
        with self.fate.passing(["create a run"], [run.id]):
            return self.store.create(run, facts, at=at, project=project, submitter=submitter)

    def commit(self, transitions: Sequence[Transition], *, at: float) -> tuple[tuple[Pending, ...], ...]:
        points = list(dict.fromkeys(name for one in transitions for name in names_of(one)))
        said = [[one.run.id, one.version, last_model(one)] for one in transitions]
        self.fate.note("commit", "begun", epoch=self.epoch, said=said)
        with self.fate.passing(points, [one.run.id for one in transitions]):
            done = self.store.commit(transitions, at=at)
            self.fate.note("commit", "done", epoch=self.epoch, said=said)
        if any(isinstance(effect, Combine) for one in transitions for effect in one.effects):
            self.combining.set()
        return done

    def get(self, run_id: str) -> StoredRun:
        return self.store.get(run_id)

    def project_of(self, run_id: str) -> str:
        return self.store.project_of(run_id)

    def runs_with_model(self, digest: str) -> Sequence[str]:
        return self.store.runs_with_model(digest)

    def page(self, *, limit: int, before: str = "", wanted: RunFilter = ALL_RUNS) -> Sequence[StoredRun]:
        return self.store.page(limit=limit, before=before, wanted=wanted)

    def listed(self, *, limit: int, before: str = "", wanted: RunFilter = ALL_RUNS) -> Sequence[Listed]:
        return self.store.listed(limit=limit, before=before, wanted=wanted)

    def unfinished(self) -> Sequence[tuple[StoredRun, tuple[Pending, ...]]]:
        found = self.store.unfinished()
        if any(isinstance(one.effect, Combine) for _, outbox in found for one in outbox):
            self.combining.set()
        return found

    def journal(
        self, run_id: str, *, after: int = 0, limit: int = 1000, kinds: Collection[type[Fact]] = ()
    ) -> Sequence[JournalEntry]:
        return self.store.journal(run_id, after=after, limit=limit, kinds=kinds)

    def journal_json(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[tuple[int, bytes]]:
        return self.store.journal_json(run_id, after=after, limit=limit)


@dataclass(frozen=True, slots=True)
class WatchedSilos:
    """A SiloRegistry whose writes are points."""

    registry: Any  # a SiloRegistry, and its `flush`
    fate: Fate

    def invite(
        self, silo: str, token_hash: bytes, *, expires_at: float, organisation: str, renew: bool = False
    ) -> None:
        with self.fate.passing(["invite a silo"]):
            self.registry.invite(silo, token_hash, expires_at=expires_at, organisation=organisation, renew=renew)

    def enroll(self, silo: str, token_hash: bytes, public_key: bytes, *, at: float) -> SiloRecord:
        with self.fate.passing(["enrol a silo"]):
            return self.registry.enroll(silo, token_hash, public_key, at=at)

    def revoke(self, silo: str) -> None:
        with self.fate.passing(["revoke a silo"]):
            self.registry.revoke(silo)

    def seen(self, silos: Sequence[str], *, at: float) -> None:
        with self.fate.passing(["note who was seen"]):
            self.registry.seen(silos, at=at)

    def flush(self) -> None:
        with self.fate.passing(["write down who was seen"]):
            self.registry.flush()

    def get(self, silo: str) -> SiloRecord:
        return self.registry.get(silo)

    def all(self) -> Sequence[SiloRecord]:
        return self.registry.all()


@dataclass(frozen=True, slots=True)
class WatchedApps:
    """An AppRegistry whose writes are points."""

    registry: AppRegistry
    fate: Fate

    def add(self, record: AppRecord) -> AppRecord:
        with self.fate.passing(["add a package"]):
            return self.registry.add(record)

    def set_preset(self, digest: str, name: str, values: Mapping[str, Scalar]) -> AppRecord:
        with self.fate.passing(["set a preset"]):
            return self.registry.set_preset(digest, name, values)

    def drop_preset(self, digest: str, name: str) -> AppRecord:
        with self.fate.passing(["take a preset back"]):
            return self.registry.drop_preset(digest, name)

    def remove(self, digest: str) -> None:
        with self.fate.passing(["remove a package"]):
            self.registry.remove(digest)

    def get(self, digest: str) -> AppRecord:
        return self.registry.get(digest)

    def all(self) -> Sequence[AppRecord]:
        return self.registry.all()


@dataclass(frozen=True, slots=True)
class Watched:
    """Any other store, whose writes are the points that `WRITERS` names."""

    store: object
    port: str
    fate: Fate

    def __getattr__(self, name: str) -> object:
        method = getattr(self.store, name)
        points = WRITERS.get(f"{self.port}.{name}")
        return method if points is None else partial(self._write, points, method)

    def _write(self, points: Collection[str], method: Callable[..., T], *args: object, **kwargs: object) -> T:
        with self.fate.passing(points):
            return method(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class WatchedBlobs:
    """A BlobStore whose writes are points."""

    blobs: BlobStore
    fate: Fate

    def put(self, area: str, data: bytes | Iterable[bytes], *, durable: bool, digest: str = "", limit: int = 0) -> str:
        point = name_of_put(area)
        with self.fate.passing([point], run_in(area)):
            passed = self._passing(point, run_in(area), [data] if isinstance(data, bytes) else data)
            return self.blobs.put(area, passed, durable=durable, digest=digest, limit=limit)

    def append(
        self, area: str, digest: str, data: Iterable[bytes], *, sender: str, start: int = 0, limit: int = 0
    ) -> None:
        point = "append to an upload"
        with self.fate.passing([point], run_in(area)):
            passed = self._passing(point, run_in(area), data)
            self.blobs.append(area, digest, passed, sender=sender, start=start, limit=limit)

    def _passing(self, point: str, about: Collection[str], blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            yield block
            self.fate.meet([point], When.WITHIN, about)

    def discard(self, area: str, digests: Sequence[str]) -> None:
        point, about = name_of_removal(area, whole=False), run_in(area)
        with self.fate.passing([point], about):
            for digest in digests:
                self.blobs.discard(area, [digest])
                self.fate.meet([point], When.WITHIN, about)

    def drop(self, area: str) -> None:
        with self.fate.passing([name_of_removal(area, whole=True)], run_in(area)):
            self.blobs.drop(area)

    def share(self, area: str, digest: str, into: str) -> None:
        with self.fate.passing(["share what a silo sent"], run_in(area)):
            self.blobs.share(area, digest, into)

    def get(self, area: str, digest: str) -> bytes:
        return self.blobs.get(area, digest)

    def open(self, area: str, digest: str, *, last: bool = False) -> AbstractContextManager[OpenBlob]:
        return self.blobs.open(area, digest, last=last)

    def size_bytes(self, area: str, digest: str) -> int:
        return self.blobs.size_bytes(area, digest)

    def kept_bytes(self, area: str, digest: str, *, sender: str) -> int:
        return self.blobs.kept_bytes(area, digest, sender=sender)

    def digests(self, area: str) -> Sequence[str]:
        return self.blobs.digests(area)

    def free_bytes(self) -> int:
        return self.blobs.free_bytes()

    def used_bytes(self) -> int:
        return self.blobs.used_bytes()


def watched(fate: Fate) -> Adapters:
    """The coordinator's own adapters, with the plan around them."""
    combining = threading.Event()
    Combiner.combine = _watched_combine(Combiner.combine, fate, combining)  # type: ignore[method-assign]

    def open_runs(folder: Path, address: PostgresAddress | None) -> Stores:
        with fate.passing(["open the store"]):
            stores = open_store(folder, address)
        runs = WatchedRuns(stores.runs, fate, stores.epoch, combining)
        fate.note("owner", "begins", epoch=stores.epoch)
        silos, apps = WatchedSilos(stores.registry, fate), WatchedApps(stores.apps, fate)
        ports = {
            "accounts": "SiloAccounts",
            "people": "PeopleStore",
            "credentials": "CredentialStore",
            "sessions": "SessionStore",
            "groups": "GroupStore",
            "projects": "ProjectStore",
            "feed": "FeedStore",
            "audit": "AuditLog",
            "registered": "ModelRegistry",
            "run_keys": "RunKeyStore",
        }
        others = {name: Watched(getattr(stores, name), port, fate) for name, port in ports.items()}
        return replace(stores, runs=runs, registry=silos, apps=apps, **others)  # type: ignore[arg-type]

    @contextmanager
    def open_blobs(data_dir: Path, _: BlobsConfig | None, keys: Keys | None) -> Iterator[BlobPlace]:
        with fate.passing(["open the blobs"]):
            blobs = WatchedBlobs(DirectoryBlobs(data_dir / BLOBS, keys=keys), fate)
        yield BlobPlace(blobs)

    def open_logs(folder: Path) -> Telemetry:
        with fate.passing(["open the logs"]):
            telemetry = open_telemetry(folder)
        logs, system = Watched(telemetry.logs, "LogStore", fate), Watched(telemetry.system, "SystemStore", fate)
        return replace(telemetry, logs=logs, system=system)  # type: ignore[arg-type]

    return Adapters(open_runs, open_blobs, open_logs)


def _watched_combine(combine: Callable[..., Combined], fate: Fate, committed: threading.Event) -> Callable[..., Any]:
    """An effect is no port's method: it is performed by the combiner."""

    def watched_combine(self: Combiner, effect: Combine, plan: object, run_id: str, *rest: object) -> Combined:
        if fate.holds:
            committed.wait(HOLD_S)
            committed.clear()
        with fate.passing([f"combine {effect.stage.value}"], [run_id]):
            return combine(self, effect, plan, run_id, *rest)

    return watched_combine


def _life(fate: Fate, data_dir: Path, port: int) -> None:
    configure("info")

    def ready(where: Ready) -> None:
        fate.note("ready", "done", port=where.port)

    presence.LOOK_EVERY_S = audit.HEAD_EVERY_S = 0.2
    login.SEEN_EVERY_S = login.TOKEN_SEEN_EVERY_S = 0.0  # each use is noted, so that it can be died at
    config = load_config(data_dir, listen=f"127.0.0.1:{port}")
    if config.store is not None:
        _die_often_on_postgresql()
    serve(config, ready, watched(fate))


def _die_often_on_postgresql() -> None:
    """Who comes after a death waits until the lease of who died has run out: a second, and not six.

    The first one comes after a coordinator with the usual lease, and waits as long as any other would.
    """
    from septum.adapters.store import postgres_lease  # pg8000, which is not loaded for SQLite

    postgres_lease.LEASE_S, postgres_lease.RENEW_EVERY_S = 1.0, 0.2
    root.TRY_EVERY_S = 0.1


def main(arguments: Sequence[str]) -> int:
    data_dir, port, folder, *options = arguments
    fate = Fate(Path(folder), COORDINATOR_POINTS)
    life = partial(_life, fate, Path(data_dir), int(port))
    if "--once" in options:
        life()
        return 0
    return live_again_and_again(fate, life)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
