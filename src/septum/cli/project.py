"""Which commands are there about projects?"""

from __future__ import annotations

from typing import Annotated

import typer

from septum.cli import options
from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("project", "Projects: what runs belong to, over the silos of a group.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The project's name, such as sepsis.")]


@command(app, "create", remote=True)
def create(
    call: Invocation,
    name: Name,
    group: Annotated[str, typer.Option("--group", metavar="GROUP", help="The group whose silos its runs may ask.")],
    description: Annotated[str, typer.Option("--description", help="What it is about.")] = "",
    org: Annotated[
        str, typer.Option("--org", metavar="A,B", help="The organisations that own it; roles over them hold for it.")
    ] = "default",
) -> Answer:
    """Make a project over a group of silos."""
    from septum.cli import project_views  # protocol: blake3, which `--help` does not load
    from septum.protocol.project_views import NewProject

    with call.client() as client:
        wanted = NewProject(name, group, description, options.names(org))
        return project_views.project(client.projects.add(wanted))


@command(app, "list", remote=True)
def list_(call: Invocation) -> Answer:
    """List the projects that you may see."""
    from septum.cli import project_views

    with call.client() as client:
        return project_views.projects(client.projects.all())


@command(app, "show", remote=True)
def show(call: Invocation, name: Name) -> Answer:
    """Show a project, and which silos its runs may ask."""
    from septum.cli import project_views

    with call.client() as client:
        return project_views.project(client.projects.get(name))


@command(app, "close", remote=True)
def close(call: Invocation, name: Name) -> Answer:
    """Let a project take no new runs. Those that it has go on, and stay."""
    from septum.cli import project_views

    with call.client() as client:
        return project_views.project(client.projects.close(name))
