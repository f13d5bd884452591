"""Which commands are there about what has happened?"""

from __future__ import annotations

from typing import Annotated

import typer

from septum.cli import log_show
from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("log", "See what has happened in the federation, and what is told of runs.")


@command(app, "events", remote=True)
def events(
    call: Invocation,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens; Ctrl-C ends it.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many of the newest at most.")] = 20,
    before: Annotated[int, typer.Option("--before", min=0, help="Only those before this number.")] = 0,
    project: Annotated[str, typer.Option("--project", metavar="PROJECT", help="Only about this project.")] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Only about this run.")] = "",
    silo: Annotated[str, typer.Option("--silo", metavar="SILO", help="Only about this silo.")] = "",
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="As in run.ended, or all of run; may be repeated: one of these."),
    ] = None,
) -> Answer:
    """List what has changed: runs that began and ended, silos and people that came and went, and who did it."""
    from septum.cli import happened  # protocol: blake3, which `--help` does not load

    wanted = happened.Wanted(project, run, silo, tuple(kind or ()))
    if follow:
        return happened.follow(call, wanted, limit)
    return happened.newest(call, wanted, limit, before)


log_show.register(app)
