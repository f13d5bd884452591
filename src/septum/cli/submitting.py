"""How is a run submitted, once, even when the connection breaks in the middle?"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli import views, watching
from septum.cli.app_store import chosen
from septum.cli.options import RunOptions
from septum.cli.planning import Described, described, described_package, load, make_plan
from septum.client.stream import Backoff
from septum.errors import ConfigError, ConnectionFailedError, NotFoundError, did_you_mean
from septum.protocol.priority import Priority
from septum.protocol.views import RunView, SiloStatus

if TYPE_CHECKING:
    from septum.cli.command import Invocation
    from septum.cli.output import Answer
    from septum.client import Client
    from septum.protocol.plan import Plan

PATIENCE_S = 30.0  # a coordinator that restarts is back within seconds


@dataclass(frozen=True, slots=True)
class Where:
    """Over which silos a run goes (all, if none is named), in which project, and how soon it begins."""

    silos: tuple[str, ...] = ()
    project: str = ""
    priority: Priority = Priority.NORMAL


def submit(call: Invocation, named: str, options: RunOptions, where: Where, *, key: str, watch: bool) -> Answer:
    """Submit a run of the app in a folder, or of a package that was pushed; with `watch`, follow it until it ends."""
    here = folder_named(named)
    if where.silos and here is not None:
        make_plan(here, where.silos, options)  # what is wrong on this side is said before the coordinator is asked
    with call.client() as client:
        app = here or app_named(client, named)
        plan = make_plan(app, where.silos or enrolled(client, where.project), options)
        view = send(client, plan, key or uuid.uuid4().hex, where.project, where.priority)
        if watch:
            call.output.note(f"run {view.id} submitted")
            return watching.watch(call.output, client, view.id)
    return views.run(view)


def priority_of(text: str) -> Priority:
    """The priority of that name. Raises ConfigError.

    >>> priority_of("high")
    <Priority.HIGH: 'high'>
    """
    known = [one.value for one in Priority]
    if text not in known:
        raise ConfigError(f"priority {text!r}: {did_you_mean(text, known)}", hint=f"one of {', '.join(known)}")
    return Priority(text)


def folder_named(named: str) -> Described | None:
    """The app in a folder that is named as one; None for any other name."""
    return described(load(Path(named))) if "/" in named else None


def app_named(client: Client, named: str) -> Described:
    """The package of that name, or else the folder; both are one too many."""
    folder, found = Path(named), client.apps()
    if folder.is_dir():
        with contextlib.suppress(NotFoundError):
            package = chosen(named, found)
            titled = f"{package.name}=={package.version}"
            raise ConfigError(
                f"{named!r} is a folder here and a package that was pushed ({titled})",
                hint=f"./{named} is the folder, {titled if named != titled else package.digest} the package",
            )
        return described(load(folder))
    view = chosen(named, found)
    return described_package(view.digest, client.app_description(view.digest), view.presets)


def send(
    client: Client,
    plan: Plan,
    key: str,
    project: str = "",
    priority: Priority = Priority.NORMAL,
    patience_s: float = PATIENCE_S,
) -> RunView:
    """Submit; after a broken connection again with the same key, which starts the run once."""
    client.health()  # a wrong URL or token is said at once, without patience
    backoff = Backoff(patience_s)
    while True:
        try:
            return client.submit(plan, key=key, project=project, priority=priority)
        except ConnectionFailedError:
            backoff.pause_or_raise()


def enrolled(client: Client, project: str = "") -> tuple[str, ...]:
    """The silos that could take part: all that have enrolled, or those of a project's group."""
    names = tuple(silo.name for silo in client.silos() if silo.status in (SiloStatus.ONLINE, SiloStatus.OFFLINE))
    if project:
        group = client.projects.get(project)
        names = tuple(name for name in names if name in group.silos)
        if not names:
            raise ConfigError(
                f"no silo of group {group.group!r} of project {project!r} has enrolled",
                hint=f"septum group show {group.group}; septum silo list",
            )
    if not names:
        raise ConfigError("no silo has enrolled with this coordinator", hint="septum silo invite NAME")
    return names
