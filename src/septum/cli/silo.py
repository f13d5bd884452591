"""Which commands are there about silos?"""

from __future__ import annotations

from typing import Annotated

import typer

from septum.cli.access import resolve_access
from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("silo", "Bring silos in, and run one beside its data.")

SiloName = Annotated[str, typer.Argument(metavar="NAME", help="The silo's name, such as st-marys.")]


@command(app, "list", remote=True)
def list_(call: Invocation) -> Answer:
    """List the coordinator's silos: invited, online, offline or revoked."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return views.silos(client.silos())


@command(app, "invite", remote=True)
def invite(call: Invocation, name: SiloName) -> Answer:
    """Make a one-time token by which a silo enrols, and print the command to paste there."""
    from septum.cli import views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return views.invitation(client.invite(name), resolve_access(call.access).url)


@command(app, "revoke", remote=True)
def revoke(call: Invocation, name: SiloName) -> Answer:
    """Refuse a silo's requests from now on."""
    with call.client() as client:
        client.revoke(name)
    return Answer({"silo": name, "status": "revoked"}, (f"{name} is revoked: its requests are refused from now on",))
