"""What does the coordinator get to see of a silo while it works? Logs and load, each told by a thread of its own.

The policy decides: `logs` and `system_every_s`. With neither no thread is started.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from septum.adapters.machine_use import MachineUse
from septum.protocol.log_lines import LogBatch, app_may_tell
from septum.protocol.plan import Plan
from septum.protocol.silo import Denied
from septum.protocol.system import SystemReport
from septum.silo.admission import is_accounted
from septum.silo.consent import ApprovedApp, Granted
from septum.silo.health import Health
from septum.silo.log import Log
from septum.silo.log_outbox import LogOutbox
from septum.silo.log_shipping import LogShipping
from septum.silo.policy import LogsLeave, Policy
from septum.silo.system_telling import SystemTelling
from septum.silo.taking_part import StopSignal

LOGS = "logs"  # as [leaves] of an app names it


class Line(Protocol):
    """What of the line to the coordinator this needs."""

    def tell_log(self, run: str, batch: LogBatch) -> None:
        """Tell lines of a run's log."""

    def tell_system(self, report: SystemReport) -> None:
        """Tell how busy this machine is."""


class Telling:
    """Logs and load of one agent. Make it first: its `log` is the one whose lines leave.

    health  counts the lines of the log, too; None where nobody wants to know
    """

    def __init__(self, policy: Policy, log: Log, health: Health | None = None) -> None:
        self._policy = policy
        self._outbox = LogOutbox(os.urandom(8).hex(), time.time, time.monotonic)
        self._accounted: set[str] = set()
        self._lock = threading.Lock()
        heard = None if policy.logs is LogsLeave.NONE else self._outbox.agent
        self.log = log.heard_by(health.hearing(heard) if health else heard)

    def heard(self, run: str, chunk: bytes) -> None:
        """The app of a run has printed something."""
        self._outbox.app(run, chunk)

    def admitted(self, run: str, plan: Plan, decision: Granted | Denied) -> None:
        """What was decided of a run; before any code of its app runs."""
        if isinstance(decision, Denied):
            return
        with self._lock:
            if is_accounted(plan):
                self._accounted.add(run)
        self._outbox.begin(run, app=app_leaves(self._policy, decision.app, plan), exact=not is_accounted(plan))

    def start(self, line: Line, folder: Path, serving: Callable[[], tuple[str, ...]], stop: StopSignal) -> None:
        """Start the threads. `folder`: on whose file system the disk is looked at."""
        if self._policy.logs is not LogsLeave.NONE:
            shipping = LogShipping(self._outbox, line.tell_log, stop, self.log, random.SystemRandom().random)
            threading.Thread(target=shipping.serve, name="logs", daemon=True).start()
        if self._policy.tells_system:
            machine = MachineUse(folder)
            system = SystemTelling(
                lambda: machine.read(time.monotonic()),
                machine.sizes_mb,
                line.tell_system,
                self.log,
                serving=lambda: bool(serving()),
                hidden=lambda: self._hides(serving),
            )
            threading.Thread(target=self._look, args=(system, stop), name="system", daemon=True).start()

    def _hides(self, serving: Callable[[], tuple[str, ...]]) -> bool:
        with self._lock:  # whatever is in the set was served when it came there
            self._accounted &= set(serving())
            return bool(self._accounted)

    def _look(self, system: SystemTelling, stop: StopSignal) -> None:
        while not stop.is_set():
            try:
                system.look(time.time())
            except Exception as error:  # noqa: BLE001  a driver loop: logged, and tried again
                self.log.warning("system_not_seen", error=str(error))
            stop.wait(self._policy.system_every_s)


def app_leaves(policy: Policy, app: ApprovedApp, plan: Plan) -> bool:
    """Whether what the app prints in a run leaves: the steward, the app's manifest and the run all have to allow it."""
    return policy.logs is LogsLeave.APP and LOGS in app.leaves and app_may_tell(plan)
