"""How does a silo talk with the coordinator in one run? What it says, what it makes of the answer, how long it waits.

A line that is down is waited for. What went wrong here is told as far as the policy lets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from septum.adapters.channel.backoff import attempt_of, pause_after
from septum.errors import (
    AuthError,
    ConnectionFailedError,
    NotFoundError,
    SecAggError,
    SeptumError,
    StorageError,
    TensorError,
    TimedOutError,
)
from septum.protocol.codec import encode
from septum.protocol.messages import (
    INLINE_LIMIT_BYTES,
    MAX_REASON_CHARS,
    Agree,
    Barrier,
    Blob,
    End,
    Evaluate,
    Failure,
    Instruction,
    Join,
    Masked,
    Outcome,
    Prepare,
    Report,
    Result,
    SiloMessage,
    Train,
    Unmask,
)
from septum.protocol.plan import digest_of
from septum.protocol.silo import Event, Instructed, Job, Reconnected, Rejected
from septum.silo.taking_part import Part, Stopwatch

AUTH_PAUSE_S = 60.0  # a person has to act first


class Talk:
    """What is said in one run."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._tools = part.tools
        self._files = part.files
        self._log = part.log
        self._failures = 0  # of the line, one after another
        self._told: tuple[Job | None, Mapping[str, float]] = (None, {})  # how long the newest work took

    def is_heard(self) -> None:
        """The coordinator answers: the next pause is a short one again."""
        self._failures = 0

    def say(self, message: SiloMessage) -> Event:
        """Say it; what the coordinator answers, or what comes of that it does not."""
        try:
            if isinstance(message, Result):
                message = self._with_payload(message)
            if isinstance(message, Join):
                message = replace(message, dataset=self._dataset)
            answer = self._tools.channel.exchange(self._part.state.run, message)
        except (ConnectionFailedError, TimedOutError, StorageError, AuthError) as error:
            self.pause(error)
            return Reconnected()
        except NotFoundError as error:
            if isinstance(message, Result):  # a payload that was lost there: the work is asked for again
                return self._rejected(error)
            return Instructed(End(Outcome.STOPPED, f"the coordinator does not know this run: {error.message}"[:500]))
        except SeptumError as error:
            return self._rejected(error)
        if self._failures:
            self._log.info("connected")
        self.is_heard()
        if self._part.masked is not None and isinstance(answer, Prepare | Train | Evaluate):
            self._part.masked.asked(answer)
        self._note(message, answer)
        return Instructed(answer)

    @property
    def _dataset(self) -> str:
        """Under which name this run's rows are told, where they may be; empty otherwise."""
        alias, granted = self._tools.alias, self._part.granted
        return "" if alias is None or self._part.accounted or granted is None else alias(granted.table.digest)

    def answer(self, asked: Barrier) -> SiloMessage:
        """What is said in a step of a masked attempt; why not, if it is not to be."""
        try:
            if self._part.masked is None:
                raise SecAggError("this silo takes no part in masked runs")
            answer = self._part.masked.answer(asked)
        except SeptumError as error:
            self._log.error("not_exchanged", error=error.message, hint=error.hint, **_evidence(asked))
            told = error.message
            if not (isinstance(error, SecAggError) or self._part.tells):  # of its own files, say
                told = "this silo cannot take part in a masked sum now, and keeps the reason to itself"
            return Failure(asked.stage, asked.round, asked.attempt, told[:MAX_REASON_CHARS])
        if isinstance(asked, Agree | Unmask):
            event = "sum_signed" if isinstance(asked, Agree) else "shares_revealed"
            self._log.info(event, **_where(asked), **self._part.masked.logged(asked))
        return answer

    def _with_payload(self, result: Result) -> Result | Failure:
        """The result as it leaves: masked if the run is. Small payloads are inside, large ones go ahead of it."""
        assert self._part.state.held is not None
        own, path = Stopwatch(result.durations_s), self._files.held(self._part.state.held.job.name)
        if isinstance(result, Masked):
            try:
                result = own.time("protect", self._mask, result, path)
            except FileNotFoundError as error:  # lost here: the work is done again, as in a run without masks
                raise NotFoundError(f"the kept result of {self._part.state.held.job.name} cannot be read") from error
            except (SecAggError, TensorError, OSError) as error:
                return self._not_masked(result, error)
            path = self._files.masked(self._part.state.held.job.name)
        blob = result.payload
        if (
            blob.inline is None and blob.size_bytes <= INLINE_LIMIT_BYTES
        ):  # a worker may write a file though it need not
            result = replace(result, payload=Blob(blob.digest, blob.size_bytes, _read(path)))
        elif blob.inline is None:
            own.time("send", self._tools.channel.send_blob, self._part.state.run, blob.digest, path)
        if self._part.accounted:
            return result
        if self._told[0] != self._part.state.held.job:  # what is said again is said in the same bytes
            self._told = (self._part.state.held.job, own.seconds)
        return replace(result, durations_s=self._told[1])

    def _mask(self, result: Masked, path: Path) -> Masked:
        held = self._part.state.held
        assert held is not None
        if self._part.masked is None:
            raise SecAggError("this silo takes no part in masked runs")
        plain = path if result.payload.inline is None else result.payload.inline
        return self._part.masked.protect(result, plain, held.weight, self._files.masked(held.job.name))

    def _not_masked(self, result: Masked, error: Exception) -> Failure:
        """Such a reason can tell a number of this silo's, as how many rows it has."""
        told = error.message if isinstance(error, SeptumError) else str(error)
        hint = error.hint if isinstance(error, SeptumError) else f"df -h {self._files.folder}"
        self._log.error("not_masked", stage=result.stage.value, round=result.round, error=told, hint=hint)
        if not self._part.tells:
            told = "the result could not be masked in this silo, which keeps the reason to itself"
        return Failure(result.stage, result.round, result.attempt, told[:MAX_REASON_CHARS])

    def _note(self, message: SiloMessage, answer: Instruction) -> None:
        match message:
            case Report(stage, round_, attempt) | Masked(stage, round_, attempt):
                told = type(answer).__name__.lower()
                self._log.info("reported", stage=stage.value, round=round_, attempt=attempt, answer=told)
                self._trace(message, message.durations_s)
            case Failure():
                self._trace(message, {}, "it could not be done")
            case Join():
                self._log.info("joined")
            case _:
                pass

    def _trace(self, said: Report | Masked | Failure, durations_s: Mapping[str, float], problem: str = "") -> None:
        asked, self._part.asked = self._part.asked, None
        if self._tools.traces is not None and asked is not None:
            where = (said.stage, said.round, said.attempt)
            self._tools.traces.worked(self._part.state.run, asked, where, durations_s, problem)

    def _rejected(self, error: SeptumError) -> Rejected:
        self._log.error("refused_by_coordinator", error=error.message, hint=error.hint)
        self.wait(error)
        return Rejected(error.message)

    def pause(self, error: SeptumError) -> None:
        """Nothing was said: wait until it is worth trying again."""
        if isinstance(error, AuthError):
            self._log.error("not_accepted", error=error.message, hint=error.hint)
            self._tools.stop.wait(AUTH_PAUSE_S)
            return
        if not self._tools.stop.is_set():
            self._log.warning("disconnected", error=error.message)
        self.wait(error)

    def wait(self, error: SeptumError) -> None:
        """Each time longer, until the coordinator is heard again."""
        self._failures = attempt_of(error, self._failures)
        self._tools.stop.wait(pause_after(error, self._failures, self._tools.rand))
        self._failures += 1


def _evidence(asked: Barrier) -> dict[str, object]:
    """What a silo can say of a request that it refused. All get the same one: another digest is another request."""
    return {"step": type(asked).__name__, **_where(asked), "asked": digest_of(encode(asked))}


def _where(asked: Barrier) -> dict[str, object]:
    return {"stage": asked.stage.value, "round": asked.round, "attempt": asked.attempt}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"the kept payload {path} cannot be read: {error.strerror}") from error
