"""A federation of the counting app: tiny data, real processes, and a trail by which each training can be counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tests.e2e.runs import OPEN

from septum.cli.demo_tracker import DemoTracking
from septum.cli.federation import Federation
from septum.errors import ConnectionFailedError
from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.query import Pair, Query, QueryColumn
from septum.sdk.package import load_app
from septum.simulate.run import read_silos, simulate

FOLDER = Path(__file__).parent / "counting_app"
APP = load_app(FOLDER)
ROWS = {"east": 12, "north": 16, "south": 20}
PATIENCE_S = 60.0  # for what takes a second on a machine of one's own
T = TypeVar("T")
# httpx leaves a socket to the collector when its server dies in the middle of a TLS handshake.
UNCLOSED = "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"


@dataclass(frozen=True, slots=True)
class Counting:
    """What stands around a federation of the counting app: its silos' records, and where trails and gates go."""

    records: Mapping[str, Path]
    folder: Path

    def federation(self, base: Path, environment: Mapping[str, str] | None = None) -> Federation:
        """Not started yet. `environment`: of all its processes."""
        tracking = None if environment is None else DemoTracking({}, (), environment)
        return Federation(
            base,
            FOLDER,
            APP.app.name,
            self.records,
            sandbox=1,  # its trails lie outside of one
            policy=OPEN | {"queries": [APP.app.name]},
            tracking=tracking,
        )

    def trail(self, run: str) -> Path:
        """Where each training of a run leaves a line; any silo's user may write there."""
        return self.folder / f"{run}.trail"

    def gate(self, run: str) -> Path:
        """The file that the trainings of a run wait for."""
        return self.folder / f"{run}.gate"

    def plan(self, run: str, rounds: int, hyper: Mapping[str, object], **changed: object) -> Plan:
        """A plan over all silos whose trainings are counted under the name `run`."""
        resolved = APP.app.resolve({"rounds": rounds, "trail": str(self.trail(run)), **hyper})
        ref = AppRef(APP.app.name, APP.manifest.version, APP.digest)
        values = APP.app.hyper_values(resolved)
        plan = Plan(run, ref, values, tuple(sorted(self.records)), rounds=rounds, seed=7)
        return replace(plan, **changed)

    def query(self, run: str) -> Plan:
        """A plan that asks all silos how their x are spread, and whether it goes with y."""
        column = QueryColumn("x", cuts=(2.0, 4.0)), QueryColumn("y", cuts=(0.5,))
        query = Query(column, (Pair("x", "y"),), min_cell=5)
        ref = AppRef(APP.app.name, APP.manifest.version, APP.digest)
        return Plan(run, ref, {}, tuple(sorted(self.records)), rounds=1, masking=Masking(), query=query)

    def undisturbed(self, plan: Plan) -> str:
        """The digest that a run has when nothing goes wrong."""
        quiet = replace(plan, hyper={**plan.hyper, "trail": "", "gate": "", "fails": ""})
        rows = read_silos(APP, APP.app.resolve(quiet.hyper), self.records)
        return simulate(APP, quiet, rows).model_digest

    def trainings(self, run: str) -> Counter[tuple[str, int]]:
        """How often each silo trained each round."""
        lines = self.trail(run).read_text().splitlines() if self.trail(run).exists() else []
        return Counter((silo, int(round_)) for silo, round_ in (line.split() for line in lines))


def counting_in(folder: Path, rows: Mapping[str, int] = ROWS) -> Counting:
    """Write records with so many rows for each silo, and make room for trails and gates."""
    records, trails = folder / "records", folder / "trails"
    records.mkdir(parents=True)
    trails.mkdir(mode=0o777)
    trails.chmod(0o777)  # silos may run as users of their own
    return Counting({silo: _write_records(records / f"{silo}.csv", count) for silo, count in rows.items()}, trails)


def _write_records(path: Path, rows: int) -> Path:
    path.write_text("x,y\n" + "".join(f"{row / 2},{row % 2}\n" for row in range(rows)))
    return path


def until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a condition that another process brings about."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        pause.wait(0.02)


def persist(call: Callable[[], T]) -> T:
    """Ask again until the coordinator is there; only for what may be asked twice."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while True:
        try:
            return call()
        except ConnectionFailedError:
            assert time.monotonic() < deadline, f"the coordinator was away for {PATIENCE_S:g} s"
            pause.wait(0.05)
