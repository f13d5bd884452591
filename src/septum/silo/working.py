"""How does a silo do one piece of work of a run? The model comes, the worker trains, and what leaves is made ready.

Why work failed is told as far as the policy lets it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from septum.errors import (
    AuthError,
    BudgetError,
    ConnectionFailedError,
    SeptumError,
    TensorError,
    TimedOutError,
    TooLargeError,
    WorkerError,
)
from septum.ports.launcher import Launcher, Task, TaskResult, Worker, WorkerSpec
from septum.protocol.messages import MAX_WEIGHT, Blob, Stage, blob_of
from septum.protocol.silo import Do, Event, Job, Reconnected, Worked, WorkFailed
from septum.silo import outgoing
from septum.silo.consent import Granted
from septum.silo.taking_part import Part, Stopwatch, noise_of

if TYPE_CHECKING:
    from septum.silo.counting import Paid

_NO_LEDGER = "this silo takes no part in runs with differential privacy"
_STEPS = frozenset({"load", "prepare", "evaluate", "train", "encode"})  # the worker's durations that leave the silo


class Work:
    """What is done in one run, and the worker that does it. `interrupt` and `working_s` also from another thread."""

    def __init__(self, part: Part, pause: Callable[[SeptumError], None]) -> None:
        self._part = part
        self._tools = part.tools
        self._files = part.files
        self._log = part.log
        self._pause = pause  # the line is down
        self._worker: Worker | None = None
        self._small = blob_of(b"")  # the newest model that came with its bytes
        self._began: float | None = None  # monotonic clock, when the work at hand was begun

    @property
    def working_s(self) -> float:
        """For how long it has been doing one piece of work; 0 while it does none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def interrupt(self) -> None:
        """End the worker, also in the middle of a task."""
        worker = self._worker
        if worker is not None:
            worker.close()

    def do(self, effect: Do) -> Event:
        """Do a piece of work; what came of it."""
        self._began = time.monotonic()
        try:
            return self._do(effect)
        finally:
            self._began = None

    def _do(self, effect: Do) -> Event:
        job = effect.job
        if self._outside_hours():
            return Reconnected()
        self._log.info("working", stage=job.stage.value, round=job.round, attempt=job.attempt)
        self._part.asked = None if self._tools.traces is None else self._tools.traces.asked(self._part.state.run)
        own = Stopwatch()
        try:
            model = None if effect.model is None else own.time("receive", self._model, effect.model)
            result = self._work(effect, model)
            _check_weight(job, result.weight)
            payload = own.time("protect", self._take, job, result, model)
            self._part.own.hold(job, model)
            self._track(job, result, payload)
        except (ConnectionFailedError, TimedOutError, AuthError) as error:  # the model could not be fetched
            self._pause(error)
            return Reconnected()
        except WorkerError as error:
            gone = self._worker is None or not self._worker.alive
            return self._work_failed(effect, error.message, error.hint, error.details, gone)
        except BudgetError as error:
            return self._unpaid(effect, error)
        except SeptumError as error:
            return self._work_failed(effect, error.message, error.hint)
        except OSError as error:
            return self._work_failed(effect, f"the silo's files: {error}", f"df -h {self._files.folder}")
        durations: dict[str, float] = {}
        if not self._part.accounted:  # how long it took tells something of the rows
            durations = own.seconds | {name: took for name, took in result.durations_s.items() if name in _STEPS}
        return Worked(job, payload, result.weight, durations, result.has_state)

    def _track(self, job: Job, result: TaskResult, payload: Blob) -> None:
        """What this silo stores in trackers of its own; it waits for none."""
        if self._tools.tracking is not None:
            content = self._files.held(job.name) if payload.inline is None else payload.inline
            state, exact = self._part.state, not self._part.accounted
            self._tools.tracking.worked(state.run, state.plan, job, result, content, exact=exact)

    def _outside_hours(self) -> bool:
        """Wait until the silo works for others; whether it waited, so that what it was asked may be out of date."""
        hours = self._tools.hours
        if hours is None or not (minutes := hours.wait_minutes(self._tools.minute())):
            return False
        self._log.info("outside_hours", rule="policy.hours", hours=str(hours), minutes=minutes)
        while minutes and not self._part.leaving and not self._tools.stop.wait(60.0):
            minutes = hours.wait_minutes(self._tools.minute())
        return True

    def _take(self, job: Job, result: TaskResult, model: Path | bytes | None) -> Blob:
        assert self._part.granted is not None
        plan = self._part.state.plan
        noisy = plan.privacy is not None and plan.privacy.metrics_epsilon is not None
        bounds = outgoing.Bounds(self._part.granted.app.private, plan.clip_norm, noisy)
        if isinstance(result.payload, bytes):
            return outgoing.take(result.payload, job, model, bounds)
        output, held = self._files.output(job.name), self._files.held(job.name)
        return outgoing.take_over(output, result.payload, held, job, model, bounds)

    def _model(self, blob: Blob) -> Path | bytes:
        """The base model: as it came with the instruction, or its file, which is fetched if it is not there."""
        if blob.inline is not None:
            self._small = blob
        if blob.digest == self._small.digest and self._small.inline is not None:
            return self._small.inline
        limit = self._tools.limits.file_bytes
        if limit is not None and blob.size_bytes > limit:  # nothing that a coordinator says may fill this disk
            raise TooLargeError(
                f"the model has {blob.size_bytes} bytes, this silo takes at most {limit}",
                hint="limits.file_mb in silo.toml",
            )
        path = self._files.model(blob)
        if not path.exists():
            self._tools.channel.fetch_blob(self._part.state.run, blob.digest, path, size_bytes=blob.size_bytes)
        return path

    def _work(self, effect: Do, model: Path | bytes | None) -> TaskResult:
        assert self._part.granted is not None
        job, app = effect.job, self._part.granted.app
        spec = self._spec(self._part.granted)
        if self._part.state.plan.privacy is not None:
            if self._part.paid is None:
                raise BudgetError(_NO_LEDGER)
            spec = self._part.paid.spec_for(job, spec, app.dataset.name, app.trains, self._started)
        worker = self._worker if self._worker is not None and self._worker.alive else self._started(spec)
        state = self._files.carried(effect.state) if effect.state else self._part.own.start(app, job, model)
        task = Task(job.stage, job.round, model, job.initial, state, self._files.carried(job.name))
        result = worker.perform(task, self._files.output(job.name))
        if self._part.paid is not None:
            self._part.paid.check(job, result.attested)
        return result

    def _started(self, spec: WorkerSpec) -> Worker:
        self.interrupt()
        self._worker = None
        assert self._part.granted is not None
        self._worker = worker = self._launcher(self._part.granted).start(spec, self._tools.limits)
        self._log.info("worker_started", pid=worker.pid)
        if self._tools.stop.is_set():  # `interrupt` came between
            self.interrupt()
        return worker

    def _launcher(self, granted: Granted) -> Launcher:
        """What does the work: for statistics septum's own code alone."""
        if self._part.state.plan.query is None:
            return self._tools.launcher
        from septum.silo.counting import Counting  # numpy, as for what is masked: an idle agent does without

        return Counting(self._part.state.plan.query, tuple(granted.app.columns), self._payer(granted))

    def _payer(self, granted: Granted) -> Paid | None:
        """What pays for a query with noise; None for one without. Raises BudgetError where this silo has no ledger."""
        if noise_of(self._part.state) is None:
            return None
        if self._part.noisy is None:
            raise BudgetError(_NO_LEDGER)
        return partial(self._part.noisy.sums, granted.app.dataset.name)

    def _spec(self, granted: Granted) -> WorkerSpec:
        plan, app = self._part.state.plan, granted.app
        return WorkerSpec(
            run=self._part.state.run,
            silo=self._part.state.silo,
            app_dir=app.path.absolute(),
            app_digest=app.tree,
            data_path=granted.table.path.absolute(),
            hyper=plan.hyper,
            seed=plan.seed,
            strategy=plan.strategy,
            run_dir=self._files.work.absolute(),
            python=app.python,
            paths=app.paths,
            private=app.private,
            personalise=0 if plan.private is None else plan.private.personalise,
            train_loss=self._tools.tracking is not None and not self._part.accounted,
        )

    def _unpaid(self, effect: Do, error: BudgetError) -> WorkFailed:
        """What the ledger said is made of noisy numbers, so it may be told."""
        job = effect.job
        self._log.error(
            "privacy_not_paid", stage=job.stage.value, round=job.round, error=error.message, hint=error.hint
        )
        return WorkFailed(job, error.message)

    def _work_failed(
        self, effect: Do, reason: str, hint: str, details: str = "", worker_gone: bool = False
    ) -> WorkFailed:
        job = effect.job
        if not (self._tools.stop.is_set() or self._part.recalled):
            self._log.error(
                "work_failed", stage=job.stage.value, round=job.round, error=reason, hint=hint, traceback=details
            )
        if not self._part.tells:
            reason, hint, details = f"{job.name} failed in this silo, which keeps the reason to itself", "", ""
        advice = f"next, in silo {self._part.state.silo}: {hint}" if hint else ""
        return WorkFailed(job, reason, f"{details}{advice}", worker_gone)


def _check_weight(job: Job, weight: int) -> None:
    """What a worker gives is no report yet: one that cannot be sent must not end in doing the work for ever."""
    least = 0 if job.stage is Stage.EVALUATE else 1
    if not least <= weight <= MAX_WEIGHT:
        raise TensorError(f"{job.name}: a weight of {weight:.17g} rows cannot be reported, {least} at least")
