"""Where do a round's milliseconds go? `python -m benchmarks.profile_round --silos 4 --rounds 300 --json`.

Runs the heart-disease example (with --mb the echo app, with a model of that size) twice: as it is, and with
coordinator, agents and workers under spans (profiled.py). Each process says at two moments of the run how much time
went into which function; the difference, over the rounds between, is a round's share. Start-up is not in it. What the
spans themselves cost shows in `round_ms` of the two runs.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeAlias

from benchmarks import report
from benchmarks.federations import (
    ECHO,
    HEART_DISEASE,
    READY,
    STOP_S,
    client_of,
    echo_silos,
    federation_of,
    hospitals,
    journal_of,
    plan_for,
    program,
    run_to_end,
    until,
)
from benchmarks.profiled import TARGETS
from benchmarks.rounds_of import Round, rounds_of
from septum.cli.federation import Federation
from septum.cli.shipped import example
from septum.client import Client, operator_access
from septum.errors import RunFailedError
from septum.ports.launcher import Level
from septum.protocol.plan import Masking, Plan
from septum.protocol.views import RunStatus

WARM_UP = 20  # rounds, at most
PROFILED = "benchmarks.profiled"
_REST = "(the rest: interpreter, event loop, TLS and server threads)"


Roles: TypeAlias = "Mapping[str, Mapping[str, Share]]"


@dataclass(frozen=True, slots=True)
class Share:
    """What one label costs in a round, in one process of the role on average: calls, microseconds."""

    calls: float
    cpu_us: float
    wall_us: float


def main() -> None:
    """Measure and print."""
    options = report.parser(__doc__)
    options.add_argument("--silos", type=int, default=4)
    options.add_argument("--rounds", type=int, default=300)
    options.add_argument("--mb", type=int, default=0, help="echo a model of so many 10^6 bytes instead")
    options.add_argument("--masked", action="store_true", help="with secure aggregation")
    given = options.parse_args()
    figures, roles = measure(given.silos, given.rounds, given.mb, masked=given.masked)
    report.say(figures, table(figures["round_ms"], roles), as_json=given.json)


def measure(silos: int, rounds: int, mb: int = 0, *, masked: bool = False) -> tuple[report.Figures, Roles]:
    """All figures, and those of the roles once more for the table."""
    facts = report.machine()
    with tempfile.TemporaryDirectory(prefix="septum-profile-") as name:
        folder = Path(name)
        app = ECHO if mb else example(HEART_DISEASE)
        files = echo_silos(silos, folder) if mb else hospitals(silos)
        plan = plan_for(app, files, rounds, mb=mb) if mb else plan_for(app, files, rounds)
        if masked:
            plan = replace(plan, masking=Masking())
        with federation_of(app, files) as federation:
            with client_of(federation) as client:
                plain = rounds_of(run_to_end(client, plan).journal)
            port = operator_access(federation.operator_dir).url.rpartition(":")[2]
            federation.stop()
            with _profiled(federation, port, folder):
                spanned = _run_asked_twice(federation, plan, folder)
        roles = {role: shares(folder, role, spanned) for role in TARGETS}
    figures: report.Figures = {
        "benchmark": "profile_round",
        "silos": silos,
        "rounds": rounds,
        "mb": mb,
        "masked": masked,
        "round_ms": {"plain": _round_ms(plain), "with_spans": _round_ms(spanned)},
        "roles": {role: {label: _figure(share) for label, share in found.items()} for role, found in roles.items()},
        "machine": facts,
    }
    return figures, roles


def _warm_up(rounds: int) -> int:
    """Rounds before the first moment, and after the last one."""
    return min(WARM_UP, rounds // 10 + 1)


def _round_ms(rounds: Sequence[Round]) -> float:
    return report.rounded(median(1000 * one.wall_s for one in rounds[_warm_up(len(rounds)) :]))


def _figure(share: Share) -> report.Figure:
    return {
        "calls": report.rounded(share.calls),
        "cpu_us": report.rounded(share.cpu_us),
        "wall_us": report.rounded(share.wall_us),
    }


@contextmanager
def _profiled(federation: Federation, port: str, folder: Path) -> Iterator[None]:
    """The federation's coordinator and agents again, under the profile; workers outside of the sandbox's file system.

    A sandboxed worker could leave its figures nowhere.
    """
    with ExitStack() as stack:
        where = ["--data-dir", str(federation.operator_dir), "--listen", f"127.0.0.1:{port}"]
        stack.enter_context(program(PROFILED, ["coordinator", str(folder), *where], folder / "coordinator.log"))
        until(lambda: READY in (folder / "coordinator.log").read_text(), STOP_S, "the coordinator")
        for site in federation.sites:
            config = site.folder / "state" / "silo.toml"
            config.write_text(config.read_text().replace("[limits]\n", f"[limits]\nsandbox = {Level.PROCESS.value}\n"))
            arguments = ["agent", str(folder), "--dir", str(site.folder / "state")]
            stack.enter_context(program(PROFILED, arguments, folder / f"agent{site.name}.log"))
        yield


def _run_asked_twice(federation: Federation, plan: Plan, folder: Path) -> list[Round]:
    """Run the plan; ask every process early and late in it for its sums."""
    with client_of(federation) as client:
        run = client.submit(plan, key=str(uuid.uuid4()))
        margin = _warm_up(plan.rounds)
        for round_ in (margin, plan.rounds - margin):
            until(partial(_has_reached, client, run.id, round_), 600.0, f"round {round_}")
            for path in folder.glob("*-*.jsonl"):
                os.kill(int(path.stem.rpartition("-")[2]), signal.SIGUSR1)
        until(lambda: client.run(run.id).status.ended, 600.0, "the end of the run")
        return rounds_of(journal_of(client, run.id))


def _has_reached(client: Client, run_id: str, round_: int) -> bool:
    """Raises RunFailedError when the run has ended before."""
    view = client.run(run_id)
    if view.status in (RunStatus.FAILED, RunStatus.STOPPED):
        raise RunFailedError(f"run {run_id} {view.status.value}: {view.reason}", hint="see the federation's logs")
    return view.round >= round_


def shares(folder: Path, role: str, rounds: Sequence[Round]) -> dict[str, Share]:
    """What each label costs in a round, averaged over the role's processes, dearest first."""
    found: dict[str, list[Share]] = {}
    for path in folder.glob(f"{role}-*.jsonl"):
        first, last = (json.loads(line) for line in path.read_text().splitlines())
        done = sum(first["at"] <= one.opened_at < last["at"] for one in rounds)
        spans = {
            label: _difference(first["spans"].get(label, (0, 0, 0)), sums) for label, sums in last["spans"].items()
        }
        named_us = sum(cpu for _, cpu, _ in spans.values()) / 1000
        spans[_REST] = (0, round(1e9 * (last["cpu_s"] - first["cpu_s"]) - 1000 * named_us), 0)
        for label, (calls, cpu, wall) in spans.items():
            found.setdefault(label, []).append(Share(calls / done, cpu / 1000 / done, wall / 1000 / done))
    means = {label: _mean(each) for label, each in found.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1].cpu_us))


def _difference(first: Sequence[int], last: Sequence[int]) -> tuple[int, int, int]:
    calls, cpu, wall = (after - before for before, after in zip(first, last, strict=True))
    return calls, cpu, wall


def _mean(each: Sequence[Share]) -> Share:
    count = len(each)
    return Share(
        sum(one.calls for one in each) / count,
        sum(one.cpu_us for one in each) / count,
        sum(one.wall_us for one in each) / count,
    )


def table(round_ms: report.Figure, roles: Roles) -> list[tuple[str, str]]:
    """The figures for people."""
    rows = [("round_ms", str(round_ms))]
    for role, found in roles.items():
        total = sum(share.cpu_us for share in found.values())
        rows.append((f"--- one {role}, a round", f"{total:8.0f} us of processor; calls, us cpu, us wall:"))
        rows += [
            (label, f"{share.calls:6.2f} {share.cpu_us:8.1f} {share.wall_us:9.1f}")
            for label, share in found.items()
            if share.calls or share.cpu_us
        ]
    return rows


if __name__ == "__main__":
    main()
