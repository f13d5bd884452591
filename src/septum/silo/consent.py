"""Does this silo take part in a run? Decided here, from the silo's own policy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from septum.errors import did_you_mean
from septum.protocol.plan import Plan
from septum.protocol.silo import Denied
from septum.silo.config import AppSettings, Policy


@dataclass(frozen=True, slots=True)
class ApprovedApp:
    """An app with the digest that counts as approved."""

    settings: AppSettings
    digest: str


@dataclass(frozen=True, slots=True)
class Granted:
    """The silo takes part, with this app."""

    app: ApprovedApp


def consider(policy: Policy, apps: Mapping[str, ApprovedApp], plan: Plan, silo: str) -> Granted | Denied:
    """What the policy says of a plan. A denial names the first rule that forbids it, as the key in `silo.toml`.

    Hyper-parameters are checked by the app itself, in the worker.

    >>> from septum.protocol.plan import AppRef
    >>> consider(Policy(), {}, Plan("p", AppRef("a", "1", "sha256:0"), {}, ("n", "s"), 1), "n").rule
    'apps'
    """
    if silo not in plan.silos:
        return Denied("silo.name", f"the plan is for {', '.join(plan.silos)}, this silo is {silo}")
    app = apps.get(plan.app.name)
    if app is None:
        known = did_you_mean(plan.app.name, apps) if apps else "it has none"
        return Denied("apps", f"this silo has no app {plan.app.name!r}; {known}")
    if plan.app.digest != app.digest:
        return Denied(
            f"apps.{plan.app.name}.digest",
            f"the plan's app {plan.app.name} {plan.app.version} has the digest {plan.app.digest}, "
            f"approved here is {app.digest}",
        )
    if plan.quorum < policy.min_cohort:
        return Denied(
            "policy.min_cohort",
            f"a round of this run counts with {plan.quorum} of {len(plan.silos)} silos, "
            f"this silo asks for at least {policy.min_cohort}",
        )
    if policy.max_rounds is not None and plan.rounds > policy.max_rounds:
        return Denied("policy.max_rounds", f"{plan.rounds} rounds, at most {policy.max_rounds} are allowed here")
    if policy.strategies is not None and plan.strategy.name not in policy.strategies:
        allowed = ", ".join(policy.strategies) or "none"
        return Denied("policy.strategies", f"strategy {plan.strategy.name!r}, allowed here: {allowed}")
    return Granted(app)
