"""`septum open`: how does one come from a shell, where one is signed in, into the console?"""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from septum.cli.access import resolve_access
from septum.cli.command import Invocation, command
from septum.cli.output import Answer, Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "open", remote=True)(open_)


def open_(
    call: Invocation,
    page: Annotated[str, typer.Argument(metavar="PAGE", help="The page, such as /runs.")] = "/",
    show: Annotated[bool, typer.Option("--print", help="Print the link, and open no browser.")] = False,
) -> Answer:
    """Open the web console in your browser, signed in as you are here. The link works once."""
    with call.client() as client:
        made = client.people.link()
    url = resolve_access(call.access).url.rstrip("/")
    link = f"{url}/enter#code={made.code}" + (f"&to={page}" if page != "/" else "")
    opened = not (show or call.output.json) and webbrowser.open(link)
    told: dict[str, Json] = {"link": link, "expires_at": made.expires_at, "opened": opened}
    return Answer(told, (f"opened {url} in your browser" if opened else link,))
