"""Which command shows how busy a silo's machine is?"""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer

from septum.cli.command import Invocation, command
from septum.cli.failures import UsageProblem
from septum.cli.output import Answer

_SPAN = re.compile(r"([1-9][0-9]{0,6})(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}

Since = Annotated[
    str, typer.Option("--since", metavar="SPAN", help="How far back, such as 90s, 15m, 6h or 7d; at most 30d.")
]
Points = Annotated[int, typer.Option("--points", min=1, max=2000, help="How many points at most.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "system", remote=True)(system)


def system(
    call: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The silo's name, such as st-marys.")],
    since: Since = "1h",
    points: Points = 20,
    run: Annotated[
        str, typer.Option("--run", metavar="RUN", help="While this run was at work, in place of --since.")
    ] = "",
) -> Answer:
    """Show how busy a silo's machine is, as its agent tells: processors, memory, disk, network, GPUs."""
    from septum.cli import load_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        if run:
            return load_views.series(client.loads.of_run(run, name, points=points))
        return load_views.series(client.loads.of_silo(name, since=began_at(since), points=points))


def began_at(span: str) -> float:
    """The Unix time so long ago. Raises UsageProblem for what is no span of time."""
    return time.time() - seconds_of(span)


def seconds_of(span: str) -> float:
    """A span of time, seconds.

    >>> seconds_of("15m")
    900.0
    """
    match = _SPAN.fullmatch(span)
    if match is None:
        raise UsageProblem(f"--since {span[:40]!r} is no span of time", hint="90s, 15m, 6h or 7d")
    return int(match[1]) * _UNITS[match[2]]
