"""What does a round cost beyond the training? `python -m benchmarks.rounds --silos 4 --rounds 50 --json`.

The heart-disease example as real processes: a coordinator, an agent and a worker a silo, TLS 1.3, a signature on every
request, every round durable. `overhead_ms` is a round's wall time minus the slowest silo's own work in it (training,
and measuring the base). The floor (floors/barrier.py) is measured between the repetitions. `cpu_bound_ms` is the
processor time of a round, of all processes, over the cores: this work cannot take less here, whatever waits for what.

`--tracker` has the coordinator store its runs there, and another federation do the same in turn that stores nothing
and whose rounds are in no audit log (unrecorded.py): `audit_and_tracking_added_ms` is the difference of the medians of
the overheads. `--postgres` has another do the same on a PostgreSQL server of this machine that syncs each commit, as
SQLite does: `postgresql_ratio` is that of the medians.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median

from benchmarks import report
from benchmarks.federations import (
    HEART_DISEASE,
    Finished,
    hospitals,
    pids_of,
    plan_for,
)
from benchmarks.floors.barrier import floor_ms
from benchmarks.postgresql import a_database
from benchmarks.processes import Sample, resident_bytes
from benchmarks.rounds_of import Round, first_opening, rounds_of
from benchmarks.sides import TRACKERS, Ran, Side, as_it_is, run_on, unrecorded, warm_up
from septum.cli.federation import Federation
from septum.cli.shipped import example
from septum.protocol.facts import ModelMade
from septum.protocol.messages import Stage
from septum.protocol.plan import Masking, Plan

ROLES = ("coordinator", "agents", "workers")
MAIN, BARE, POSTGRESQL = "as it is", "bare", "postgresql"
COMPARED = (
    *("tracker", "audit_and_tracking_added_ms", "added_ms_by_turn", "bare_overhead_ms", "share_of_models_audited"),
    *("coordinator_cpu_added_ms", "tracker_cpu_ms_a_round", "bare_cpu_ms_a_round"),
    *("postgresql_ratio", "postgresql_ratio_by_turn", "postgresql_overhead_ms", "postgresql_cpu_ms_a_round"),
)


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
    options.add_argument("--store-url", default="", help="an empty PostgreSQL database in place of the SQLite file")
    options.add_argument("--tracker", default="", choices=TRACKERS, help="with it, and in turn without it and audit")
    options.add_argument("--postgres", action="store_true", help="and in turn on a PostgreSQL server of its own")
    given = options.parse_args()
    work = Work(given.silos, given.rounds, given.repeats, given.masked)
    figures = measure(work, store_url=given.store_url, tracker=given.tracker, postgres=given.postgres)
    report.say(figures, table(figures), as_json=given.json)


@dataclass(frozen=True, slots=True)
class Work:
    """What is measured: runs of so many rounds, `repeats` of them. `masked`: with secure aggregation."""

    silos: int
    rounds: int
    repeats: int
    masked: bool = False


def measure(work: Work, *, store_url: str = "", tracker: str = "", postgres: bool = False) -> report.Figures:
    """All figures. With `tracker` or `postgres` other federations do the same work in turn, to be compared."""
    facts = report.machine()
    files, app = hospitals(work.silos), example(HEART_DISEASE)
    plan = plan_for(app, files, work.rounds)
    if work.masked:
        plan = replace(plan, masking=Masking())
    with ExitStack() as stack:
        sides = {MAIN: stack.enter_context(as_it_is(app, files, store_url=store_url, tracker=tracker))}
        idle = _idle_mb(sides[MAIN].federation)
        if tracker:
            sides[BARE] = stack.enter_context(unrecorded(app, files))
        if postgres:
            url = stack.enter_context(a_database())
            sides[POSTGRESQL] = stack.enter_context(as_it_is(app, files, store_url=url))
        if len(sides) > 1:
            for side in sides.values():
                warm_up(side, plan)
        ran, floors = _in_turn(sides, plan, work)
    runs = {name: [measured(one.finished, one.samples) for one in each] for name, each in ran.items()}
    return {
        "benchmark": "rounds",
        "silos": work.silos,
        "rounds": work.rounds,
        "repeats": work.repeats,
        "masked": work.masked,
        "store": "postgresql" if store_url else "sqlite",
        **idle,
        **figures_of(runs[MAIN], floors),
        **(recorded_figures(runs[MAIN], runs[BARE]) if tracker else {}),
        **(_checked(tracker, ran) if tracker else {}),
        **(postgresql_figures(runs[MAIN], runs[POSTGRESQL]) if postgres else {}),
        "machine": facts,
    }


def _in_turn(sides: Mapping[str, Side], plan: Plan, work: Work) -> tuple[dict[str, list[Ran]], dict[str, list[float]]]:
    """Each side's runs, and the floors between them."""
    ran: dict[str, list[Ran]] = {name: [] for name in sides}
    floors: dict[str, list[float]] = {}
    for turn in range(work.repeats):
        for name, side in sorted(sides.items(), reverse=bool(turn % 2)):  # none is always the first
            ran[name].append(run_on(side, plan))
        for name, values in floor_ms(work.silos, work.rounds).items():
            floors.setdefault(name, []).extend(values)
    return ran, floors


def recorded_figures(runs: Sequence[Measured], bare: Sequence[Measured]) -> dict[str, report.Figure]:
    """What runs with audit and a tracker take more than `bare` ones, each beside that of the same turn."""
    return {
        "audit_and_tracking_added_ms": report.rounded(_overhead_ms(runs) - _overhead_ms(bare)),
        "added_ms_by_turn": [
            report.rounded(_overhead_ms([one]) - _overhead_ms([other])) for one, other in zip(runs, bare, strict=True)
        ],
        "bare_overhead_ms": report.percentiles([one.overhead_ms for run in bare for one in run.rounds]),
        "coordinator_cpu_added_ms": _added(_cpu_ms(runs).get("coordinator"), _cpu_ms(bare).get("coordinator")),
        "bare_cpu_ms_a_round": _cpu_ms(bare),
    }


def _added(with_it: float | None, without: float | None) -> float | None:
    """None where runs were so short that no processor time was seen in their rounds."""
    return None if with_it is None or without is None else report.rounded(with_it - without)


def _checked(tracker: str, ran: Mapping[str, Sequence[Ran]]) -> dict[str, report.Figure]:
    """That the one side did record, and the other did not."""
    both = (ran[MAIN], ran[BARE])
    rounds = sum(len(rounds_of(one.finished.journal)) for one in ran[MAIN])
    made = [sum(isinstance(entry.fact, ModelMade) for one in each for entry in one.finished.journal) for each in both]
    recorded, bare = (sum(one.audited for one in each) / models for each, models in zip(both, made, strict=True))
    return {
        "tracker": tracker,
        "share_of_models_audited": {"recorded": report.rounded(recorded), "bare": report.rounded(bare)},
        "tracker_cpu_ms_a_round": report.rounded(1000 * sum(one.tracker_cpu_s for one in ran[MAIN]) / rounds),
    }


def postgresql_figures(sqlite: Sequence[Measured], postgresql: Sequence[Measured]) -> dict[str, report.Figure]:
    """What runs on PostgreSQL take, over those of the same turns on SQLite."""
    return {
        "postgresql_ratio": report.ratio(_overhead_ms(postgresql), _overhead_ms(sqlite)),
        "postgresql_ratio_by_turn": [
            report.ratio(_overhead_ms([one]), _overhead_ms([other]))
            for one, other in zip(postgresql, sqlite, strict=True)
        ],
        "postgresql_overhead_ms": report.percentiles([one.overhead_ms for run in postgresql for one in run.rounds]),
        "postgresql_cpu_ms_a_round": _cpu_ms(postgresql),
    }


def _overhead_ms(runs: Sequence[Measured]) -> float:
    return median(one.overhead_ms for run in runs for one in run.rounds)


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
    cpu = _cpu_ms(runs)
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


def _cpu_ms(runs: Sequence[Measured]) -> dict[str, float]:
    """Of a round, by role."""
    return {
        role: report.rounded(median(found))
        for role in ROLES
        if (found := [run.cpu_ms[role] for run in runs if run.cpu_ms])
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
    costs = ("cpu_ms_a_round", "cpu_bound_ms", "silo_idle_rss_mb", "coordinator_idle_rss_mb")
    every = ("silos", "rounds", *shown, *times, *costs, *COMPARED, "machine")
    return [(name, str(figures[name])) for name in every if name in figures]


if __name__ == "__main__":
    main()
