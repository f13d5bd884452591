"""Does this silo take part in a run? Decided here, from the silo's own policy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from septum.protocol.plan import Plan
from septum.protocol.privacy import Strength
from septum.protocol.silo import Denied
from septum.sdk import private_loss
from septum.sdk.contract import Column
from septum.sdk.private_loss import PrivateLoss
from septum.silo import query_rules
from septum.silo.datasets import Dataset
from septum.silo.policy import Policy
from septum.silo.tables import Table


@dataclass(frozen=True, slots=True)
class ApprovedApp:
    """An app that may run here.

    path      its folder, which the agent alone can change
    digest    what was approved, as plans name it: of the package, or of the folder
    tree      digest of the folder
    columns   its data contract
    leaves    what leaves the silo with it
    masked    what of that leaves only in sums under masks
    dataset   what it is trained on
    packaged  whether it came as a package; else it is a folder of this silo's
    signers   the keys that signed the package
    python    the interpreter of its own environment; None for the agent's
    paths     folders with its own dependencies
    trains    what septum trains by itself in a run with differential privacy; None: no such run
    private   patterns of the names of its parameters that never leave the silo
    """

    path: Path
    digest: str
    tree: str
    columns: Mapping[str, Column]
    leaves: tuple[str, ...]
    dataset: Dataset
    packaged: bool = False
    signers: tuple[str, ...] = ()
    python: Path | None = None
    paths: tuple[Path, ...] = ()
    trains: PrivateLoss | None = None
    masked: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """The silo takes part, with this app and these rows."""

    app: ApprovedApp
    table: Table


def consider(policy: Policy, app: ApprovedApp, plan: Plan, sandbox: int) -> Denied | None:
    """The first rule that forbids a plan, as the key in `silo.toml`; None if none does.

    A plan that asks for statistics runs no code of the app: it has rules of its own, besides those about its silos.

    `sandbox`: the level that training processes have here. Hyper-parameters are checked by the app itself, in the
    worker; how many rows there are, once the data were read (`enough_rows`).
    """
    if plan.query is not None:
        name = plan.app.name
        asked = _of_origin(policy, app, name) or query_rules.of_query(policy, app.columns, name, plan.query)
        return asked or _of_cohort(policy, plan)
    return (
        of_app(policy, app, plan.app.name)
        or _of_plan(policy, plan)
        or _of_privacy(policy, app, plan)
        or _of_leaves(app, plan)
        or _of_private(app, plan)
        or _of_process(policy, sandbox)
    )


def enough_rows(policy: Policy, rows: int) -> Denied | None:
    """Whether a dataset is large enough, None if so. How many rows it has stays in the silo's own log.

    >>> enough_rows(Policy(min_rows=10), 9).rule
    'policy.min_rows'
    """
    if rows >= policy.min_rows:
        return None
    return Denied("policy.min_rows", f"the dataset has fewer rows than the {policy.min_rows} that this silo asks for")


def of_app(policy: Policy, app: ApprovedApp, name: str) -> Denied | None:
    """The first rule that an app itself breaks, whatever the run; None if none."""
    denied = _of_origin(policy, app, name)
    if denied is not None:
        return denied
    forbidden = [name for name in app.columns if policy.columns is not None and name not in policy.columns]
    if forbidden:
        return Denied("policy.columns", f"the app reads {', '.join(forbidden)}, which no app may read here")
    leaving = [name for name in app.leaves if policy.releases is not None and name not in policy.releases]
    if leaving:
        return Denied("policy.releases", f"with this app {', '.join(leaving)} would leave, which may not leave here")
    return None


def _of_origin(policy: Policy, app: ApprovedApp, name: str) -> Denied | None:
    """Whether an app may be from where it is: its contract, too, is only as good as that."""
    if not app.packaged and not policy.folders:
        return Denied("policy.folders", f"app {name!r} is a folder here, and only packages may run")
    if app.packaged and policy.require_signature and not app.signers:
        return Denied("policy.require_signature", f"nobody signed the package of {name} ({app.digest})")
    return None


def _of_leaves(app: ApprovedApp, plan: Plan) -> Denied | None:
    """The steward said yes to an app's own list, so it is a rule of the silo as well."""
    if plan.masking is not None or not app.masked:
        return None
    return Denied(
        "leaves.masked",
        f"this run would show the coordinator this silo's own {', '.join(app.masked)}, "
        "which leave with this app in masked sums alone",
    )


def _of_private(app: ApprovedApp, plan: Plan) -> Denied | None:
    """Whether a plan says of the app's private parameters what its manifest says, which was approved."""
    planned = () if plan.private is None else plan.private.parameters
    if planned == app.private:
        return None
    here, there = (", ".join(patterns) or "none" for patterns in (app.private, planned))
    return Denied(
        f"apps.{plan.app.name}.private",
        f"private parameters are {here} by the app's manifest that is approved here, {there} by the plan",
    )


def _of_process(policy: Policy, sandbox: int) -> Denied | None:
    if sandbox >= policy.min_sandbox:
        return None
    return Denied(
        "policy.min_sandbox",
        f"training processes have sandbox level {sandbox} here, this silo asks for {policy.min_sandbox}",
    )


def _of_privacy(policy: Policy, app: ApprovedApp, plan: Plan) -> Denied | None:
    """What a run with differential privacy may ask for, and whether one without may run."""
    wanted = plan.privacy
    if wanted is None:
        if policy.require_privacy:
            return Denied("policy.require_privacy", "this run is not differentially private")
        return None
    unfit = private_loss.unfit(plan.app.name, app.trains, attested=wanted.strength is Strength.ATTESTED)
    if unfit:
        return Denied("privacy", unfit)
    if wanted.strength is Strength.ATTESTED and policy.privacy_strength is Strength.ENFORCED:
        return Denied(
            "policy.privacy_strength",
            "in this run the app attests its differential privacy, and this silo asks for it to be enforced",
        )
    if wanted.target_epsilon > policy.max_epsilon:
        return Denied(
            "policy.max_epsilon",
            f"this run may cost epsilon {wanted.target_epsilon:g}, at most {policy.max_epsilon:g} is allowed here",
        )
    if wanted.delta is not None and wanted.delta > policy.max_delta:
        return Denied("policy.max_delta", f"a delta of {wanted.delta:g}, at most {policy.max_delta:g} is allowed here")
    return None


def _of_cohort(policy: Policy, plan: Plan) -> Denied | None:
    if plan.quorum < policy.min_cohort:
        return Denied(
            "policy.min_cohort",
            f"a round of this run counts with {plan.quorum} of {len(plan.silos)} silos, "
            f"this silo asks for at least {policy.min_cohort}",
        )
    return None


def _of_plan(policy: Policy, plan: Plan) -> Denied | None:
    denied = _of_cohort(policy, plan)
    if denied is not None:
        return denied
    if policy.require_masking and plan.masking is None:
        return Denied("policy.require_masking", "this run would show the coordinator what this silo alone sends")
    if plan.keep_silo_models and not policy.allow_silo_models:
        return Denied(
            "policy.allow_silo_models",
            "this run would keep this silo's own model of each round at the coordinator; submit it without "
            "--keep-silo-models, or its steward allows it in silo.toml (septum silo policy show)",
        )
    if policy.max_rounds is not None and plan.rounds > policy.max_rounds:
        return Denied("policy.max_rounds", f"{plan.rounds} rounds, at most {policy.max_rounds} are allowed here")
    if policy.strategies is not None and plan.strategy.name not in policy.strategies:
        allowed = ", ".join(policy.strategies) or "none"
        return Denied("policy.strategies", f"strategy {plan.strategy.name!r}, allowed here: {allowed}")
    return None
