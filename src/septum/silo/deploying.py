"""How does a deployed model come to predict in a silo? Its steward, its policy and its own test rows let it.

The agent asks what is deployed when it asks for runs, and works through it in a thread of its own. What is in use stays
in use until a newer model has passed the gate, the steward or the policy refuses its name, or the coordinator no longer
deploys it. All of it is on the disk before the coordinator is told; a killed agent goes on from there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from septum.errors import (
    AuthError,
    ConnectionFailedError,
    DigestError,
    NotFoundError,
    SeptumError,
    StorageError,
    TimedOutError,
)
from septum.ports.channel import EgressError
from septum.ports.orders import Orders
from septum.protocol.deploying import MAX_REASON_CHARS, DeploymentOrder, DeploymentOrders, DeployState, Told
from septum.protocol.facts import Metrics
from septum.protocol.plan import AppRef
from septum.protocol.silo import Denied
from septum.silo.consent import ApprovedApp, of_app
from septum.silo.deploy_rules import Accept, DeployRules, judge, told_metrics
from septum.silo.deployed import Deployed, DeployedModels, Held, Words
from septum.silo.gauge import Gauge, WrongModelError
from septum.silo.log import Log
from septum.silo.policy import Policy
from septum.silo.taking_part import minute_of_the_day

DAY_S = 86_400.0
LOOK_S = 30.0  # a silo that is paused, or has no room for runs, asks for none and looks so often
REFUSED_S = 60.0  # how soon an app is looked for again that might not run
HEED_S = 2.0  # how soon a steward's word about a name is heeded
UNMEASURED = "it could not be measured here; the log of this silo says why"
_PASSING = (AuthError, ConnectionFailedError, StorageError, TimedOutError)


@dataclass(frozen=True, slots=True)
class Deciding:
    """By what a silo decides about a deployment.

    find     the app that an order names, if it may run here; fetched if it is not here
    sandbox  the level of the processes that run apps
    minute   of the day, by the silo's own clock
    """

    rules: DeployRules
    policy: Policy
    find: Callable[[AppRef], ApprovedApp | Denied]
    sandbox: int
    minute: Callable[[], int] = minute_of_the_day

    def by_hours(self, order: DeploymentOrder) -> Held | None:
        """Whether this silo works for others now; None if so."""
        hours = self.policy.hours
        if hours is None or hours.hold(self.minute()):
            return None
        return _held(order, DeployState.WAITING, "policy.hours: this silo measures models within its hours")

    def by_name(self, order: DeploymentOrder, words: Words) -> Held | None:
        """What the steward's words and the rule `accept` say of a name; None where it is taken up."""
        if self.rules.accept is Accept.NONE:
            return _held(order, DeployState.REFUSED, "deploy.accept: this silo uses no deployed models")
        if order.name in words.refused:
            return _held(order, DeployState.REFUSED, "its steward has refused the name")
        if self.rules.accept is Accept.STEWARD and order.name not in words.accepted:
            return _held(order, DeployState.WAITING, "its steward has not accepted the name yet")
        return None

    def by_app(self, order: DeploymentOrder) -> ApprovedApp | Denied:
        """The app, if it may run here and is what the order says. Raises as the library does."""
        app = self.find(order.app)
        if isinstance(app, Denied):
            return app
        denied = of_app(self.policy, app, order.app.name)
        if denied is not None:
            return denied
        if self.sandbox < self.policy.min_sandbox:
            return Denied("policy.min_sandbox", "the sandbox level of this silo is below its own rule")
        if app.private != order.private:
            return Denied(f"apps.{order.app.name}.private", "the app's manifest here has other private parameters")
        return app


class Deploying:
    """Follows what is deployed. `wake` and `close` from any thread; `look` in one."""

    def __init__(
        self,
        orders: Orders,
        models: DeployedModels,
        deciding: Deciding,
        gauge: Gauge,
        log: Log,
        unix: Callable[[], float],
    ) -> None:
        self._orders = orders
        self._models = models
        self._deciding = deciding
        self._gauge = gauge
        self._log = log
        self._unix = unix
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._told: dict[str, Told] = {}
        self._heard_at = 0  # of the steward's words
        self._refused_at: dict[int, float] = {}  # deployments whose app might not run, by the clock
        self._complained = ""

    def serve(self) -> None:
        """Follow what is deployed, until `close`."""
        looked_at = time.monotonic()
        self._gauge.sweep()
        while not self._ending.is_set():
            asked = self._wake.wait(HEED_S)
            said_at = self._models.said_at()
            if not asked and said_at == self._heard_at and time.monotonic() - looked_at < LOOK_S:
                continue
            looked_at = time.monotonic()
            self._wake.clear()
            anew, self._heard_at = said_at != self._heard_at, said_at
            try:
                self.look(anew=anew)
            except Exception as error:  # noqa: BLE001  a driver loop: logged, and tried again
                self._log.exception("deployments_failed", error)

    def wake(self) -> None:
        """Ask now."""
        self._wake.set()

    def close(self) -> None:
        """End, and break off what is under way."""
        self._ending.set()
        self._gauge.close()
        self._wake.set()

    def look(self, *, anew: bool = False) -> None:
        """Ask once, and do what there is to do; `anew`: also what failed before, now that the steward has spoken."""
        try:
            orders = self._orders.deployments()
        except NotFoundError as error:  # a coordinator that is too old to know
            self._complain(error)
            return
        except _PASSING as error:
            self._complain(error)
            return
        try:
            self._follow(orders, anew=anew)
            self._complained = ""
        except _PASSING as error:
            self._complain(error)

    def _follow(self, orders: DeploymentOrders, *, anew: bool) -> None:
        self._models.make()
        state = self._models.state()
        gone = sorted(set(state.names) - {order.name for order in orders.items})
        if gone:
            state = replace(state, names={name: one for name, one in state.names.items() if name not in gone})
            self._models.save(state)
            self._log.info("deployments_ended", models=gone)
        words = self._models.words()
        for order in orders.items:
            if self._ending.is_set():
                return
            self._follow_one(order, words, anew=anew)
        self._models.sweep(self._models.state())

    def _follow_one(self, order: DeploymentOrder, words: Words, *, anew: bool) -> None:
        known = self._models.state().names.get(order.name)
        active = None if known is None else known.active
        said = self._deciding.by_name(order, words)
        if said is not None:
            self._settle(said, active=None if said.state is DeployState.REFUSED else active)
            return
        if known is not None and known.newest.order == order:
            there = self._models.path(order.model.digest).exists()
            done = known.newest.state is DeployState.ACTIVE and there
            if done or (known.newest.state is DeployState.FAILED and not anew):
                self._tell(known.newest)
                return
        if not anew and self._unix() - self._refused_at.get(order.deployment, -REFUSED_S) < REFUSED_S:
            if known is not None:
                self._tell(known.newest)
            return
        app = self._deciding.by_app(order)
        if isinstance(app, Denied):
            self._refused_at[order.deployment] = self._unix()
            self._settle(_held(order, DeployState.REFUSED, f"{app.rule}: {app.reason}"), active=active)
            return
        said = self._deciding.by_hours(order)
        if said is None and not self._may_measure():
            said = _held(order, DeployState.WAITING, "it has measured as many models today as its policy lets it")
        if said is not None:
            self._settle(said, active=active)
            return
        self._take_up(order, app, active)

    def _may_measure(self) -> bool:
        """Whether the day's measurements are not used up."""
        since = self._unix() - DAY_S
        recent = [at for at in self._models.state().measured if at > since]
        return len(recent) < self._deciding.rules.per_day

    def _note_measurement(self) -> None:
        """On the disk before anything is measured, so that a kill forgets none."""
        state, now = self._models.state(), self._unix()
        kept = tuple(at for at in state.measured if now - DAY_S < at <= now)
        self._models.save(replace(state, measured=(*kept, now)))

    def _take_up(self, order: DeploymentOrder, app: ApprovedApp, active: Held | None) -> None:
        """Fetch, measure, and use it if it passes."""
        path = self._models.path(order.model.digest)
        try:
            if not path.exists():
                self._orders.fetch_deployed(order, path)
            self._settle(_held(order, DeployState.PULLED), active=active)
            self._models.checked(order.model.digest)
            self._note_measurement()
            metrics = self._gauge.measure(order, app, path)
            before = None if active is None else self._measured(active)
        except _PASSING:
            raise  # it is tried again
        except EgressError as error:
            self._settle(_held(order, DeployState.REFUSED, error.message), active=active)
        except DigestError as error:
            path.unlink(missing_ok=True)
            self._fail(order, error, "the bytes that came are not the model", active)
        except WrongModelError as error:
            self._fail(order, error, error.message, active)
        except SeptumError as error:  # an app's own words can quote a row
            if not self._ending.is_set():
                self._fail(order, error, UNMEASURED, active)
        else:
            self._judge(order, metrics, before, active)

    def _judge(self, order: DeploymentOrder, metrics: Metrics, before: Metrics | None, active: Held | None) -> None:
        verdict = judge(self._deciding.rules, metrics, before)
        if not verdict.passed:
            held = replace(_held(order, DeployState.FAILED, verdict.said), why=verdict.why, metrics=metrics)
            self._settle(held, active=active)
            return
        held = replace(_held(order, DeployState.ACTIVE), why=verdict.why, metrics=metrics)
        self._settle(held, active=held)

    def _measured(self, active: Held) -> Metrics | None:
        """The model in use on today's rows; None where its app may not run any more."""
        if self._deciding.rules.not_worse_by is None:
            return None
        app = self._deciding.by_app(active.order)
        if isinstance(app, Denied):
            return None
        return self._gauge.measure(active.order, app, self._models.checked(active.order.model.digest))

    def _fail(self, order: DeploymentOrder, error: SeptumError, said: str, active: Held | None) -> None:
        why = f"{error.message}{error.hint and f'; {error.hint}'}"
        self._settle(replace(_held(order, DeployState.FAILED, said), why=why), active=active)

    def _settle(self, held: Held, *, active: Held | None) -> None:
        """Write down how far an order has got, then say so."""
        state = self._models.state()
        order, known = held.order, state.names.get(held.order.name)
        same = known is not None and replace(known.newest, at=0.0) == replace(held, at=0.0) and known.active == active
        if not same:
            held = replace(held, at=self._unix())
            if active is not None and active.order == order and held.state is DeployState.ACTIVE:
                active = held
            names = {**state.names, order.name: Deployed(held, active)}
            self._models.save(replace(state, names=dict(sorted(names.items()))))
            self._log.info("deployment", model=order.label, state=held.state.value, reason=held.reason, why=held.why)
        self._tell(held)

    def _tell(self, held: Held) -> None:
        """Say it, if it was not said yet; what fails is said at the next look."""
        metrics = told_metrics(self._deciding.rules, held.metrics) if held.metrics is not None else {}
        told = Told(held.order.deployment, held.state, _one_line(held.reason), metrics)
        if self._told.get(held.order.name) == told:
            return
        try:
            self._orders.tell_deployed(told)
        except NotFoundError:  # it is not meant for this silo any more: the next look shows it
            return
        except SeptumError as error:
            self._complain(error)
            return
        self._told[held.order.name] = told

    def _complain(self, error: SeptumError) -> None:
        """Log a problem, once each: it is tried again and again."""
        if error.message != self._complained:
            self._complained = error.message
            self._log.warning("deployments_not_followed", error=error.message, hint=error.hint)


def _held(order: DeploymentOrder, state: DeployState, reason: str = "") -> Held:
    return Held(order, state, 0.0, _one_line(reason))


def _one_line(text: str) -> str:
    plain = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in plain)[:MAX_REASON_CHARS]
