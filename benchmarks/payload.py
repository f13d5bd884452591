"""How fast does a large model travel? `python -m benchmarks.payload --mb 100 --silos 4 --rounds 5 --json`.

An app that echoes its model (apps/echo), as real processes. `gb_per_s` is all bytes that cross the wire in a round,
both ways, over the round's wall time minus the slowest silo's training: digests, spools, checks, aggregation and the
new model's fsync are inside. The floor moves the same bytes over raw TLS sockets with the same digests and spool files
(floors/transfer.py), before and after the run.

`coordinator_peak_models`: the kernel's own high-water mark of the coordinator's resident memory (VmHWM, which misses no
short peak) minus what it held when idle, over the model's size. Files are read and written, not mapped, so the page
cache is in neither. `..._in_rounds` begins to count at round 1, when the initial model has been made.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import report
from benchmarks.federations import (
    ECHO,
    GATHER_S,
    Finished,
    client_of,
    echo_silos,
    federation_of,
    finish,
    pids_of,
    plan_for,
    submit,
    until,
)
from benchmarks.floors import transfer
from benchmarks.processes import Sample, Sampler, peak_bytes, reset_peak, resident_bytes
from benchmarks.rounds_of import Round, rounds_of
from septum.cli.federation import COORDINATOR, Federation
from septum.client import Client
from septum.protocol.plan import Plan

SAMPLE_EVERY_S = 0.1  # samples and questions take processor time that the floor does not pay for
ASK_EVERY_S = 1.0
ROLES = ("coordinator", "agents", "workers")


@dataclass(frozen=True, slots=True)
class Peaks:
    """Resident bytes: of the coordinator idle, at its peak in the run and in the rounds; of the largest agent."""

    idle: int
    run: int
    rounds: int
    agent_idle: int
    agent: int


def main() -> None:
    """Measure and print."""
    options = report.parser(__doc__)
    options.add_argument("--mb", type=int, default=100, help="size of the model, 10^6 bytes")
    options.add_argument("--silos", type=int, default=4)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    figures = measure(given.mb, given.silos, given.rounds)
    report.say(figures, table(figures), as_json=given.json)


def measure(mb: int, silos: int, rounds: int) -> report.Figures:
    """All figures."""
    facts, size_bytes = report.machine(), mb * 1_000_000
    floor_rounds = max(2, rounds // 2)
    floors: transfer.Speeds = {}
    transfer.measure(floors, silos, size_bytes, floor_rounds)
    with tempfile.TemporaryDirectory(prefix="septum-echo-") as folder:
        files = echo_silos(silos, Path(folder))
        plan = plan_for(ECHO, files, rounds, mb=mb)
        with (
            federation_of(ECHO, files) as federation,
            client_of(federation) as client,
            Sampler(pids_of(federation), SAMPLE_EVERY_S) as sampler,
        ):
            finished, peaks = _run(federation, client, plan)
    transfer.measure(floors, silos, size_bytes, floor_rounds)
    done = rounds_of(finished.journal)
    return {
        "benchmark": "payload",
        "mb": mb,
        "silos": silos,
        "rounds": rounds,
        **speeds(done, size_bytes, silos, floors),
        **memory(done, peaks, sampler.samples, size_bytes),
        "cpu_s_a_round": _cpu_s(done, sampler.samples),
        "load_average_after": report.rounded(os.getloadavg()[0]),
        "machine": facts,
    }


def _run(federation: Federation, client: Client, plan: Plan) -> tuple[Finished, Peaks]:
    """The run, with the peaks read when it has ended and reset when its first round opens."""
    coordinator = federation.pid(COORDINATOR)
    agents = [federation.pid(site.name) for site in federation.sites]
    idle, agent_idle = resident_bytes(coordinator), max(resident_bytes(pid) for pid in agents)
    reset_peak(coordinator)
    submitted = submit(client, plan)
    until(lambda: client.run(submitted.run).round >= 1, GATHER_S, "round 1")
    before_rounds = peak_bytes(coordinator)
    reset_peak(coordinator)
    finished = finish(client, submitted, ask_every_s=ASK_EVERY_S)
    in_rounds = peak_bytes(coordinator)
    agent = max(peak_bytes(pid) for pid in agents)
    return finished, Peaks(idle, max(before_rounds, in_rounds), in_rounds, agent_idle, agent)


def speeds(rounds: Sequence[Round], size_bytes: int, silos: int, floors: transfer.Speeds) -> dict[str, report.Figure]:
    """What crossed the wire a second, beside the two floors."""
    moved_gb = 2 * silos * size_bytes / 1e9
    found = [moved_gb / (one.wall_s - one.training_s) for one in rounds]
    (raw_program, raw), (floor_program, floor) = (transfer.best(floors[kind]) for kind in transfer.KINDS)
    gb_per_s = median(found)
    return {
        "gb_per_s": report.rounded(gb_per_s),
        "raw_tls_gb_per_s": report.rounded(raw),
        "floor_gb_per_s": report.rounded(floor),
        "ratio": report.ratio(gb_per_s, floor),
        "ratio_to_raw_tls": report.ratio(gb_per_s, raw),
        "programs": {"raw_tls": raw_program, "floor": floor_program},
        "floors_gb_per_s": {
            kind: {name: report.rounded(median(values)) for name, values in found.items()}
            for kind, found in floors.items()
        },
        "round_s": [report.rounded(one.wall_s) for one in rounds],
        "training_s": [report.rounded(one.training_s) for one in rounds],
        "slowest_silo_steps_s": {
            name: report.rounded(median(one.steps_s.get(name, 0.0) for one in rounds)) for name in rounds[-1].steps_s
        },
    }


def memory(
    rounds: Sequence[Round], peaks: Peaks, samples: Sequence[Sample], size_bytes: int
) -> dict[str, report.Figure]:
    """Peaks above the idle base in units of the model, and whether they stay the same over the rounds."""
    in_each = [_sampled_peak(one, samples) for one in rounds]
    return {
        "coordinator_peak_models": report.rounded((peaks.run - peaks.idle) / size_bytes),
        "coordinator_peak_models_in_rounds": report.rounded((peaks.rounds - peaks.idle) / size_bytes),
        "coordinator_models_round_by_round": [report.rounded((peak - peaks.idle) / size_bytes) for peak in in_each],
        "agent_peak_models": report.rounded((peaks.agent - peaks.agent_idle) / size_bytes),
        "coordinator_idle_mb": report.rounded(peaks.idle / 1e6),
        "agent_idle_mb": report.rounded(peaks.agent_idle / 1e6),
    }


def _sampled_peak(one: Round, samples: Sequence[Sample]) -> int:
    held = [s.resident_bytes["coordinator"] for s in samples if 0 <= s.at - one.opened_at <= one.wall_s]
    return max(held, default=0)


def _cpu_s(rounds: Sequence[Round], samples: Sequence[Sample]) -> dict[str, float]:
    """Processor seconds a round, of all processes of a role."""
    began, ended = rounds[0].opened_at, rounds[-1].opened_at + rounds[-1].wall_s
    within = [sample for sample in samples if began <= sample.at <= ended]
    spent = {role: within[-1].cpu_s[role] - within[0].cpu_s[role] for role in ROLES} if within else {}
    return {role: report.rounded(seconds / len(rounds)) for role, seconds in spent.items()}


def table(figures: report.Figures) -> list[tuple[str, str]]:
    """The figures for people."""
    speed = ("gb_per_s", "raw_tls_gb_per_s", "floor_gb_per_s", "programs", "ratio", "round_s", "training_s")
    held = (
        "coordinator_peak_models",
        "coordinator_peak_models_in_rounds",
        "coordinator_models_round_by_round",
        "agent_peak_models",
    )
    rest = ("slowest_silo_steps_s", "cpu_s_a_round", "machine")
    return [(name, str(figures[name])) for name in ("mb", "silos", *speed, *held, *rest)]


if __name__ == "__main__":
    main()
