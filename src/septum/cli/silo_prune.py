"""Which command makes room in a silo's directory? It works whether its agent runs or not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command
from septum.cli.output import Answer, Json, Table
from septum.cli.silo_dir import SiloDir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from septum.silo.pruning import Superfluous


def register(app: typer.Typer) -> None:
    """Add the command to `septum silo`."""
    command(app, "prune")(prune)


def prune(
    call: Invocation,
    directory: SiloDir,
    older_than: Annotated[
        float,
        typer.Option("--older-than", min=0, metavar="DAYS", help="Only what ended, or was kept, so long ago."),
    ] = 30.0,
    models: Annotated[
        int, typer.Option("--models", min=1, help="How many of the newest models of each app and dataset stay.")
    ] = 3,
    really: Annotated[
        bool, typer.Option("--yes", "--really", help="Remove it. Without it this only says what would go.")
    ] = False,
) -> Answer:
    """Make room: say what no run needs any more in this silo's directory, and remove it with --yes."""
    del call
    from septum.silo import pruning  # cryptography and the protocol

    age_s = older_than * pruning.DAY_S
    found = pruning.superfluous(directory, older_than_s=age_s, newest=models, now=time.time())
    if really:
        found = pruning.remove(directory, found)
    return _told(found, done=really)


def _told(found: Sequence[Superfluous], *, done: bool) -> Answer:
    size_bytes = sum(one.size_bytes for one in found)
    items: list[Json] = [
        {"kind": one.kind.value, "name": one.name, "path": str(one.path), "size_bytes": one.size_bytes, "why": one.why}
        for one in found
    ]
    rows = tuple((one.kind.value, one.name, str(one.size_bytes), one.why) for one in found)
    table = Table(("WHAT", "NAME", "BYTES", "WHY"), rows, "nothing to remove: --older-than 0 takes newer things")
    say = f"{len(found)} things with {size_bytes} bytes "
    say += "were removed" if done else "would go; the same command with --yes removes them"
    data: Json = {"items": items, "done": done, "size_bytes": size_bytes}
    return Answer(data, (table, say) if rows else (table,))
