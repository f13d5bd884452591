"""Which commands are there about organisations?"""

from __future__ import annotations

from typing import Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("org", "Organisations: the members of the federation, which own silos and people.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The organisation's name, such as st-marys.")]


@command(app, "list", remote=True)
def list_(call: Invocation) -> Answer:
    """List the organisations that you may see."""
    from septum.cli import people_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return people_views.organisations(client.people.organisations())


@command(app, "show", remote=True)
def show(call: Invocation, name: Name) -> Answer:
    """Show an organisation."""
    from septum.cli import people_views

    with call.client() as client:
        return people_views.organisation(client.people.organisation(name))


@command(app, "add", remote=True)
def add(
    call: Invocation,
    name: Name,
    title: Annotated[str, typer.Option("--title", help="How people call it; its name if left out.")] = "",
) -> Answer:
    """Take an organisation into the federation."""
    from septum.cli import people_views

    with call.client() as client:
        return people_views.organisation(client.people.add_organisation(name, title))


@command(app, "remove", remote=True)
def remove(call: Invocation, name: Name) -> Answer:
    """Remove an organisation that has neither silos nor people."""
    with call.client() as client:
        client.people.remove_organisation(name)
    return Answer({"organisation": name, "status": "removed"}, (f"organisation {name} is removed",))
