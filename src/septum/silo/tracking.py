"""How does a silo store its own part in runs in a tracker of its own? By `[tracking.NAME]`, where its policy lets it.

Off the training path: what there is to store goes into a file beside the silo's state, and a thread of the tracker's
own takes it from there in batches. A tracker that is down, slow or refuses delays and fails no run. What was not stored
comes later, also after a restart; what the file has no room for, or the service refuses for good, is counted:
`septum silo tracking` shows it. Nothing of this goes to the coordinator.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from septum.adapters.channel.backoff import pause_after
from septum.adapters.tracking.registry import TRACKERS
from septum.errors import ConfigError, SeptumError, TensorError
from septum.plugins.found import Group, chosen
from septum.ports.launcher import TaskResult
from septum.ports.tracker import (
    SiloEnded,
    SiloMeasured,
    SiloStarted,
    SiloTold,
    SiloTracker,
    TrackerSettings,
)
from septum.protocol.facts import Metrics
from septum.protocol.messages import Outcome, Stage
from septum.protocol.plan import Plan
from septum.protocol.silo import Job
from septum.silo.config import SiloConfig
from septum.silo.log import Log
from septum.silo.measured import metrics_in
from septum.silo.taking_part import StopSignal
from septum.silo.track_spool import Spool

GATHER_S = 1.0  # what comes together goes together
BATCH = 100
_GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/kfd"))


def make_trackers(config: SiloConfig, silo_dir: Path) -> dict[str, SiloTracker]:
    """The trackers that silo.toml names. Raises ConfigError, MissingExtraError, PluginError."""
    found: dict[str, SiloTracker] = {}
    for name, values in sorted(config.tracking.items()):
        settings = TrackerSettings(silo_dir, values, hosts=config.policy.tracking_hosts)
        made = chosen(Group.TRACKERS, name, TRACKERS)(settings)
        if not isinstance(made, SiloTracker):
            raise ConfigError(
                f"[tracking.{name}]: this tracker stores whole runs, as a coordinator knows them",
                hint="in a silo: mlflow, sagemaker, tensorboard, or a plugin with tell_silos",
            )
        found[name] = made
    return found


class SiloTracking:
    """What one silo stores of its part in runs. `start` once; the rest from any thread of a run, which never waits.

    device  on what apps train here, as far as that is known
    """

    def __init__(
        self,
        silo: str,
        trackers: Mapping[str, SiloTracker],
        silo_dir: Path,
        log: Log,
        unix: Callable[[], float],
        device: str = "",
    ) -> None:
        self._silo = silo
        self._log = log
        self._unix = unix
        self._device = device
        self._queues = [_Queue(name, tracker, Spool(silo_dir, name), log) for name, tracker in trackers.items()]
        self._lock = threading.Lock()
        self._told: dict[str, set[tuple[str, int]]] = {}  # of each run at work, what needs no saying again

    def start(self, stop: StopSignal, rand: Callable[[], float]) -> None:
        """Start a thread for each tracker, also for what was left from before."""
        for queue in self._queues:
            name = f"tracking in {queue.name}"
            threading.Thread(target=queue.serve, args=(stop, rand), name=name, daemon=True).start()

    def worked(self, run: str, plan: Plan, job: Job, result: TaskResult, content: Path | bytes, *, exact: bool) -> None:
        """A piece of work of a run was done here. `content`: what it made, before any mask.

        exact  whether what it tells of rows may be stored: not where rows are accounted for
        """
        if plan.query is not None:
            return
        told: list[SiloTold] = []
        rank, at = rank_of(self._silo, plan), self._unix()
        if self._is_new(run, "started", 0):
            rows = result.weight if exact and job.stage is not Stage.EVALUATE else None
            told.append(SiloStarted(run, at, self._silo, rank, plan, rows, self._device))
        if exact and job.stage is not Stage.PREPARE:
            measured = job.round if job.stage is Stage.EVALUATE else job.round - 1  # the round whose model it was given
            metrics = self._metrics(content, run)
            if metrics is not None and self._is_new(run, "metrics", measured):
                told.append(SiloMeasured(run, at, self._silo, rank, measured, metrics))
            if result.train_loss is not None and self._is_new(run, "loss", job.round):
                told.append(SiloMeasured(run, at, self._silo, rank, job.round, train_loss=result.train_loss))
        self._add(told)

    def ended(self, run: str, plan: Plan, outcome: Outcome) -> None:
        """The silo's part in a run is over."""
        with self._lock:
            self._told.pop(run, None)
        if plan.query is None and self._silo in plan.silos:
            self._add([SiloEnded(run, self._unix(), self._silo, rank_of(self._silo, plan), outcome)])

    def _is_new(self, run: str, what: str, round_: int) -> bool:
        """Work is done again after a restart, or by another attempt, with one result."""
        with self._lock:
            known = self._told.setdefault(run, set())
            new = (what, round_) not in known
            known.add((what, round_))
            return new

    def _metrics(self, content: Path | bytes, run: str) -> Metrics | None:
        """What a worker said of the model; nothing it can say fails its run here."""
        try:
            found = metrics_in(content)
        except (TensorError, OSError, OverflowError, ValueError) as error:
            self._log.warning("not_tracked", run_id=run, error=str(error))
            return None
        if found is None:
            return None
        said = (found.accuracy, found.log_loss, found.roc_auc or 0.0)
        return found if all(math.isfinite(value) for value in said) else None

    def _add(self, told: Iterable[SiloTold]) -> None:
        some = list(told)
        for queue in self._queues:
            queue.add(some)


class _Queue:
    """What waits for one tracker."""

    def __init__(self, name: str, tracker: SiloTracker, spool: Spool, log: Log) -> None:
        self.name = name
        self._tracker = tracker
        self._spool = spool
        self._log = log
        self._came = threading.Event()
        self._came.set()  # there may be something from before

    def add(self, told: list[SiloTold]) -> None:
        """Put it into the file, if there is room; it does not wait for the tracker."""
        if told:
            if lost := self._spool.add(told):
                self._log.error("tracking_dropped", tracker=self.name, dropped=lost, hint="septum silo tracking")
            self._came.set()

    def serve(self, stop: StopSignal, rand: Callable[[], float]) -> None:
        """Store what comes, until the agent ends."""
        failures, said = 0, ""
        while not stop.is_set():
            if not self._came.wait(GATHER_S):
                continue
            self._came.clear()
            stop.wait(GATHER_S)
            problem = self._store_all(stop)
            if problem is None:
                failures, said = 0, ""
                continue
            if problem.message != said:  # once, not at each attempt
                said = problem.message
                self._log.warning("tracking_waits", tracker=self.name, error=said, hint=problem.hint)
            stop.wait(pause_after(problem, failures, rand))
            failures += 1
            self._came.set()
        self._tracker.close()

    def _store_all(self, stop: StopSignal) -> SeptumError | None:
        """Store all that waits; why it has to be tried again later, if so."""
        try:
            while not stop.is_set() and (told := self._spool.first(BATCH)):
                refused = self._tracker.tell_silos(told)
                self._spool.settle(len(told), refused)
                if refused:
                    self._log.error("tracking_refused", tracker=self.name, refused=refused, hint="septum silo tracking")
        except SeptumError as error:
            problem = error
        except Exception as error:  # noqa: BLE001  a tracker may raise anything; it is tried again
            problem = SeptumError(f"{type(error).__name__}: {error}"[:500])
        else:
            return None
        self._spool.failed(problem)
        return problem


def rank_of(silo: str, plan: Plan) -> int:
    """A silo's place among those of a run, in the order of their names, from 1."""
    return sorted(plan.silos).index(silo) + 1


def device_here(gpus: int) -> str:
    """On what apps train here: `cpu` where there is no GPU; unknown where there is one, for the app decides."""
    return "" if gpus or any(device.exists() for device in _GPU_DEVICES) else "cpu"
