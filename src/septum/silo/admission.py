"""May a run be served here, and with what? The app, the rules, the rows, and a receipt: all before any code of the app.

A denial goes to the run's operator with the name of its rule; everything is in the silo's own log besides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from septum import __version__
from septum.errors import ConfigError, DataError, MissingExtraError, SeptumError
from septum.protocol.plan import AppRef, Plan
from septum.protocol.privacy import Mode
from septum.protocol.resources import NOTHING, Capacity, lacking
from septum.protocol.silo import Denied
from septum.silo.audit import SiloKind
from septum.silo.consent import ApprovedApp, Granted, consider, enough_rows
from septum.silo.log import Log
from septum.silo.policy import Policy
from septum.silo.receipts import Receipt, Receipts
from septum.silo.tables import Table

UNREADABLE = "the data of this silo cannot be used for this app; its own log says why"


class Library(Protocol):
    """The apps that may run here."""

    def find(self, app: AppRef) -> ApprovedApp | Denied:
        """The app that a plan names, if it is approved."""


@dataclass(frozen=True, slots=True)
class Admission:
    """How a silo admits runs.

    roster   whether these silos may train together, by the roster that is pinned here
    table    gives an app its rows, under a name of the run's own
    sandbox  the level of training processes
    withdrawn   whether the steward has left this run
    affordable  whether the privacy that a run asks for can be paid
    known       whether the coordinator's audit log is the one that this silo has seen; not asked of a run at work
    record      adds to the audit log: a kind of event, and what it is about
    capacity    what this silo gives to all runs together; None where it does not reckon
    """

    silo: str
    policy: Policy
    library: Library
    roster: Callable[[Plan], Denied | None]
    table: Callable[[ApprovedApp, Path], Table]
    receipts: Receipts
    sandbox: int
    log: Log
    unix: Callable[[], float] = time.time
    withdrawn: Callable[[str], Denied | None] = lambda run: None  # noqa: ARG005
    affordable: Callable[[Plan, ApprovedApp], Denied | None] = lambda plan, app: None  # noqa: ARG005
    capacity: Capacity | None = None
    known: Callable[[], Denied | None] = lambda: None
    record: Callable[..., object] = lambda kind, **about: None  # noqa: ARG005

    def admit(self, run: str, plan: Plan, kept: Path) -> Granted | Denied:
        """Whether the run is served.

        `kept`: where the run's own rows are kept, once it was let in: they stay the same until it ends, whatever
        becomes of the source and of the agent.

        Raises StorageError, ConnectionFailedError and TimedOutError: then it may be asked again.
        """
        decision = self._decide(run, plan, kept)
        about = {"run_id": run, "app": plan.app.name, "app_digest": plan.app.digest, "plan_digest": plan.digest}
        if isinstance(decision, Denied):
            self.log.warning("consent_denied", rule=decision.rule, reason=decision.reason, **about)
            self.record(SiloKind.RUN_REFUSED, run=run, app_digest=plan.app.digest, rule=decision.rule)
        else:
            self.log.info("consent_granted", dataset=decision.table.digest, rows=decision.table.rows, **about)
        return decision

    def _decide(self, run: str, plan: Plan, kept: Path) -> Granted | Denied:
        if self.silo not in plan.silos:
            return Denied("silo.name", f"the plan is for {', '.join(plan.silos)}, this silo is {self.silo}")
        denied = (
            self.withdrawn(run)
            or (None if kept.exists() else self.known())
            or self.roster(plan)
            or _too_much(self.capacity, plan)
        )
        if denied is not None:
            return denied
        app = self.library.find(plan.app)
        if isinstance(app, Denied):
            return app
        denied = consider(self.policy, app, plan, self.sandbox) or (
            None if kept.exists() else self.affordable(plan, app)  # of a run that was let in, all is reserved
        )
        if denied is not None:
            return denied
        let_in = self._let_in(run, kept)
        if let_in is not None:
            return Granted(app, let_in)
        try:
            table = self.table(app, kept)
        except (DataError, ConfigError, MissingExtraError) as error:
            tell_unusable(self.log.bind(run_id=run), plan.app.name, error)
            advice = f"; next, in silo {self.silo}: {error.hint}" if error.hint else ""
            tells = self.policy.send_error_texts and not is_accounted(plan)  # such a text counts rows
            return Denied("data", f"{error.message}{advice}"[:500] if tells else UNREADABLE)
        denied = enough_rows(self.policy, table.rows)
        if denied is not None:
            kept.unlink(missing_ok=True)
            return denied
        receipt = self._receipt(run, plan, app, table)
        self.receipts.add(receipt)
        self.record(
            SiloKind.DATA_OPENED,
            run=run,
            app=receipt.app,
            app_digest=app.digest,
            dataset=table.digest,
            rows=str(table.rows),
            columns=" ".join(sorted(app.columns)),
            policy=receipt.policy,
        )
        return Granted(app, table)

    def _let_in(self, run: str, kept: Path) -> Table | None:
        """The rows of a run that was let in before, by its receipt."""
        if not kept.exists():
            return None
        receipt = next((one for one in reversed(list(self.receipts.all())) if one.run == run), None)
        return None if receipt is None else Table(kept, receipt.rows, receipt.dataset)

    def _receipt(self, run: str, plan: Plan, app: ApprovedApp, table: Table) -> Receipt:
        return Receipt(
            at=self.unix(),
            run=run,
            plan_digest=plan.digest,
            app=f"{plan.app.name} {plan.app.version}",
            app_digest=app.digest,
            signers=app.signers,
            dataset=table.digest,
            rows=table.rows,
            policy=self.policy.digest,
            sandbox=self.sandbox,
            septum=__version__,
            privacy=_promised(plan),
        )


def _too_much(capacity: Capacity | None, plan: Plan) -> Denied | None:
    """Whether a plan takes more than this silo gives to all runs together, so that it could never begin here."""
    lacks = () if capacity is None else lacking(plan.resources or NOTHING, capacity)
    if not lacks:
        return None
    said = ", ".join(f"{lack.what} {lack.offered:g}, the run needs {lack.needed:g}" for lack in lacks)
    return Denied("capacity", f"this silo offers {said}")


def is_accounted(plan: Plan) -> bool:
    """Whether what a plan's run tells of rows is paid from the ledger, so that nothing else may tell of them."""
    return plan.privacy is not None or (plan.query is not None and plan.query.noise is not None)


def _promised(plan: Plan) -> str:
    """What a run promises of its privacy, in words."""
    wanted = plan.privacy
    if plan.query is not None and plan.query.noise is not None:
        noise = plan.query.noise
        return f"{Mode.RECORD.value}, statistics with noise, epsilon {noise.epsilon:g}, delta {noise.delta:g}"
    if wanted is None:
        return ""
    delta = "a tenth of 1 / rows" if wanted.delta is None else f"{wanted.delta:g}"
    return f"{wanted.mode.value}, {wanted.strength.value}, epsilon {wanted.target_epsilon:g} at most, delta {delta}"


def tell_unusable(log: Log, app: str, error: SeptumError) -> None:
    """Say in the silo's own log why an app has no data; all of it, for it stays here."""
    log.error("data_not_usable", app=app, error=error.message, hint=error.hint)
