"""What do silos cost that only wait, and how soon are they all back when the coordinator was away?

    python -m benchmarks.connections --silos 1000 --json

A real coordinator process; the silos are light ones in this process (`septum.testing.crowd`), each with its own key and
its own TLS connection, holding a signed poll as an agent does, with the agents' own pauses. The figures of the idle
silos are the coordinator's alone. In a storm this process works as hard as the coordinator does, on the same cores.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

from benchmarks.processes import cpu_s, peak_bytes, resident_bytes
from benchmarks.report import Figures, machine, parser, rounded, say
from septum.cli.process import Process
from septum.client import Client, operator_access
from septum.coordinator.held import POLL_HOLDS
from septum.testing.crowd import Crowd, CrowdView, enrol_crowd

START_S = 120.0
BACK_S = 120.0
SETTLE_S = 3.0  # until a coordinator that has just started, or was just stormed, is quiet
MB = 1e6


class Coordinator:
    """A coordinator process on its data directory; started again, it keeps its port."""

    process: Process

    def __init__(self, base: Path) -> None:
        self.base = base
        self.data_dir = base / "coordinator"
        self.port = 0

    def start(self) -> None:
        """Start it, and wait until it takes requests."""
        log = self.base / "coordinator.log"
        where = ["--data-dir", str(self.data_dir), "--listen", f"127.0.0.1:{self.port}"]
        self.process = Process(["coordinator", "start", "--json", *where], log)
        self.process.wait_for_event("ready", START_S)
        if not self.port:
            ready = next(line for line in log.read_text().splitlines() if '"event": "ready"' in line)
            self.port = int(json.loads(ready)["port"])

    def answers(self) -> None:
        """Ask it something: it answers after all that has come before."""
        with Client(operator_access(self.data_dir)) as client:
            client.health()


def main() -> None:
    """Measure and print."""
    options = _options()
    base = Path(tempfile.mkdtemp(prefix="septum-benchmark-"))
    with ExitStack() as stack:
        signers = enrol_crowd(base / "coordinator", options.silos)
        (base / "coordinator" / "coordinator.toml").write_text(f"hold_s = {options.hold_s}\n")
        coordinator = Coordinator(base)
        coordinator.start()
        stack.callback(lambda: coordinator.process.stop())
        alone = _interval(coordinator, min(options.quiet_s, 10.0))
        crowd = stack.enter_context(Crowd(coordinator.port, coordinator.data_dir / "tls" / "ca.crt", signers))
        _all_held(crowd, options.silos)
        cycle_s = POLL_HOLDS * options.hold_s  # they ask together, so only whole cycles are an average
        with_silos = _interval(coordinator, math.ceil(options.quiet_s / cycle_s) * cycle_s, crowd)
        storms = {
            name: [_storm(coordinator, crowd, options.silos, end) for _ in range(options.storms)]
            for name, end in (("kill", Process.kill), ("restart", Process.stop))
        }
    shutil.rmtree(base)
    _say(options, alone, with_silos, storms)


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--silos", type=int, default=1000)
    made.add_argument("--quiet-s", type=float, default=60.0, help="how long waiting silos are watched, at least")
    made.add_argument("--hold-s", type=float, default=25.0, help="of coordinator.toml; a poll is held twice as long")
    made.add_argument("--storms", type=int, default=3, help="of each kind")
    return made.parse_args()


def _interval(coordinator: Coordinator, seconds: float, crowd: Crowd | None = None) -> dict[str, float]:
    """What the coordinator uses while nothing happens."""
    threading.Event().wait(SETTLE_S)
    if crowd is not None:
        crowd.mark()
    pid, began, used_s = coordinator.process.pid, time.monotonic(), cpu_s(coordinator.process.pid)
    threading.Event().wait(seconds)
    took_s = time.monotonic() - began
    return {
        "rss_mb": rounded(resident_bytes(pid) / MB),
        "cpu_percent": rounded(100 * (cpu_s(pid) - used_s) / took_s),
        "requests_per_s": rounded(sum(crowd.view().answered.values()) / took_s) if crowd is not None else 0.0,
    }


def _storm(coordinator: Coordinator, crowd: Crowd, silos: int, end: Callable[[Process], None]) -> Figures:
    """Break all connections by ending the coordinator, start it again, and wait until every silo is held."""
    threading.Event().wait(SETTLE_S)
    crowd.mark()
    began = time.monotonic()
    end(coordinator.process)
    down_s = time.monotonic() - began
    coordinator.start()
    up_s = time.monotonic() - began
    view = _all_held(crowd, silos)
    coordinator.answers()
    all_s = time.monotonic() - began
    times = sorted(view.back_s.values())
    return {
        "down_s": rounded(down_s),
        "ready_s": rounded(up_s),
        "all_back_s": rounded(all_s),
        "all_back_after_ready_s": rounded(all_s - up_s),
        "p50_s": rounded(quantiles(times, n=100)[49]),
        "p99_s": rounded(quantiles(times, n=100)[98]),
        "statuses": {str(status): count for status, count in sorted(view.answered.items())},
        "refusals_without_retry_after": view.unexcused,
        "broken_connections": dict(sorted(view.broken.items())),
        "peak_mb": rounded(peak_bytes(coordinator.process.pid) / MB),
    }


def _all_held(crowd: Crowd, silos: int) -> CrowdView:
    return crowd.wait_until(lambda view: view.held == silos and len(view.back_s) == silos, BACK_S)


def _say(
    options: argparse.Namespace,
    alone: dict[str, float],
    with_silos: dict[str, float],
    storms: Mapping[str, Sequence[Figures]],
) -> None:
    grown_mb = rounded(with_silos["rss_mb"] - alone["rss_mb"])
    figures: Figures = {
        "benchmark": "connections",
        "machine": machine(),
        "silos": options.silos,
        "quiet_s": options.quiet_s,
        "hold_s": options.hold_s,
        "alone": alone,
        "waiting": with_silos,
        "grown_mb": grown_mb,
        "storms": storms,
    }
    rows = [
        ("silos that wait", str(options.silos)),
        ("memory for them", f"{grown_mb:g} MB (without {alone['rss_mb']:g}, with {with_silos['rss_mb']:g})"),
        ("of one core", f"{with_silos['cpu_percent']:g} %, {with_silos['requests_per_s']:g} requests/s"),
    ]
    for name, seen in storms.items():
        for one in seen:
            back = f"all back after {one['all_back_s']} s (ready after {one['ready_s']} s), p50 {one['p50_s']} s"
            rows.append((name, f"{back}, p99 {one['p99_s']} s, statuses {one['statuses']}"))
    say(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
