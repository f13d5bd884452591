"""What does a round cost beyond the training? `python -m benchmarks.rounds --silos 4 --rounds 50 --json`.

The heart-disease example as real processes: a coordinator, an agent and a worker a silo, TLS 1.3, a signature on every
request, every round durable. `overhead_ms` is a round's wall time minus the slowest silo's own work in it (training,
and measuring the base). The floor (floors/barrier.py) is measured between the repetitions. `cpu_bound_ms` is the
processor time of a round, of all processes, over the cores: this work cannot take less here, whatever waits for what.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from benchmarks import report
from benchmarks.federations import (
    HEART_DISEASE,
    Finished,
    client_of,
    federation_of,
    hospitals,
    pids_of,
    plan_for,
    run_to_end,
    wait_until_quiet,
)
from benchmarks.floors.barrier import floor_ms
from benchmarks.processes import Sample, Sampler, resident_bytes
from benchmarks.rounds_of import Round, first_opening, rounds_of
from septum.cli.federation import Federation
from septum.cli.shipped import example
from septum.protocol.messages import Stage
from septum.protocol.plan import Masking

ROLES = ("coordinator", "agents", "workers")
SAMPLE_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: its rounds, and what each role's processors did in each of them."""

    finished: Finished
    rounds: tuple[Round, ...]
    cpu_ms: dict[str, float]


def main() -> None:
    """Measure and print."""
    options = report.parser(__doc__)
    options.add_argument("--silos", type=int, default=4)
    options.add_argument("--rounds", type=int, default=50)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--masked", action="store_true", help="with secure aggregation")
    given = options.parse_args()
    figures = measure(given.silos, given.rounds, given.repeats, masked=given.masked)
    report.say(figures, table(figures), as_json=given.json)


def measure(silos: int, rounds: int, repeats: int, *, masked: bool = False) -> report.Figures:
    """All figures."""
    facts = report.machine()
    runs: list[Measured] = []
    floors: dict[str, list[float]] = {}
    files, app = hospitals(silos), example(HEART_DISEASE)
    plan = plan_for(app, files, rounds)
    if masked:
        plan = replace(plan, masking=Masking())
    with federation_of(app, files) as federation, client_of(federation) as client:
        idle = _idle_mb(federation)
        for _ in range(repeats):
            with Sampler(pids_of(federation), SAMPLE_EVERY_S) as sampler:
                finished = run_to_end(client, plan)
            runs.append(measured(finished, sampler.samples))
            for name, values in floor_ms(silos, rounds).items():
                floors.setdefault(name, []).extend(values)
            wait_until_quiet(federation)
    return {
        "benchmark": "rounds",
        "silos": silos,
        "rounds": rounds,
        "repeats": repeats,
        "masked": masked,
        **idle,
        **figures_of(runs, floors),
        "machine": facts,
    }


def _idle_mb(federation: Federation) -> dict[str, float]:
    pids = pids_of(federation)
    (coordinator,) = pids["coordinator"]()
    silos = [resident_bytes(pid) / 1e6 for pid in pids["agents"]()]
    return {
        "silo_idle_rss_mb": report.rounded(median(silos)),
        "coordinator_idle_rss_mb": report.rounded(resident_bytes(coordinator) / 1e6),
    }


def measured(finished: Finished, samples: Sequence[Sample]) -> Measured:
    """The processors' part is counted between the first and the last sample of the rounds: no start-up is in it."""
    rounds = tuple(rounds_of(finished.journal))
    began, ended = rounds[0].opened_at, rounds[-1].opened_at
    within = [sample for sample in samples if began <= sample.at <= ended]
    if len(within) < 2:
        return Measured(finished, rounds, {})
    first, last = within[0], within[-1]
    done = sum(first.at <= one.opened_at < last.at for one in rounds)
    cpu_ms = {role: 1000 * (last.cpu_s[role] - first.cpu_s[role]) / done for role in ROLES} if done else {}
    return Measured(finished, rounds, cpu_ms)


def figures_of(runs: Sequence[Measured], floors: dict[str, list[float]]) -> dict[str, report.Figure]:
    """The figures of some runs of one kind, with their floor."""
    every = [one for run in runs for one in run.rounds]
    overhead = report.percentiles([one.overhead_ms for one in every])
    best = min(floors, key=lambda name: median(floors[name]))
    floor = median(floors[best])
    cpu = {
        role: report.rounded(median(found))
        for role in ROLES
        if (found := [run.cpu_ms[role] for run in runs if run.cpu_ms])
    }
    return {
        "overhead_ms": overhead,
        "floor_ms": report.rounded(floor),
        "floor_program": best,
        "floors_ms": {name: report.rounded(median(values)) for name, values in floors.items()},
        "ratio": report.ratio(overhead["p50"], floor),
        "round_ms": report.percentiles([1000 * one.wall_s for one in every]),
        "training_ms": report.percentiles([1000 * one.training_s for one in every]),
        "submit_to_first_round_s": _seconds(runs, _opened_s),
        "submit_to_first_round_finished_s": _seconds(runs, lambda run: _opened_s(run) + run.rounds[0].wall_s),
        "rounds_wall_s": _seconds(runs, lambda run: sum(one.wall_s for one in run.rounds)),
        "submit_to_finished_s": _seconds(runs, lambda run: run.finished.ended_at - run.finished.submitted_at),
        "cpu_ms_a_round": cpu,
        "cpu_bound_ms": report.rounded(sum(cpu.values()) / len(os.sched_getaffinity(0))),
        "load_average_after": report.rounded(os.getloadavg()[0]),
    }


def _opened_s(run: Measured) -> float:
    """From the client's request to the opening of round 1: workers started, data read, statistics, model 0."""
    return first_opening(run.finished.journal, Stage.TRAIN) - run.finished.submitted_at


def _seconds(runs: Sequence[Measured], take: Callable[[Measured], float]) -> dict[str, float]:
    values = [take(run) for run in runs]
    return {"median": report.rounded(median(values)), "best": report.rounded(min(values))}


def table(figures: report.Figures) -> list[tuple[str, str]]:
    """The figures for people."""
    shown = ("overhead_ms", "floor_ms", "floor_program", "ratio", "round_ms", "training_ms")
    times = ("submit_to_first_round_s", "submit_to_first_round_finished_s", "rounds_wall_s", "submit_to_finished_s")
    costs = ("cpu_ms_a_round", "cpu_bound_ms", "silo_idle_rss_mb", "coordinator_idle_rss_mb", "machine")
    return [(name, str(figures[name])) for name in ("silos", "rounds", *shown, *times, *costs)]


if __name__ == "__main__":
    main()
