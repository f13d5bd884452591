"""Which commands let a silo's steward pause it, and take it out of a run? They work whether its agent runs or not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command
from septum.cli.output import Answer, Json
from septum.cli.silo_dir import SiloDir
from septum.errors import ConfigError, SeptumError

if TYPE_CHECKING:
    from septum.silo.stance import Stance


def register(app: typer.Typer) -> None:
    """Add the commands to `septum silo`."""
    command(app, "pause")(pause)
    command(app, "resume")(resume)
    command(app, "withdraw")(withdraw)


def pause(
    call: Invocation,
    directory: SiloDir,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the coordinator's people to read.")] = "",
    leave: Annotated[
        bool,
        typer.Option("--leave", help="Leave the runs at work, too, until the silo resumes; else it finishes them."),
    ] = False,
) -> Answer:
    """Begin no new run until `septum silo resume`; the runs at work go on, or are left. It outlasts a restart."""
    del call
    from septum.silo import stance  # cryptography and the protocol

    now = stance.pause(directory, reason, leave=leave)
    what = "it leaves the runs at work within some seconds" if leave else "the runs at work go on to their end"
    return _told(directory, now, f"this silo is paused: it begins no new run, and {what}")


def resume(call: Invocation, directory: SiloDir) -> Answer:
    """Take runs again, also those that were left by a pause. A run that was withdrawn from stays left."""
    del call
    from septum.silo import stance  # cryptography and the protocol

    return _told(directory, stance.resume(directory), "this silo takes runs again")


def withdraw(
    call: Invocation,
    directory: SiloDir,
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="The run's id, as the agent's log has it: run_id.")],
) -> Answer:
    """Leave one run for good. What was sent stays in the models that were made of it; the others go on without."""
    del call
    from septum.silo import stance  # cryptography and the protocol

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", run):
        raise ConfigError(f"{run[:80]!r} is no run's id", hint=f"ls {directory / 'runs'}")
    here = (directory / "runs" / run).is_dir()
    now = stance.withdraw(directory, run)
    data: dict[str, Json] = {"run": run, "here": here, "withdrawn": list(now.withdrawn)}
    line = f"this silo leaves run {run} for good: its agent stops working for it within some seconds"
    if not here:
        line = f"this silo is in no run {run} now; if it is invited to one of that name, it refuses"
    return Answer(data, (line,))


def _told(directory: Path, now: Stance, line: str) -> Answer:
    """The answer; the coordinator is told at once if it can be reached, else by the agent."""
    from septum.silo.config import CONFIG_NAME, read_config
    from septum.silo.line import open_line

    problem = ""
    try:
        channel = open_line(directory, read_config(directory / CONFIG_NAME))
        try:
            channel.tell(now.standing)
        finally:
            channel.close()
    except SeptumError as error:
        problem = error.message
    data: dict[str, Json] = {
        "paused": now.paused,
        "reason": now.reason,
        "leave": now.leave,
        "coordinator_told": not problem,
        "problem": problem,
    }
    lines = [line]
    if problem:
        lines.append(f"it holds here already; the coordinator was not told ({problem}), the agent will tell it")
    return Answer(data, tuple(lines))
