"""What does a silo's agent do all day? It asks for runs, decides by the silo's policy, and serves each in a thread.

Nothing that happens in a run ends the agent, and it goes on asking while the coordinator is away. When it is started
again it takes up the runs whose sessions are on disk. When it is told to end, it takes its leave from each run, so that
the others need not wait for a deadline, and ends its workers; what was trained and not yet reported is kept.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from septum.adapters.channel.backoff import attempt_of, pause_after
from septum.errors import AuthError, MessageError, SeptumError
from septum.protocol.messages import Invitation, Outcome
from septum.protocol.plan import Plan
from septum.protocol.resources import NOTHING, Capacity, fits, lacking, load_of
from septum.protocol.silo import Denied, SiloPhase, SiloRun
from septum.silo.consent import Granted
from septum.silo.run_files import RunFiles
from septum.silo.session import Session
from septum.silo.stance import Stance, denied
from septum.silo.taking_part import Tools, private_query, private_run
from septum.silo.talking import AUTH_PAUSE_S

PAUSED_S = 1.0  # how soon a silo that is paused sees that it is to go on
ASK_AFTER_S = 5.0  # what a silo does for a run is worth so much before it asks whether anybody waits for it
ASK_EVERY_S = 5.0  # how often it asks again,
ASK_SELDOM_S = 20.0  # and how often
SELDOM_AFTER_S = 60.0  # after so long: a thousand silos may do so
ROOM_S = 20.0  # how long a run waits here for room before the coordinator is asked again
LEAVE_S = 5.0  # for all runs together; a coordinator that is away notices without it
KEEP_STOPPED_S = 30 * 86_400.0  # how long a stopped run can be resumed from what the silo kept
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")  # it becomes a folder's name


@dataclass(frozen=True, slots=True)
class Hooks:
    """What an agent calls besides.

    ended   the thread of a run is through, with nothing of the run at work any more
    tell    before each question for runs: tells the coordinator what it does not know of this silo
    stance  what the silo's steward says now
    over    which of these runs nobody waits for any more, as the coordinator says
    """

    ended: Callable[[], object] = lambda: None
    tell: Callable[[], object] = lambda: None
    stance: Callable[[], Stance] = Stance
    over: Callable[[Sequence[str]], Sequence[str]] = lambda serving: ()  # noqa: ARG005


class Agent:
    """One silo's agent. `serve` until the stop signal; `shut_down` from another thread gives it.

    `heed`, now and then from another thread, lets it leave runs as its steward said meanwhile.
    """

    def __init__(
        self,
        silo: str,
        admit: Callable[[str, Plan, Path], Granted | Denied],
        runs_dir: Path,
        capacity: Capacity,
        tools: Tools,
        hooks: Hooks | None = None,
    ) -> None:
        self._silo = silo
        self._admit = admit
        self._runs_dir = runs_dir
        self._capacity = capacity
        self._tools = tools
        self._hooks = hooks or Hooks()
        self._asked_at = -math.inf  # monotonic clock: when it was asked what is over
        self._away = False  # there may be runs on the disk that were left for a while
        self._log = tools.log
        self._stop = tools.stop
        self._changed = threading.Condition()
        self._serving: dict[str, tuple[Session, threading.Thread]] = {}

    @property
    def serving(self) -> tuple[str, ...]:
        """The runs that it takes part in now."""
        with self._changed:
            return tuple(sorted(self._serving))

    def serve(self) -> None:
        """Ask for runs and serve them, until `shut_down`."""
        self._runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._resume()
        failures = 0
        while not self._stop.is_set():
            try:
                self._hooks.tell()
                if self._hooks.stance().paused:
                    self._stop.wait(PAUSED_S)
                    continue
                if self._away:
                    self._resume()
                self._wait_for_room()
                answer = self._tools.channel.poll(self.serving)
                failures = 0
                if isinstance(answer, Invitation):
                    self._invited(answer)
            except AuthError as error:
                self._log.error("not_accepted", error=error.message, hint=error.hint)
                self._stop.wait(AUTH_PAUSE_S)
            except SeptumError as error:
                if not self._stop.is_set():
                    self._log.warning("poll_failed", error=error.message, hint=error.hint)
                failures = attempt_of(error, failures)
                self._stop.wait(pause_after(error, failures, self._tools.rand))
                failures += 1
            except Exception as error:  # noqa: BLE001  the agent's driver loop: logged, and tried again
                self._log.exception("agent_failed", error)
                self._stop.wait(pause_after(SeptumError("agent failed"), failures, self._tools.rand))
                failures += 1

    def heed(self) -> None:
        """Leave the runs that the steward has said to leave, for good or while the silo is paused."""
        stance = self._hooks.stance()
        with self._changed:
            serving = [(run, session) for run, (session, _) in self._serving.items()]
        for run, session in serving:
            refused = denied(run, stance)
            if refused is not None:
                session.withdraw(refused.reason, refused)
            elif stance.paused and stance.leave:
                self._away = True
                session.withdraw(f"this silo is paused{stance.reason and ': '}{stance.reason}")

    def break_off(self) -> None:
        """Break off what has been done for a while in runs that are over: a report alone would have told so.

        Raises what asking the coordinator raises; it is to be called again and again, from one thread.
        """
        with self._changed:
            working = {run: session for run, (session, _) in self._serving.items() if session.working_s > ASK_AFTER_S}
        newest_s = min((session.working_s for session in working.values()), default=0.0)
        pause_s = ASK_EVERY_S if newest_s < SELDOM_AFTER_S else ASK_SELDOM_S
        if working and time.monotonic() - self._asked_at >= pause_s:
            self._asked_at = time.monotonic()
            for run in self._hooks.over(sorted(working)):
                if run in working:
                    working[run].recall()

    def shut_down(self) -> None:
        """End: break off what is under way, take leave, and wait for the threads. Returns within some seconds."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
            serving = list(self._serving.values())
        for session, _ in serving:
            session.interrupt()
        leaving = [
            threading.Thread(target=session.leave, args=("the silo's agent is ending",), daemon=True)
            for session, _ in serving
        ]
        deadline = time.monotonic() + LEAVE_S
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._tools.channel.close()
        for _, thread in serving:
            thread.join(LEAVE_S)
        if self._tools.traces is not None:
            self._tools.traces.close()
        self._log.info("agent_ended")

    def _resume(self) -> None:
        """Take up the runs whose sessions are on disk; forget those that were stopped long ago.

        A silo that is paused and has left its runs takes them up when it resumes.
        """
        stance = self._hooks.stance()
        self._away = stance.paused and stance.leave
        for folder in sorted(self._runs_dir.iterdir()):
            files = RunFiles(folder)
            state = self._load(files)
            if state is None or state.run in self.serving:
                continue
            if self._away and state.phase is SiloPhase.ACTIVE and not denied(state.run, stance):
                continue
            if state.phase is not SiloPhase.ENDED:
                self._log.info("run_resumed", run_id=state.run)
                self._start(files, state)
                continue
            self._settle(files, state)
            if state.outcome is Outcome.FINISHED or time.time() - folder.stat().st_mtime > KEEP_STOPPED_S:
                files.remove()

    def _settle(self, files: RunFiles, state: SiloRun) -> None:
        """Give back what a run reserved of privacy and did not use, if the agent was killed before it did."""
        log = self._log.bind(run_id=state.run)
        for account in (private_run(self._tools, state, files, log), private_query(self._tools, state, files, log)):
            if account is not None:
                account.settle()

    def _load(self, files: RunFiles) -> SiloRun | None:
        try:
            return files.load()
        except MessageError as error:
            self._log.error("session_unreadable", run_id=files.folder.name, error=error.message)
            return None

    def _invited(self, invitation: Invitation) -> None:
        run, plan = invitation.run, invitation.plan
        if not _RUN_ID.fullmatch(run):
            raise MessageError(f"{run[:80]!r} is no name for a run")
        if run in self.serving:
            return  # the poll was under way when the run was taken up
        if self._hooks.stance().paused:
            self._log.info("not_begun", run_id=run, reason="this silo is paused")
            return  # it was paused while the poll was under way
        if not self._has_room_for(plan):  # the coordinator reckons as well; here is where it counts
            self._log.info("not_begun", run_id=run, reason="this silo has no room for it now")
            return
        files = RunFiles(self._runs_dir / run)
        kept = self._load(files)
        if kept is None or kept.plan != plan:
            files.remove()
            kept = SiloRun(run, self._silo, plan)
        if kept.phase is not SiloPhase.ACTIVE:  # else the silo had left it for a while
            for rows in (files.table, files.rows):  # a run that is begun or resumed reads the rows as they are now
                rows.unlink(missing_ok=True)
        self._start(files, kept)

    def _start(self, files: RunFiles, state: SiloRun) -> None:
        session = Session(self._tools, files, state, partial(self._admit, state.run, state.plan, files.table))
        thread = threading.Thread(target=self._serve_one, args=(session,), name=f"run {state.run}", daemon=True)
        with self._changed:
            self._serving[state.run] = (session, thread)
            thread.start()  # whoever ends the agent waits for a thread that has begun

    def _serve_one(self, session: Session) -> None:
        """A run's thread. An error that nobody foresaw does not end the run here: its session is tried again."""
        failures = 0
        while not self._stop.is_set():
            try:
                session.serve()
                self._hooks.ended()
                break
            except Exception as error:  # noqa: BLE001  a run's driver loop: logged, and tried again
                self._log.exception("session_failed", error, run_id=session.state.run)
                self._stop.wait(pause_after(SeptumError("session failed"), failures, self._tools.rand))
                failures += 1
        with self._changed:
            del self._serving[session.state.run]
            self._changed.notify_all()

    def _wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_set() or len(self._serving) < self._capacity.runs)

    def _has_room_for(self, plan: Plan) -> bool:
        """Whether a run fits beside those that are served, at once or after a while. One that never fits is refused."""
        needs = plan.resources or NOTHING
        if lacking(needs, self._capacity):
            return True
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_set() or self._fits(plan), ROOM_S)
            return not self._stop.is_set() and self._fits(plan)

    def _fits(self, plan: Plan) -> bool:
        served = (session.state.plan.resources or NOTHING for session, _ in self._serving.values())
        return fits(plan.resources or NOTHING, self._capacity, load_of(served))
