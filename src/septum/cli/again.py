"""How is a run made from an earlier one: with changes, or exactly as it was to see whether the same comes out?"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from septum.cli import views, watching
from septum.cli.app_store import chosen
from septum.cli.options import RunOptions, pairs
from septum.cli.output import Answer
from septum.cli.planning import Described, check_inspectable, described_package, strategy_ref
from septum.cli.submitting import app_named, folder_named, send
from septum.errors import ConfigError, NotFoundError, RunFailedError
from septum.protocol.comparing import Parting, Why, course_of, parting
from septum.protocol.plan import AppRef, Plan, Private, Start
from septum.protocol.views import RunStatus, RunView
from septum.sdk.hyper import parse, resolve

if TYPE_CHECKING:
    from septum.cli.command import Invocation
    from septum.client import Client

_WHY = {
    Why.NOISE: "differential privacy draws new noise in every run; this is as it should be",
    Why.KEPT: "silos went on from private parameters that an earlier run had left them (--private continue)",
    Why.START: "the first model differs: a silo's data have changed, or the app's start is not its seed's alone",
    Why.TRAINING: "the first model is the same, and so are the silos: their libraries or processors may be others,"
    " rows may have changed that no statistics show, or the app draws numbers from more than `rng`",
    Why.UNENDED: "one of the two made fewer models",
    Why.APP: "what {silos} approved is another version of the app",
    Why.MISSING: "{silos} had no part in one of the two",
    Why.SILOS: "{silos} reported in one of the two runs alone",
    Why.DATA: "the rows of {silos} are others than they were",
    Why.MACHINE: "{silos} had another processor, system, Python or septum",
}


@dataclass(frozen=True, slots=True)
class Changes:
    """What a clone has otherwise than the run that it is made from; None and empty: as there."""

    overrides: tuple[str, ...] = ()
    rounds: int | None = None
    silos: tuple[str, ...] = ()
    quorum: int | None = None
    strategy: str = ""
    strategy_settings: tuple[str, ...] = ()
    deadline_s: float | None = None
    aggregator: str = ""
    name: str = ""


def clone(call: Invocation, run: str, named: str, changes: Changes, *, key: str, watch: bool) -> Answer:
    """Submit a run like another one, with changes, of the same app or of the one that is `named`."""
    with call.client() as client:
        old = client.plan(run)
        if old.query is not None:
            raise ConfigError(f"run {run} asks for statistics, and makes no model", hint="septum stats run")
        app = _app(client, old, named)
        project = client.run(run).project  # a run stays in the project of the one that it is like
        view = send(client, changed(old, app, changes), key or uuid.uuid4().hex, project)
        if watch:
            call.output.note(f"run {view.id} submitted")
            return watching.watch(call.output, client, view.id)
    return views.run(view)


def changed(old: Plan, app: Described, changes: Changes) -> Plan:
    """The old plan with the changes, checked as a new one is. Raises ConfigError."""
    if old.masking is None:
        check_inspectable(app)
    texts = pairs(changes.overrides, "--set")
    known = {field.name for field in app.fields}
    kept = {name: value for name, value in old.hyper.items() if name in known}
    given = {**kept, **parse(app.fields, texts, app.name)}
    if changes.rounds is not None:
        given["rounds"] = changes.rounds
    hyper = resolve(app.fields, given, app.name)
    silos = tuple(sorted(set(changes.silos))) or old.silos
    quorum = changes.quorum
    if quorum is None:  # all of the silos stays all of them
        quorum = 0 if old.quorum == len(old.silos) else old.quorum
    strategy = old.strategy
    if changes.strategy or changes.strategy_settings:
        wanted = changes.strategy or old.strategy.name
        strategy = strategy_ref(RunOptions(strategy=wanted, strategy_settings=changes.strategy_settings))
    return replace(
        old,
        name=changes.name or old.name,
        app=AppRef(app.name, app.version, app.digest),
        hyper=hyper,
        silos=silos,
        rounds=int(hyper["rounds"]),
        seed=int(hyper.get("seed", 0)),
        quorum=quorum,
        strategy=strategy,
        deadline_s=old.deadline_s if changes.deadline_s is None else changes.deadline_s,
        private=_private(old.private, app),
        aggregator=changes.aggregator or old.aggregator,
    )


def _private(old: Private | None, app: Described) -> Private | None:
    """What is each silo's own: as it was, with the parameters that the app's manifest names now."""
    personalise = old.personalise if old else 0
    if not app.private and not personalise:
        return None
    return Private(app.private, old.start if old and app.private else Start.FRESH, personalise)


def reproduce(call: Invocation, run: str, *, key: str) -> Answer:
    """Run the same plan again to its end. An error, with the reason, where another model comes out."""
    with call.client() as client:
        plan, old = client.plan(run), client.run(run)
        if plan.query is not None:
            raise ConfigError(f"run {run} asks for statistics, and makes no model", hint=f"septum stats show {run}")
        if old.status is not RunStatus.FINISHED:
            raise ConfigError(f"run {run} is {old.status.value}: only a finished run can be compared", hint=_CLONE)
        again = send(client, plan, key or uuid.uuid4().hex, old.project)
        call.output.note(f"run {again.id} submitted")
        new = watching.wait(call.output, client, again.id)
        courses = [course_of(entry.fact for entry in client.whole_journal(one)) for one in (run, again.id)]
    return reproduced(old, new, parting(plan, *courses))


_CLONE = "septum run clone RUN makes another run like it"


def reproduced(old: RunView, new: RunView, found: Parting | None) -> Answer:
    """Whether a repetition made the same model, and if not, why."""
    data = {
        "run": new.id,
        "of": old.id,
        "plan_digest": new.plan_digest,
        "model": new.model,
        "expected": old.model,
        "reproduced": found is None,
        "round": None if found is None else found.round,
        "reason": None if found is None else found.why.value,
        "silos": [] if found is None else list(found.silos),
    }
    lines = f"run       {new.id}, a repetition of {old.id}\nplan      {new.plan_digest}\nmodel     {new.model}"
    if found is None:
        return Answer(data, (f"{lines}\nthe same model, to the bit",))
    why = _WHY[found.why].format(silos=", ".join(found.silos))
    error = RunFailedError(
        f"run {new.id} made another model than {old.id}, from round {found.round} on: {why}",
        hint=f"septum run compare {old.id} {new.id}",
    )
    return Answer(data, (f"{lines}\nexpected  {old.model}",), error)


def _app(client: Client, old: Plan, named: str) -> Described:
    """The app that is named, or else the package that the old run was made of."""
    if named:
        return folder_named(named) or app_named(client, named)
    try:
        view = chosen(old.app.digest, client.apps())
    except NotFoundError:
        raise ConfigError(
            f"the app of this run, {old.app.name} {old.app.version}, was never pushed or has been removed",
            hint="name the app: septum run clone RUN --app ./FOLDER, or --app NAME==VERSION",
        ) from None
    return described_package(view.digest, client.app_description(view.digest), view.presets)
