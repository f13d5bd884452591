"""How does a silo take part in one run? The driver of the silo machine: step, persist, perform; one thread.

The machine (protocol/silo.py) decides; here is what it has done: messages over the channel (talking.py), work in the
worker (working.py), files. The state is on disk before anything is said or deleted, so an agent that was killed at any
point goes on where it was. Before work alone it need not be: training is a function, so work that nobody remembers is
done again, with one result.
"""

from __future__ import annotations

from collections.abc import Callable

from septum.errors import ConnectionFailedError, SeptumError, StorageError, TimedOutError
from septum.protocol.messages import Leave, Outcome
from septum.protocol.silo import (
    Consented,
    Denied,
    Do,
    Effect,
    Event,
    Exchange,
    Finish,
    Forget,
    Reconnected,
    Send,
    SiloPhase,
    SiloRun,
    WorkFailed,
    step,
)
from septum.silo.consent import Granted
from septum.silo.run_files import RunFiles
from septum.silo.taking_part import Tools, part_in
from septum.silo.talking import Talk
from septum.silo.working import Work


class Session:
    """One run, from consent to its end. `serve` in a thread of its own; `leave` and `interrupt` from another."""

    def __init__(self, tools: Tools, files: RunFiles, state: SiloRun, admit: Callable[[], Granted | Denied]) -> None:
        self._admit = admit
        self._tools = tools
        self._files = files
        self._part = part_in(tools, files, state)
        self._log = self._part.log
        self._talk = Talk(self._part)
        self._work = Work(self._part, self._talk.pause)
        self._denied: Denied | None = None

    @property
    def state(self) -> SiloRun:
        """Where the silo is in the run."""
        return self._part.state

    def serve(self) -> None:
        """Take part until the run ends, or the agent does."""
        self._files.make()
        event = self._admitted()
        try:
            while (event := self._heeded(event)) is not None and not self._tools.stop.is_set():
                state, effects = step(self._part.state, event)
                if any(isinstance(effect, Finish) and effect.outcome is Outcome.FINISHED for effect in effects):
                    granted = self._part.granted
                    self._part.own.keep(state, None if granted is None else granted.app)  # before it has ended
                if state != self._part.state:
                    if _to_be_saved(effects):
                        self._save(state)
                    self._part.state = state
                event = self._perform(effects)
        finally:
            self.interrupt()
            if self._part.leaving:  # what was on its way when it left would have brought it back
                self.leave(self._part.leaving)
            self._files.settle()

    def _heeded(self, event: Event | None) -> Event | None:
        """What the steward has said comes first: then the run is refused from now on, or nothing more is done.

        Work that was recalled is not done again before the coordinator was asked.
        """
        recalled, self._part.recalled = self._part.recalled, False
        if not self._part.leaving or event is None:
            return Reconnected() if recalled and isinstance(event, WorkFailed) else event
        refused, self._denied = self._denied, None
        return refused or (event if self._part.state.phase is SiloPhase.REFUSED else None)

    def _admitted(self) -> Event | None:
        """What the silo's rules say of the run, once that can be found out; None when the agent ends before."""
        while not self._tools.stop.is_set():
            try:
                consent = self._admit()
            except (StorageError, ConnectionFailedError, TimedOutError) as error:
                self._log.warning("not_admitted_yet", error=error.message, hint=error.hint)
                self._talk.wait(error)
                continue
            self._talk.is_heard()
            if isinstance(consent, Denied):
                return consent
            self._part.granted = consent
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
        if self._part.state.phase is not SiloPhase.ACTIVE:
            return
        try:
            self._tools.channel.exchange(self._part.state.run, Leave(reason))
            self._log.info("left", reason=reason)
        except SeptumError as error:
            self._log.warning("leave_failed", error=error.message)

    def withdraw(self, reason: str, refused: Denied | None = None) -> None:
        """Take no further part: for now, or with `refused` for good. It may be called again and again."""
        known = self._part.leaving
        if not known:
            self._denied, self._part.leaving = refused, reason
        self.interrupt()
        if not known:
            self.leave(reason)

    @property
    def working_s(self) -> float:
        """For how long it has been doing one piece of work; 0 while it does none."""
        return self._work.working_s

    def recall(self) -> None:
        """Nobody waits for what is being done, as the coordinator says: break it off, and ask."""
        self._log.info("recalled")
        self._part.recalled = True
        self.interrupt()

    def interrupt(self) -> None:
        """End the worker, also in the middle of a task."""
        self._work.interrupt()

    def _perform(self, effects: tuple[Effect, ...]) -> Event | None:
        """Do what the machine asks; what came of it. None when the silo's part is over."""
        for effect in effects:
            match effect:
                case Forget():
                    self._files.tidy(self._part.state)
                case Finish():
                    self._finish(effect)
                    return None
                case Do():
                    return self._work.do(effect)
                case Exchange(asked):
                    return self._talk.say(self._talk.answer(asked))
                case Send(message):
                    return self._talk.say(message)
        return Reconnected()  # nothing to do: ask what there is

    def _finish(self, effect: Finish) -> None:
        self._log.info("run_ended", outcome=effect.outcome.value, reason=effect.reason)
        if self._tools.tracking is not None:
            self._tools.tracking.ended(self._part.state.run, self._part.state.plan, effect.outcome)
        if self._tools.traces is not None:
            self._tools.traces.forget(self._part.state.run)
        self.interrupt()
        for account in (self._part.paid, self._part.noisy):
            if account is not None:
                account.settle()
        if not effect.keep:
            self._files.remove()


def _to_be_saved(effects: tuple[Effect, ...]) -> bool:
    """Whether what follows must not be undone by a kill: something is said, or files are deleted."""
    kinds = {type(effect) for effect in effects}
    return Forget in kinds or Do not in kinds
