"""Which federations are compared that do the same work in turn, so that noise hits both? As it is, and with less.

`as_it_is` has the settings that it is given; `unrecorded` has neither a tracker nor its rounds in the audit log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.federations import (
    READY,
    Finished,
    client_of,
    federation_of,
    pids_of,
    program,
    run_to_end,
    until,
    wait_until_idle,
)
from benchmarks.processes import SAMPLE_EVERY_S, Pids, Sample, Sampler, cpu_s, descendants
from septum.cli.federation import COORDINATOR, Federation
from septum.client import Client, operator_access
from septum.coordinator.tracking import FOLDER
from septum.protocol.audit import AuditFilter, AuditKind
from septum.protocol.plan import Plan

STORE_S = 300.0  # MLflow makes a database of its own at first
START_S = 60.0
TRACKERS: Mapping[str, str] = {
    "mlflow": '[tracking.mlflow]\nuri = "sqlite:///mlflow.db"\n',
    "tensorboard": "[tracking.tensorboard]\n",
}


@dataclass(frozen=True, slots=True)
class Side:
    """A federation whose agents wait for a run. `tracker`: where its coordinator stores runs; empty for nowhere."""

    federation: Federation
    client: Client
    pids: Mapping[str, Pids]
    tracker: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that went through on a side.

    audited        how many models the audit log has of it
    tracker_cpu_s  of the tracker's own process, until it had stored the whole run
    """

    finished: Finished
    samples: tuple[Sample, ...]
    audited: int
    tracker_cpu_s: float


@contextmanager
def as_it_is(app: Path, files: Mapping[str, Path], *, store_url: str = "", tracker: str = "") -> Iterator[Side]:
    """A federation with these settings."""
    store = f'[store]\nurl = "{store_url}"\n' if store_url else ""
    settings = store + (TRACKERS[tracker] if tracker else "")
    with federation_of(app, files, settings) as federation, client_of(federation) as client:
        yield Side(federation, client, pids_of(federation), tracker)


@contextmanager
def unrecorded(app: Path, files: Mapping[str, Path]) -> Iterator[Side]:
    """A federation whose coordinator is benchmarks/unrecorded.py, without a tracker."""
    with federation_of(app, files) as federation:
        port = operator_access(federation.operator_dir).url.rpartition(":")[2]
        federation.process(COORDINATOR).stop()
        where = ["--data-dir", str(federation.operator_dir), "--listen", f"127.0.0.1:{port}"]
        log = federation.base / "unrecorded.log"
        with program("benchmarks.unrecorded", ["coordinator", "start", "--json", *where], log) as pid:
            until(lambda: READY in log.read_text(), START_S, "the coordinator")
            with client_of(federation) as client:
                yield Side(federation, client, {**pids_of(federation), COORDINATOR: lambda: [pid]})


def run_on(side: Side, plan: Plan) -> Ran:
    """Run a plan; return when all is quiet again, and its tracker has all of it."""
    before = _below(side)
    with Sampler(side.pids, SAMPLE_EVERY_S) as sampler:
        finished = run_to_end(side.client, plan)
    if side.tracker:
        until(lambda: _is_stored(side, finished), STORE_S, f"{side.tracker} to have run {finished.run.id}")
    cpu = sum(used - before.get(pid, 0.0) for pid, used in _below(side).items())
    wait_until_idle([*(pid for role in side.pids.values() for pid in role()), *_below(side)])
    made = AuditFilter(kind=AuditKind.MODEL_MADE.value, run=finished.run.id)
    return Ran(finished, tuple(sampler.samples), len(side.client.audit.page(made, limit=1000)), cpu)


def _below(side: Side) -> dict[int, float]:
    """Processor seconds of what the coordinator has started: its tracker, where that is a process."""
    return {pid: cpu_s(pid) for top in side.pids[COORDINATOR]() for pid in descendants(top)}


def _is_stored(side: Side, finished: Finished) -> bool:
    path = side.federation.operator_dir / FOLDER / f"{side.tracker}.json"
    places = json.loads(path.read_text()) if path.exists() else {}
    return bool(places.get(finished.run.id, 0) >= finished.journal[-1].seq)


def warm_up(side: Side, plan: Plan) -> None:
    """A short run: agents have come back after it, a tracker's process and its database are there."""
    run_on(side, replace(plan, rounds=min(plan.rounds, 5)))
