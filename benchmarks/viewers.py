"""What do people cost who watch a run? `python -m benchmarks.viewers --viewers 50 --json`.

The heart-disease example as real processes, run in turn without viewers (the baseline) and with so many: each has a TLS
connection of its own and reads `GET /api/v1/runs/RUN/events` as fast as it comes. These are the shortest rounds that
there are, so more happens in a second than in any real training. `viewers_cpu_percent` is the coordinator's processor
time beyond the baseline's, of one core; `round_overhead_added_ms` the difference of the medians of what a round takes
beyond training. The viewers' own processor time, in this process, is not in it, but they share the machine's cores.
`complete` says that each viewer got every entry of the journal once.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks import report
from benchmarks.federations import (
    HEART_DISEASE,
    client_of,
    federation_of,
    finish,
    hospitals,
    pids_of,
    plan_for,
    run_to_end,
    submit,
    wait_until_quiet,
)
from benchmarks.processes import SAMPLE_EVERY_S, Sampler, cpu_s
from benchmarks.rounds import Measured, measured
from septum.adapters.tls import client_context
from septum.cli.federation import COORDINATOR, Federation
from septum.cli.shipped import example
from septum.client import Access, Client, operator_access
from septum.protocol.plan import Plan

READ_BYTES = 1 << 16
_ENTRY = re.compile(rb"id: (\d+)\n")


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that was watched: what it took, and whether each viewer got all of it."""

    run: Measured
    complete: bool


def main() -> None:
    """Measure and print."""
    options = report.parser(__doc__)
    options.add_argument("--viewers", type=int, default=50)
    options.add_argument("--silos", type=int, default=4)
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--waiting-s", type=float, default=20.0, help="how long a run is watched in which nothing is")
    given = options.parse_args()
    figures = measure(given.viewers, given.silos, given.rounds, given.repeats, given.waiting_s)
    report.say(figures, table(figures), as_json=given.json)


def measure(viewers: int, silos: int, rounds: int, repeats: int, waiting_s: float) -> report.Figures:
    """All figures."""
    facts = report.machine()
    files, app = hospitals(silos), example(HEART_DISEASE)
    plan = plan_for(app, files, rounds)
    alone: list[Measured] = []
    watched: list[Watched] = []
    with federation_of(app, files) as federation, client_of(federation) as client:
        for _ in range(repeats):
            with Sampler(pids_of(federation), SAMPLE_EVERY_S) as sampler:
                finished = run_to_end(client, plan)
            alone.append(measured(finished, sampler.samples))
            wait_until_quiet(federation)
            watched.append(_watched(federation, client, plan, viewers))
            wait_until_quiet(federation)
        waiting = _waiting(federation, client, plan, viewers, waiting_s)
    return {
        "benchmark": "viewers",
        "viewers": viewers,
        "silos": silos,
        "rounds": rounds,
        "repeats": repeats,
        **figures_of(alone, watched),
        "waiting_cpu_percent": waiting,
        "machine": facts,
    }


def _watched(federation: Federation, client: Client, plan: Plan, viewers: int) -> Watched:
    submitted = submit(client, plan)
    with Crowd(operator_access(federation.operator_dir), submitted.run, viewers) as crowd:
        with Sampler(pids_of(federation), SAMPLE_EVERY_S) as sampler:
            finished = finish(client, submitted)
        numbers = crowd.numbers()
    whole = list(range(1, len(finished.journal) + 1))
    return Watched(measured(finished, sampler.samples), all(found == whole for found in numbers))


def _waiting(federation: Federation, client: Client, plan: Plan, viewers: int, seconds: float) -> float:
    """Of a core, for a run in which nothing happens: connections, keep-alives, who may go on."""
    run, pid = submit(client, plan).run, federation.pid(COORDINATOR)
    client.pause(run)
    wait_until_quiet(federation)
    with Crowd(operator_access(federation.operator_dir), run, viewers):
        wait_until_quiet(federation)
        used = cpu_s(pid)
        threading.Event().wait(seconds)
        percent = 100 * (cpu_s(pid) - used) / seconds
        client.stop(run)
    return report.rounded(percent)


class Crowd:
    """Viewers of one run, each on a connection of its own, in one thread of this process."""

    def __init__(self, access: Access, run: str, viewers: int) -> None:
        self._access = access
        self._run = run
        self._got = [bytearray() for _ in range(viewers)]
        self._up = threading.Barrier(2)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="viewers")

    def __enter__(self) -> Crowd:
        self._thread.start()
        self._up.wait(60.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(60.0)

    def numbers(self) -> list[list[int]]:
        """Of the entries that each has got, once all streams have ended."""
        self._thread.join(60.0)
        return [[int(found) for found in _ENTRY.findall(bytes(got))] for got in self._got]

    async def _watch(self) -> None:
        context = client_context(Path(self._access.ca_file))
        streams = [await self._open(context) for _ in self._got]
        self._up.wait()
        await asyncio.gather(*(_read(reader, got) for (reader, _), got in zip(streams, self._got, strict=True)))
        for _, writer in streams:
            writer.close()

    async def _open(self, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = urlsplit(self._access.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
        head = f"GET /api/v1/runs/{self._run}/events HTTP/1.1\r\nhost: {url.netloc}\r\n"
        writer.write(f"{head}authorization: Bearer {self._access.token}\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        return reader, writer


async def _read(reader: asyncio.StreamReader, got: bytearray) -> None:
    while data := await reader.read(READ_BYTES):
        got += data


def figures_of(alone: Sequence[Measured], watched: Sequence[Watched]) -> dict[str, report.Figure]:
    """The figures of runs without and with viewers."""
    with_viewers = [one.run for one in watched]
    overheads = {name: list(_overheads(runs)) for name, runs in (("alone", alone), ("watched", with_viewers))}
    cpu = {name: _cpu_ms(runs) for name, runs in (("alone", alone), ("watched", with_viewers))}
    round_ms = median(1000 * one.wall_s for run in with_viewers for one in run.rounds)
    return {
        "viewers_cpu_percent": report.rounded(100 * (cpu["watched"] - cpu["alone"]) / round_ms),
        "round_overhead_added_ms": report.rounded(median(overheads["watched"]) - median(overheads["alone"])),
        "overhead_ms": {name: report.percentiles(values) for name, values in overheads.items()},
        "coordinator_cpu_ms_a_round": {name: report.rounded(value) for name, value in cpu.items()},
        "round_ms": report.rounded(round_ms),
        "complete": all(one.complete for one in watched),
    }


def _overheads(runs: Sequence[Measured]) -> Iterator[float]:
    return (one.overhead_ms for run in runs for one in run.rounds)


def _cpu_ms(runs: Sequence[Measured]) -> float:
    return median(run.cpu_ms["coordinator"] for run in runs if run.cpu_ms)


def table(figures: report.Figures) -> list[tuple[str, str]]:
    """The figures for people."""
    main_ones = ("viewers_cpu_percent", "round_overhead_added_ms", "waiting_cpu_percent", "complete")
    return [
        (name, str(figures[name]))
        for name in ("viewers", *main_ones, "overhead_ms", "coordinator_cpu_ms_a_round", "round_ms", "machine")
    ]


if __name__ == "__main__":
    main()
