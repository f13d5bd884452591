"""Runs of the private app: its records, its plans, and what a silo's own model is in a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from septum.protocol.plan import AppRef, Plan, Private
from septum.sdk.package import load_app
from septum.simulate.run import SimulationResult, read_silos, simulate

FOLDER = Path(__file__).parent / "private_app"
APP = load_app(FOLDER)
ROWS = {"east": 12, "north": 16, "south": 20}
HEAD = Private(("head.*",))


def records_in(folder: Path, rows: Mapping[str, int] = ROWS) -> dict[str, Path]:
    """Each silo's file, written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {silo: folder / f"{silo}.csv" for silo in rows}
    for silo, path in files.items():
        path.write_text("x,y\n" + "".join(f"{row / 2},{row % 2}\n" for row in range(rows[silo])))
    return files


def plan_for(rounds: int = 3, hyper: Mapping[str, object] | None = None, **changed: object) -> Plan:
    """A plan over all silos, with the head private."""
    resolved = APP.app.resolve({"rounds": rounds, **(hyper or {})})
    ref = AppRef(APP.app.name, APP.manifest.version, APP.digest)
    plan = Plan("p", ref, APP.app.hyper_values(resolved), tuple(sorted(ROWS)), rounds, seed=7, private=HEAD)
    return replace(plan, **changed)


def simulated(plan: Plan, files: Mapping[str, Path]) -> SimulationResult:
    """The same plan in one process."""
    return simulate(APP, plan, read_silos(APP, APP.app.resolve(plan.hyper), files))
