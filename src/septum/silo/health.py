"""How is this silo's agent? In a file, for whoever watches over it here; nothing of it leaves, and nothing listens.

With `[metrics] file` in silo.toml the agent writes it every EVERY_S seconds, whole or not at all, in Prometheus' text
format: node_exporter's textfile collector takes it up, and a probe may look how old it is. Anybody on this machine may
read it; there is no row, path or name of data in it, and no run's id.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from septum import __version__
from septum.adapters.process_use import process_use
from septum.protocol.exposition import Kind, Metric, Numbers, page
from septum.protocol.log_lines import LogLevel
from septum.silo.log import Listener, Log
from septum.silo.taking_part import StopSignal

EVERY_S = 15.0
READY_S = 90.0  # the coordinator answers a question for runs within 50 s, and a broken one is asked again
_WORDS = {LogLevel.INFO: "info", LogLevel.WARNING: "warning", LogLevel.ERROR: "error"}

BUILD = Metric(
    "septum_agent_info",
    Kind.GAUGE,
    "1, with the version of septum and of Python.",
    {"version": (__version__,), "python": (platform.python_version(),)},
)
ALIVE = Metric("septum_agent_alive_time_seconds", Kind.GAUGE, "When this was written, Unix seconds.")
READY = Metric(
    "septum_agent_ready", Kind.GAUGE, f"1 if the coordinator has answered in the last {READY_S:g} s, else 0."
)
ANSWERED = Metric(
    "septum_agent_answered_time_seconds", Kind.GAUGE, "When the coordinator last answered, Unix seconds; 0: not yet."
)
RUNS = Metric("septum_agent_runs", Kind.GAUGE, "Runs that this silo takes part in now.")
REPORTS = Metric("septum_agent_reports_total", Kind.COUNTER, "Reports that the coordinator has accepted.")
LINES = Metric(
    "septum_agent_log_lines_total", Kind.COUNTER, "Lines of the agent's log.", {"level": tuple(_WORDS.values())}
)
CPU = Metric("process_cpu_seconds_total", Kind.COUNTER, "Processor time of the agent, without its workers.")
MEMORY = Metric("process_resident_memory_bytes", Kind.GAUGE, "Memory of the agent, without its workers.")
METRICS = (BUILD, ALIVE, READY, ANSWERED, RUNS, REPORTS, LINES, CPU, MEMORY)


class Health:
    """What the file says. Counts from any thread."""

    def __init__(self, path: Path, unix: Callable[[], float] = time.time) -> None:
        self._path = path
        self._unix = unix
        self._lock = threading.Lock()
        self._answered_at = 0.0
        self._numbers = {metric.name: Numbers(metric) for metric in METRICS}
        self._of(BUILD).set(1, __version__, platform.python_version())

    def _of(self, metric: Metric) -> Numbers:
        return self._numbers[metric.name]

    def answered(self) -> None:
        """The coordinator has answered."""
        self._answered_at = self._unix()

    def hearing(self, listener: Listener | None) -> Listener:
        """A listener to the agent's log that counts, and passes on what it hears."""

        def heard(level: LogLevel, event: str, fields: Mapping[str, object]) -> None:
            with self._lock:
                self._of(LINES).add(1, _WORDS.get(level, "error"))
                if event == "reported":
                    self._of(REPORTS).add(1)
            if listener is not None:
                listener(level, event, fields)

        return heard

    def write(self, runs: int) -> None:
        """Write the file anew. Raises OSError."""
        now, used = self._unix(), process_use()
        with self._lock:
            self._of(ALIVE).set(now)
            self._of(ANSWERED).set(self._answered_at)
            self._of(READY).set(now - self._answered_at <= READY_S)
            self._of(RUNS).set(runs)
            self._of(CPU).set(used.cpu_s)
            self._of(MEMORY).set(used.memory_bytes)
            text = page(self._numbers.values())
        part = self._path.with_name(f".{self._path.name}.part")  # the collector takes up *.prom alone
        part.write_text(text)
        part.chmod(0o644)
        part.replace(self._path)

    def start(self, runs: Callable[[], int], stop: StopSignal, log: Log) -> None:
        """Write it again and again, in a thread, until the signal; then it is removed: there is no agent."""
        threading.Thread(target=self._serve, args=(runs, stop, log), name="health", daemon=True).start()

    def _serve(self, runs: Callable[[], int], stop: StopSignal, log: Log) -> None:
        failed = ""
        while not stop.is_set():
            try:
                self.write(runs())
                failed = ""
            except OSError as error:
                if str(error) != failed:
                    log.warning("metrics_not_written", error=str(error), hint=f"ls -ld {self._path.parent}")
                failed = str(error)
            stop.wait(EVERY_S)
        self._path.unlink(missing_ok=True)
