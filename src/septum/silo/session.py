"""How does a silo take part in one run? The driver of the silo machine: step, persist, perform; one thread.

The machine (protocol/silo.py) decides; here is what it has done: messages over the channel, work in the worker, files.
The state is on disk before anything is said or deleted, so an agent that was killed at any point goes on where it was.
Before work alone it need not be: training is a function, so work that nobody remembers is done again, with one result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from septum.adapters.channel.backoff import attempt_of, pause_after
from septum.errors import (
    AuthError,
    BudgetError,
    ConnectionFailedError,
    NotFoundError,
    SecAggError,
    SeptumError,
    StorageError,
    TensorError,
    TimedOutError,
    TooLargeError,
    WorkerError,
)
from septum.ports.channel import Channel
from septum.ports.launcher import Launcher, Task, TaskResult, Worker, WorkerLimits, WorkerSpec
from septum.protocol.codec import encode
from septum.protocol.messages import (
    INLINE_LIMIT_BYTES,
    MAX_REASON_CHARS,
    MAX_WEIGHT,
    Agree,
    Barrier,
    Blob,
    End,
    Evaluate,
    Failure,
    Instruction,
    Join,
    Leave,
    Masked,
    Outcome,
    Prepare,
    Report,
    Result,
    SiloMessage,
    Stage,
    Train,
    Unmask,
    blob_of,
)
from septum.protocol.plan import digest_of
from septum.protocol.query import Noise
from septum.protocol.silo import (
    Consented,
    Denied,
    Do,
    Effect,
    Event,
    Exchange,
    Finish,
    Forget,
    Instructed,
    Job,
    Reconnected,
    Rejected,
    Send,
    SiloPhase,
    SiloRun,
    Worked,
    WorkFailed,
    step,
)
from septum.silo import outgoing
from septum.silo.consent import Granted
from septum.silo.kept import KeptModels
from septum.silo.log import Log
from septum.silo.masking_tools import MaskingTools
from septum.silo.own_model import OwnModel
from septum.silo.policy import Hours
from septum.silo.run_files import RunFiles

if TYPE_CHECKING:
    from septum.silo.counting import Paid
    from septum.silo.masking import MaskedPart
    from septum.silo.private_query import PrivateQuery
    from septum.silo.private_run import PrivacyTools, PrivateRun

_NO_LEDGER = "this silo takes no part in runs with differential privacy"
AUTH_PAUSE_S = 60.0  # a person has to act first
_STEPS = frozenset({"load", "prepare", "evaluate", "train", "encode"})  # the worker's durations that leave the silo
T = TypeVar("T")
P = ParamSpec("P")


def minute_of_the_day() -> int:
    """Minutes since midnight, local time."""
    now = time.localtime()
    return 60 * now.tm_hour + now.tm_min


class StopSignal(Protocol):
    """Says when the agent ends; `threading.Event` is one.

    Contract: `wait` returns after so many seconds, or as soon as the signal is given; whether it was given.
    """

    def set(self) -> None:
        """Give it."""

    def is_set(self) -> bool:
        """Whether the signal was given."""

    def wait(self, timeout: float) -> bool:
        """Wait for it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a session works with.

    rand    uniform in [0, 1), for pauses
    minute  of the day, by the silo's own clock
    hours, send_error_texts and tell_dataset are the policy's
    masking   None where this silo takes no part in masked runs
    privacy   None where it takes no part in runs with differential privacy
    kept      None where this silo keeps no models of its own
    """

    channel: Channel
    launcher: Launcher
    limits: WorkerLimits
    stop: StopSignal
    rand: Callable[[], float]
    log: Log
    send_error_texts: bool = False
    tell_dataset: bool = False
    hours: Hours | None = None
    minute: Callable[[], int] = minute_of_the_day
    masking: MaskingTools | None = None
    privacy: PrivacyTools | None = None
    kept: KeptModels | None = None
    unix: Callable[[], float] = time.time


class Stopwatch:
    """How long the agent's own steps take, seconds, beside those that were known before."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds = dict(seconds or {})

    def time(self, step: str, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something; what it took is added to the step's."""
        began = time.monotonic()
        try:
            return job(*args, **kwargs)
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - began


class Session:
    """One run, from consent to its end. `serve` in a thread of its own; `leave` and `interrupt` from another."""

    def __init__(self, tools: Tools, files: RunFiles, state: SiloRun, admit: Callable[[], Granted | Denied]) -> None:
        self._tools = tools
        self._files = files
        self._admit = admit
        self._granted: Granted | None = None
        self._log = tools.log.bind(run_id=state.run)
        self._worker: Worker | None = None
        self._failures = 0  # of the line, one after another
        self._small = blob_of(b"")  # the newest model that came with its bytes
        self._masked = None if state.plan.masking is None else _masked_part(tools, state)
        self._paid = private_run(tools, state, files, self._log)
        self._noisy = private_query(tools, state, files, self._log)
        self._accounted = state.plan.privacy is not None or _noise_of(state) is not None
        self._tells = tools.send_error_texts and not self._accounted  # an app's text can quote a row
        self._own = OwnModel(state, files, tools.kept, self._log, tools.unix)
        self._leaving = ""  # why, once the steward has said so
        self._recalled = False  # nobody waits for what is being done
        self._began: float | None = None  # monotonic clock, when the work at hand was begun
        self._denied: Denied | None = None
        self._told: tuple[Job | None, Mapping[str, float]] = (None, {})  # how long the newest work took
        self.state = state

    def serve(self) -> None:
        """Take part until the run ends, or the agent does."""
        self._files.make()
        event = self._admitted()
        try:
            while (event := self._heeded(event)) is not None and not self._tools.stop.is_set():
                state, effects = step(self.state, event)
                if any(isinstance(effect, Finish) and effect.outcome is Outcome.FINISHED for effect in effects):
                    self._own.keep(state, None if self._granted is None else self._granted.app)  # before it has ended
                if state != self.state:
                    if _to_be_saved(effects):
                        self._save(state)
                    self.state = state
                event = self._perform(effects)
        finally:
            self.interrupt()
            if self._leaving:  # what was on its way when it left would have brought it back
                self.leave(self._leaving)
            self._files.settle()

    def _heeded(self, event: Event | None) -> Event | None:
        """What the steward has said comes first: then the run is refused from now on, or nothing more is done.

        Work that was recalled is not done again before the coordinator was asked.
        """
        recalled, self._recalled = self._recalled, False
        if not self._leaving or event is None:
            return Reconnected() if recalled and isinstance(event, WorkFailed) else event
        refused, self._denied = self._denied, None
        return refused or (event if self.state.phase is SiloPhase.REFUSED else None)

    def _admitted(self) -> Event | None:
        """What the silo's rules say of the run, once that can be found out; None when the agent ends before."""
        while not self._tools.stop.is_set():
            try:
                consent = self._admit()
            except (StorageError, ConnectionFailedError, TimedOutError) as error:
                self._log.warning("not_admitted_yet", error=error.message, hint=error.hint)
                self._wait(error)
                continue
            self._failures = 0
            if isinstance(consent, Denied):
                return consent
            self._granted = consent
            return Consented()
        return None

    def _save(self, state: SiloRun) -> None:
        """Without it a restart begins the newest work again, which costs time and changes no result."""
        try:
            self._files.save(state)
        except OSError as error:
            self._log.error("state_not_saved", error=str(error), hint=f"df -h {self._files.folder}")

    def leave(self, reason: str) -> None:
        """Tell the coordinator not to wait for this silo. One attempt: without it, the deadline tells."""
        if self.state.phase is not SiloPhase.ACTIVE:
            return
        try:
            self._tools.channel.exchange(self.state.run, Leave(reason))
            self._log.info("left", reason=reason)
        except SeptumError as error:
            self._log.warning("leave_failed", error=error.message)

    def withdraw(self, reason: str, refused: Denied | None = None) -> None:
        """Take no further part: for now, or with `refused` for good. It may be called again and again."""
        known = self._leaving
        if not known:
            self._denied, self._leaving = refused, reason
        self.interrupt()
        if not known:
            self.leave(reason)

    @property
    def working_s(self) -> float:
        """For how long it has been doing one piece of work; 0 while it does none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def recall(self) -> None:
        """Nobody waits for what is being done, as the coordinator says: break it off, and ask."""
        self._log.info("recalled")
        self._recalled = True
        self.interrupt()

    def interrupt(self) -> None:
        """End the worker, also in the middle of a task."""
        worker = self._worker
        if worker is not None:
            worker.close()

    def _perform(self, effects: tuple[Effect, ...]) -> Event | None:
        """Do what the machine asks; what came of it. None when the silo's part is over."""
        for effect in effects:
            match effect:
                case Forget():
                    self._files.tidy(self.state)
                case Finish():
                    self._finish(effect)
                    return None
                case Do():
                    self._began = time.monotonic()
                    try:
                        return self._do(effect)
                    finally:
                        self._began = None
                case Exchange(asked):
                    return self._say(self._answer(asked))
                case Send(message):
                    return self._say(message)
        return Reconnected()  # nothing to do: ask what there is

    def _finish(self, effect: Finish) -> None:
        self._log.info("run_ended", outcome=effect.outcome.value, reason=effect.reason)
        self.interrupt()
        for account in (self._paid, self._noisy):
            if account is not None:
                account.settle()
        if not effect.keep:
            self._files.remove()

    # --- talking ---------------------------------------------------------------------------------------------------

    def _say(self, message: SiloMessage) -> Event:
        try:
            if isinstance(message, Result):
                message = self._with_payload(message)
            if isinstance(message, Join):
                message = replace(message, dataset=self._dataset)
            answer = self._tools.channel.exchange(self.state.run, message)
        except (ConnectionFailedError, TimedOutError, StorageError, AuthError) as error:
            self._pause(error)
            return Reconnected()
        except NotFoundError as error:
            if isinstance(message, Result):  # a payload that was lost there: the work is asked for again
                return self._rejected(error)
            return Instructed(End(Outcome.STOPPED, f"the coordinator does not know this run: {error.message}"[:500]))
        except SeptumError as error:
            return self._rejected(error)
        if self._failures:
            self._log.info("connected")
        self._failures = 0
        if self._masked is not None and isinstance(answer, Prepare | Train | Evaluate):
            self._masked.asked(answer)
        self._note(message, answer)
        return Instructed(answer)

    @property
    def _dataset(self) -> str:
        """The digest of this run's rows, where it may be told; empty otherwise."""
        may = self._tools.tell_dataset and not self._accounted
        return self._granted.table.digest if may and self._granted is not None else ""

    def _answer(self, asked: Barrier) -> SiloMessage:
        """What is said in a step of a masked attempt; why not, if it is not to be."""
        try:
            if self._masked is None:
                raise SecAggError("this silo takes no part in masked runs")
            answer = self._masked.answer(asked)
        except SeptumError as error:
            self._log.error("not_exchanged", error=error.message, hint=error.hint, **_evidence(asked))
            told = error.message
            if not (isinstance(error, SecAggError) or self._tells):  # of its own files, say
                told = "this silo cannot take part in a masked sum now, and keeps the reason to itself"
            return Failure(asked.stage, asked.round, asked.attempt, told[:MAX_REASON_CHARS])
        if isinstance(asked, Agree | Unmask):
            event = "sum_signed" if isinstance(asked, Agree) else "shares_revealed"
            self._log.info(event, **_where(asked), **self._masked.logged(asked))
        return answer

    def _with_payload(self, result: Result) -> Result | Failure:
        """The result as it leaves: masked if the run is. Small payloads are inside, large ones go ahead of it."""
        assert self.state.held is not None
        own, path = Stopwatch(result.durations_s), self._files.held(self.state.held.job.name)
        if isinstance(result, Masked):
            try:
                result = own.time("protect", self._mask, result, path)
            except FileNotFoundError as error:  # lost here: the work is done again, as in a run without masks
                raise NotFoundError(f"the kept result of {self.state.held.job.name} cannot be read") from error
            except (SecAggError, TensorError, OSError) as error:
                return self._not_masked(result, error)
            path = self._files.masked(self.state.held.job.name)
        blob = result.payload
        if (
            blob.inline is None and blob.size_bytes <= INLINE_LIMIT_BYTES
        ):  # a worker may write a file though it need not
            result = replace(result, payload=Blob(blob.digest, blob.size_bytes, _read(path)))
        elif blob.inline is None:
            own.time("send", self._tools.channel.send_blob, self.state.run, blob.digest, path)
        if self._accounted:
            return result
        if self._told[0] != self.state.held.job:  # what is said again is said in the same bytes
            self._told = (self.state.held.job, own.seconds)
        return replace(result, durations_s=self._told[1])

    def _mask(self, result: Masked, path: Path) -> Masked:
        held = self.state.held
        assert held is not None
        if self._masked is None:
            raise SecAggError("this silo takes no part in masked runs")
        plain = path if result.payload.inline is None else result.payload.inline
        return self._masked.protect(result, plain, held.weight, self._files.masked(held.job.name))

    def _not_masked(self, result: Masked, error: Exception) -> Failure:
        """Such a reason can tell a number of this silo's, as how many rows it has."""
        told = error.message if isinstance(error, SeptumError) else str(error)
        hint = error.hint if isinstance(error, SeptumError) else f"df -h {self._files.folder}"
        self._log.error("not_masked", stage=result.stage.value, round=result.round, error=told, hint=hint)
        if not self._tells:
            told = "the result could not be masked in this silo, which keeps the reason to itself"
        return Failure(result.stage, result.round, result.attempt, told[:MAX_REASON_CHARS])

    def _note(self, message: SiloMessage, answer: Instruction) -> None:
        match message:
            case Report(stage, round_, attempt) | Masked(stage, round_, attempt):
                told = type(answer).__name__.lower()
                self._log.info("reported", stage=stage.value, round=round_, attempt=attempt, answer=told)
            case Join():
                self._log.info("joined")
            case _:
                pass

    def _rejected(self, error: SeptumError) -> Rejected:
        self._log.error("refused_by_coordinator", error=error.message, hint=error.hint)
        self._wait(error)
        return Rejected(error.message)

    def _pause(self, error: SeptumError) -> None:
        if isinstance(error, AuthError):
            self._log.error("not_accepted", error=error.message, hint=error.hint)
            self._tools.stop.wait(AUTH_PAUSE_S)
            return
        if not self._tools.stop.is_set():
            self._log.warning("disconnected", error=error.message)
        self._wait(error)

    def _wait(self, error: SeptumError) -> None:
        self._failures = attempt_of(error, self._failures)
        self._tools.stop.wait(pause_after(error, self._failures, self._tools.rand))
        self._failures += 1

    # --- working ---------------------------------------------------------------------------------------------------

    def _do(self, effect: Do) -> Event:
        job = effect.job
        if self._outside_hours():
            return Reconnected()
        self._log.info("working", stage=job.stage.value, round=job.round, attempt=job.attempt)
        own = Stopwatch()
        try:
            model = None if effect.model is None else own.time("receive", self._model, effect.model)
            result = self._work(effect, model)
            _check_weight(job, result.weight)
            payload = own.time("protect", self._take, job, result, model)
            self._own.hold(job, model)
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
        if not self._accounted:  # how long it took tells something of the rows
            durations = own.seconds | {name: took for name, took in result.durations_s.items() if name in _STEPS}
        return Worked(job, payload, result.weight, durations, result.has_state)

    def _outside_hours(self) -> bool:
        """Wait until the silo works for others; whether it waited, so that what it was asked may be out of date."""
        hours = self._tools.hours
        if hours is None or not (minutes := hours.wait_minutes(self._tools.minute())):
            return False
        self._log.info("outside_hours", rule="policy.hours", hours=str(hours), minutes=minutes)
        while minutes and not self._leaving and not self._tools.stop.wait(60.0):
            minutes = hours.wait_minutes(self._tools.minute())
        return True

    def _take(self, job: Job, result: TaskResult, model: Path | bytes | None) -> Blob:
        assert self._granted is not None
        plan = self.state.plan
        noisy = plan.privacy is not None and plan.privacy.metrics_epsilon is not None
        bounds = outgoing.Bounds(self._granted.app.private, plan.clip_norm, noisy)
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
            self._tools.channel.fetch_blob(self.state.run, blob.digest, path, size_bytes=blob.size_bytes)
        return path

    def _work(self, effect: Do, model: Path | bytes | None) -> TaskResult:
        assert self._granted is not None
        job, app = effect.job, self._granted.app
        spec = self._spec(self._granted)
        if self.state.plan.privacy is not None:
            if self._paid is None:
                raise BudgetError(_NO_LEDGER)
            spec = self._paid.spec_for(job, spec, app.dataset.name, app.trains, self._started)
        worker = self._worker if self._worker is not None and self._worker.alive else self._started(spec)
        state = self._files.carried(effect.state) if effect.state else self._own.start(app, job, model)
        task = Task(job.stage, job.round, model, job.initial, state, self._files.carried(job.name))
        result = worker.perform(task, self._files.output(job.name))
        if self._paid is not None:
            self._paid.check(job, result.attested)
        return result

    def _started(self, spec: WorkerSpec) -> Worker:
        self.interrupt()
        self._worker = None
        assert self._granted is not None
        self._worker = worker = self._launcher(self._granted).start(spec, self._tools.limits)
        self._log.info("worker_started", pid=worker.pid)
        if self._tools.stop.is_set():  # `interrupt` came between
            self.interrupt()
        return worker

    def _launcher(self, granted: Granted) -> Launcher:
        """What does the work: for statistics septum's own code alone."""
        if self.state.plan.query is None:
            return self._tools.launcher
        from septum.silo.counting import Counting  # numpy, as for what is masked: an idle agent does without

        return Counting(self.state.plan.query, tuple(granted.app.columns), self._payer(granted))

    def _payer(self, granted: Granted) -> Paid | None:
        """What pays for a query with noise; None for one without. Raises BudgetError where this silo has no ledger."""
        if _noise_of(self.state) is None:
            return None
        if self._noisy is None:
            raise BudgetError(_NO_LEDGER)
        return partial(self._noisy.sums, granted.app.dataset.name)

    def _spec(self, granted: Granted) -> WorkerSpec:
        plan, app = self.state.plan, granted.app
        return WorkerSpec(
            run=self.state.run,
            silo=self.state.silo,
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
        if not (self._tools.stop.is_set() or self._recalled):
            self._log.error(
                "work_failed", stage=job.stage.value, round=job.round, error=reason, hint=hint, traceback=details
            )
        if not self._tells:
            reason, hint, details = f"{job.name} failed in this silo, which keeps the reason to itself", "", ""
        advice = f"next, in silo {self.state.silo}: {hint}" if hint else ""
        return WorkFailed(job, reason, f"{details}{advice}", worker_gone)


def private_run(tools: Tools, state: SiloRun, files: RunFiles, log: Log) -> PrivateRun | None:
    """The silo's account of a run with differential privacy; None where there is no such run, or no ledger."""
    if state.plan.privacy is None or tools.privacy is None:
        return None
    from septum.silo.private_run import PrivateRun  # as below

    return PrivateRun(tools.privacy, state.run, state.plan, files, log)


def _noise_of(state: SiloRun) -> Noise | None:
    """The noise that a query asks for."""
    return None if state.plan.query is None else state.plan.query.noise


def private_query(tools: Tools, state: SiloRun, files: RunFiles, log: Log) -> PrivateQuery | None:
    """The silo's account of a query with noise; None where there is no such query, or no ledger."""
    if _noise_of(state) is None or tools.privacy is None:
        return None
    from septum.silo.private_query import PrivateQuery  # numpy, as below

    return PrivateQuery(tools.privacy, state.run, state.plan, files, log)


def _masked_part(tools: Tools, state: SiloRun) -> MaskedPart | None:
    """The silo's masked part in a run; None where it has none, and says so when it is asked."""
    from septum.silo.masking import MaskedPart  # numpy, which an agent without such runs does without

    return None if tools.masking is None else MaskedPart(tools.masking, state.run, state.silo, state.plan)


def _evidence(asked: Barrier) -> dict[str, object]:
    """What a silo can say of a request that it refused. All get the same one: another digest is another request."""
    return {"step": type(asked).__name__, **_where(asked), "asked": digest_of(encode(asked))}


def _where(asked: Barrier) -> dict[str, object]:
    return {"stage": asked.stage.value, "round": asked.round, "attempt": asked.attempt}


def _to_be_saved(effects: tuple[Effect, ...]) -> bool:
    """Whether what follows must not be undone by a kill: something is said, or files are deleted."""
    kinds = {type(effect) for effect in effects}
    return Forget in kinds or Do not in kinds


def _check_weight(job: Job, weight: int) -> None:
    """What a worker gives is no report yet: one that cannot be sent must not end in doing the work for ever."""
    least = 0 if job.stage is Stage.EVALUATE else 1
    if not least <= weight <= MAX_WEIGHT:
        raise TensorError(f"{job.name}: a weight of {weight:.17g} rows cannot be reported, {least} at least")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"the kept payload {path} cannot be read: {error.strerror}") from error
