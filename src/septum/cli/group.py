"""Which commands are there about groups of silos?"""

from __future__ import annotations

from typing import Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("group", "Groups of silos: what projects run over.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The group's name, such as cardiology.")]
SiloNames = Annotated[list[str], typer.Argument(metavar="SILO...", help="Silos, by name.")]


@command(app, "create", remote=True)
def create(
    call: Invocation,
    name: Name,
    silos: Annotated[list[str] | None, typer.Argument(metavar="[SILO...]", help="The first silos in it.")] = None,
    open_to: Annotated[
        str, typer.Option("--open-to", metavar="ORG", help="Silos of this organisation join when they enrol.")
    ] = "",
) -> Answer:
    """Make a group of silos."""
    from septum.cli import project_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return project_views.group(client.groups.add(name, tuple(silos or ()), open_to))


@command(app, "list", remote=True)
def list_(call: Invocation) -> Answer:
    """List the groups that you may see."""
    from septum.cli import project_views

    with call.client() as client:
        return project_views.groups(client.groups.all())


@command(app, "show", remote=True)
def show(call: Invocation, name: Name) -> Answer:
    """Show a group and its silos."""
    from septum.cli import project_views

    with call.client() as client:
        return project_views.group(client.groups.get(name))


@command(app, "add", remote=True)
def add(call: Invocation, name: Name, silos: SiloNames) -> Answer:
    """Take silos into a group. Those that are in it stay."""
    from septum.cli import project_views

    with call.client() as client:
        return project_views.group([client.groups.put(name, silo) for silo in silos][-1])


@command(app, "remove", remote=True)
def remove(call: Invocation, name: Name, silos: SiloNames) -> Answer:
    """Take silos out of a group. Runs that they take part in go on."""
    from septum.cli import project_views

    with call.client() as client:
        return project_views.group([client.groups.drop(name, silo) for silo in silos][-1])


@command(app, "delete", remote=True)
def delete(call: Invocation, name: Name) -> Answer:
    """Forget a group that no project has. Its silos stay what they are."""
    with call.client() as client:
        client.groups.remove(name)
    return Answer({"group": name, "status": "deleted"}, (f"group {name} is deleted",))
