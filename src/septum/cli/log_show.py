"""Which command shows what silos tell of a run's log?"""

from __future__ import annotations

from typing import Annotated

import typer

from septum.cli.command import Invocation, command
from septum.cli.output import Answer
from septum.cli.run import RunId


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "show", remote=True)(show)


def show(
    call: Invocation,
    run: RunId,
    silo: Annotated[str, typer.Option("--silo", metavar="SILO", help="Only what this silo told.")] = "",
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="Only this level and above: debug, info, warning, error.")
    ] = "debug",
    origin: Annotated[
        str, typer.Option("--origin", metavar="WHO", help="Only what this one said: agent, or app.")
    ] = "",
    round_: Annotated[int | None, typer.Option("--round", min=0, help="Only lines of this round.")] = None,
    text: Annotated[str, typer.Option("--text", help="Only lines with this in them.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many lines at most: the newest.")] = 200,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="The oldest after the line of this number, not the newest.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with each line as it comes, until the run has ended.")
    ] = False,
) -> Answer:
    """Show lines of a run's log: what its silos' agents and its app said, as far as each silo's policy lets it."""
    from septum.cli import log_views  # protocol: blake3, which `--help` does not load

    wanted = log_views.wanted(silo=silo, level=level, origin=origin, round_=round_, text=text)
    with call.client() as client:
        if follow:
            return log_views.followed(call.output, client.logs, run, wanted, after=after, limit=limit)
        return log_views.shown(client.logs, run, wanted, after=after, limit=limit)
