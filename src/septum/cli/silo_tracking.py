"""Which command shows what a silo's own trackers have stored? It works whether the agent runs or not."""

from __future__ import annotations

import typer

from septum.cli.command import Invocation, command
from septum.cli.output import Answer, Json, Table
from septum.cli.silo_dir import SiloDir


def register(app: typer.Typer) -> None:
    """Add the command to `septum silo`."""
    command(app, "tracking")(tracking)


def tracking(call: Invocation, directory: SiloDir) -> Answer:
    """Show what this silo stored in its own trackers of its part in runs; what waits, was refused or had no room."""
    del call
    from septum.silo.config import CONFIG_NAME, read_config  # cryptography and the protocol
    from septum.silo.track_spool import read_tracked, waiting_in

    config = read_config(directory / CONFIG_NAME)
    found = {name: read_tracked(directory, name) for name in sorted(config.tracking)}
    waiting = {name: waiting_in(directory, name) for name in found}
    rows = tuple(
        (name, str(one.stored), str(waiting[name]), str(one.refused), str(one.dropped)) for name, one in found.items()
    )
    table = Table(
        ("TRACKER", "STORED", "WAITING", "REFUSED", "DROPPED"),
        rows,
        "this silo has no tracker: [tracking.NAME] in silo.toml names one",
    )
    problems = tuple(
        f"{name}: {one.problem}{one.hint and f'; next: {one.hint}'}" for name, one in found.items() if one.problem
    )
    data: list[Json] = [
        {
            "tracker": name,
            "stored": one.stored,
            "waiting": waiting[name],
            "refused": one.refused,
            "dropped": one.dropped,
            "problem": one.problem,
            "hint": one.hint,
        }
        for name, one in found.items()
    ]
    return Answer({"trackers": data}, (table, *problems))
