"""What does the coordinator measure of itself? Every metric, declared once; and what counts as things happen.

Nothing here is of one run, silo or person: it is summed over all of them, and who may read it sees all runs anyway. The
rounds are counted from what the journal has, once that is on disk, so they agree with it; what was counted is lost when
the process ends, as Prometheus expects. docs/reference/metrics.md is made from METRICS (coordinator/metrics_page.py).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from septum import __version__
from septum.coordinator.live import Told
from septum.errors import SeptumError
from septum.protocol import facts
from septum.protocol.exposition import Kind, Metric, Numbers
from septum.protocol.messages import Outcome, Stage
from septum.protocol.run_state import Run
from septum.protocol.timeline import STEPS, Doing
from septum.protocol.views import RunStatus, SiloStatus

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)
COMMIT_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_STAGES = tuple(stage.value for stage in Stage)
_STEPS = (Doing.WAIT.value, Doing.UNMASK.value, Doing.AGGREGATE.value)
TOO_FEW, REFUSED, PAYLOADS_LOST, MODEL_LOST = "too_few_reports", "combine_refused", "payloads_lost", "model_lost"
POLLS, EXCHANGES = "poll", "run"
LISTS = ("journal", "log", "feed")
PARTS = ("silo", "api", "console", "probe")
_ANSWERS = ("2xx", "3xx", "4xx", "5xx")


def codes() -> tuple[str, ...]:
    """The codes of all errors that septum raises on purpose."""

    def below(kind: type[SeptumError]) -> Iterator[str]:
        yield kind.code
        for one in kind.__subclasses__():
            if one.__module__ == SeptumError.__module__:
                yield from below(one)

    return tuple(sorted(set(below(SeptumError))))


BUILD = Metric(
    "septum_build_info",
    Kind.GAUGE,
    "1, with the version of septum and of Python.",
    {"version": (__version__,), "python": (platform.python_version(),)},
)
RUNS = Metric(
    "septum_runs",
    Kind.GAUGE,
    "Runs that have not ended, by what they are doing; queued ones wait for room.",
    {"status": tuple(status.value for status in RunStatus if not status.ended)},
)
RUNS_ENDED = Metric(
    "septum_runs_ended_total",
    Kind.COUNTER,
    "Runs that ended, by how.",
    {"outcome": tuple(outcome.value for outcome in Outcome)},
)
ROUNDS = Metric(
    "septum_rounds_total",
    Kind.COUNTER,
    "Stages of rounds that were completed: their reports were combined.",
    {"stage": _STAGES},
)
ROUND_S = Metric(
    "septum_round_seconds",
    Kind.HISTOGRAM,
    "How long a completed stage took, from its first attempt on.",
    {"stage": _STAGES},
    BOUNDS_S,
)
STEP_S = Metric(
    "septum_round_step_seconds",
    Kind.HISTOGRAM,
    "Where the time of a completed stage went: waiting for silos, taking masks off, combining.",
    {"step": _STEPS},
    BOUNDS_S,
)
SILO_STEP_S = Metric(
    "septum_silo_step_seconds",
    Kind.HISTOGRAM,
    "How long silos say that their steps took, all silos together; nothing of runs with differential privacy.",
    {"step": tuple(STEPS)},
    BOUNDS_S,
)
ATTEMPTS_FAILED = Metric(
    "septum_attempts_failed_total",
    Kind.COUNTER,
    "Attempts at a stage that came to nothing, by why.",
    {"why": (TOO_FEW, REFUSED, PAYLOADS_LOST, MODEL_LOST)},
)
REPORTS = Metric(
    "septum_reports_total",
    Kind.COUNTER,
    "Reports of silos: accepted, or that they could not do their work.",
    {"result": ("accepted", "failed")},
)
REPORTS_REFUSED = Metric(
    "septum_reports_refused_total",
    Kind.COUNTER,
    "Reports that the coordinator refused, by the error's code (errors.md).",
    {"code": codes()},
)
SILOS = Metric(
    "septum_silos", Kind.GAUGE, "Silos, by their state.", {"status": tuple(status.value for status in SiloStatus)}
)
HELD = Metric(
    "septum_held_requests",
    Kind.GAUGE,
    "Requests of silos that are held until there is something to answer: for any run, or within one.",
    {"kind": (POLLS, EXCHANGES)},
)
VIEWERS = Metric("septum_viewers", Kind.GAUGE, "Streams that somebody watches now.", {"list": LISTS})
COMMIT_S = Metric(
    "septum_commit_seconds",
    Kind.HISTOGRAM,
    "How long a commit of runs took, from asking for it until it was on disk.",
    {},
    COMMIT_BOUNDS_S,
)
COMMIT_STUCK = Metric(
    "septum_commit_stuck", Kind.GAUGE, "1 while the last commit has failed and is tried again, else 0."
)
REQUESTS = Metric(
    "septum_http_requests_total",
    Kind.COUNTER,
    "Requests that were answered, by who is served and the status's first digit; without those that were cut off.",
    {"part": PARTS, "answer": _ANSWERS},
)
BYTES = Metric(
    "septum_http_bytes_total",
    Kind.COUNTER,
    "Bytes of bodies that came in, and of answers that were begun.",
    {"part": PARTS, "direction": ("in", "out")},
)
BLOB_BYTES = Metric(
    "septum_blob_bytes", Kind.GAUGE, "What models, packages and payloads take on disk; looked at every five minutes."
)
DISK_FREE = Metric("septum_disk_free_bytes", Kind.GAUGE, "How much can be stored in the data directory.")
TRACKER_PENDING = Metric(
    "septum_tracker_pending",
    Kind.GAUGE,
    "Runs that trackers, webhooks too, have not been told all of; one more where it is the feed.",
)
TRACKER_WAITING = Metric(
    "septum_tracker_waiting",
    Kind.GAUGE,
    "Starts, measured rounds and ends of runs that trackers, webhooks too, have not been told yet.",
)
TRACKER_REFUSED = Metric(
    "septum_tracker_refused_total",
    Kind.COUNTER,
    "Points, parameters and models that a tracker's service refused for good: they are not stored there.",
)
TRACKER_FAILURES = Metric(
    "septum_tracker_failures_total", Kind.COUNTER, "Times that a tracker could not be told; it is told again later."
)
PROCESS_CPU = Metric("process_cpu_seconds_total", Kind.COUNTER, "Processor time of this process, user and system.")
PROCESS_MEMORY = Metric("process_resident_memory_bytes", Kind.GAUGE, "Memory of this process.")
PROCESS_FILES = Metric("process_open_fds", Kind.GAUGE, "Files and connections that this process has open.")
PROCESS_START = Metric("process_start_time_seconds", Kind.GAUGE, "When this process began, Unix seconds.")

METRICS = (
    *(BUILD, RUNS, RUNS_ENDED, ROUNDS, ROUND_S, STEP_S, SILO_STEP_S, ATTEMPTS_FAILED, REPORTS, REPORTS_REFUSED),
    *(SILOS, HELD, VIEWERS, COMMIT_S, COMMIT_STUCK, REQUESTS, BYTES, BLOB_BYTES, DISK_FREE),
    *(TRACKER_PENDING, TRACKER_WAITING, TRACKER_FAILURES, TRACKER_REFUSED),
    *(PROCESS_CPU, PROCESS_MEMORY, PROCESS_FILES, PROCESS_START),
)


@dataclass(slots=True)
class _Open:
    """A stage that is not completed: when it was opened, its newest report came, and it was closed; Unix seconds."""

    stage: Stage
    round: int
    opened_at: float
    reported_at: float
    closed_at: float | None = None


class Meters:
    """What was counted. For the event loop."""

    def __init__(self) -> None:
        self._numbers = {metric.name: Numbers(metric) for metric in METRICS}
        self._open: dict[str, _Open] = {}

    def of(self, metric: Metric) -> Numbers:
        """What was counted of one metric."""
        return self._numbers[metric.name]

    def all(self) -> tuple[Numbers, ...]:
        """All, as METRICS has them."""
        return tuple(self._numbers.values())

    def committed(self, seconds: float, entries: Sequence[tuple[Run, Sequence[Told]]]) -> None:
        """A commit took so long; and what it added to journals."""
        self.of(COMMIT_S).observe(seconds)
        for run, told in entries:
            for one in told:
                self._heard(run, one.fact, one.at)

    def refused(self, error: SeptumError) -> None:
        """A silo's report was refused."""
        self.of(REPORTS_REFUSED).add(1, error.code)

    def _heard(self, run: Run, fact: facts.Fact, at: float) -> None:
        match fact:
            case facts.StageOpened(stage, round_):
                known = self._open.get(run.id)
                if known is None or (known.stage, known.round) != (stage, round_):
                    self._open[run.id] = _Open(stage, round_, at, at)
            case facts.SiloReported(durations_s=durations_s):
                self.of(REPORTS).add(1, "accepted")
                if run.id in self._open:
                    self._open[run.id].reported_at = at
                for step, seconds in durations_s.items():
                    self.of(SILO_STEP_S).observe(seconds, step)
            case facts.SiloFailed():
                self.of(REPORTS).add(1, "failed")
            case facts.StageClosed():
                if run.id in self._open:
                    self._open[run.id].closed_at = at
            case facts.ModelMade() | facts.ModelMeasured() | facts.StatisticsMade():
                self._completed(run, at)
            case facts.RunEnded(outcome):
                self._open.pop(run.id, None)
                self.of(RUNS_ENDED).add(1, outcome.value)
            case _:
                self._count_failure(fact)

    def _count_failure(self, fact: facts.Fact) -> None:
        match fact:
            case facts.AttemptFailed():
                self.of(ATTEMPTS_FAILED).add(1, TOO_FEW)
            case facts.CombineRefused():
                self.of(ATTEMPTS_FAILED).add(1, REFUSED)
            case facts.PayloadsLost():
                self.of(ATTEMPTS_FAILED).add(1, PAYLOADS_LOST)
            case facts.ModelLost():
                self.of(ATTEMPTS_FAILED).add(1, MODEL_LOST)
            case _:
                pass

    def _completed(self, run: Run, at: float) -> None:
        """The first that came of a stage's reports: a round that makes a model and measures one has two."""
        known = self._open.get(run.id)
        if known is None or known.closed_at is None:
            return
        del self._open[run.id]
        self.of(ROUNDS).add(1, known.stage.value)
        self.of(ROUND_S).observe(max(0.0, at - known.opened_at), known.stage.value)
        masked = run.plan.masking is not None
        waited_until = known.reported_at if masked else known.closed_at
        steps = self.of(STEP_S)
        steps.observe(max(0.0, waited_until - known.opened_at), Doing.WAIT.value)
        if masked:
            steps.observe(max(0.0, known.closed_at - known.reported_at), Doing.UNMASK.value)
        steps.observe(max(0.0, at - known.closed_at), Doing.AGGREGATE.value)
