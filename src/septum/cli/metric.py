"""Which commands are there about what runs measured?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer

app = noun("metric", "Look at what was measured of each model of a run, and write it to a file.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `septum run list` shows it.")]


@command(app, "list", remote=True)
def list_(
    call: Invocation,
    run: RunId,
    by_silo: Annotated[
        bool, typer.Option("--by-silo", help="Each silo's own figures, too; a run under masks has none.")
    ] = False,
) -> Answer:
    """List the metrics of a run round by round, over the test rows of all its silos."""
    from septum.cli import comparing  # protocol: blake3, which `--help` does not load

    return comparing.metrics(call, run, by_silo=by_silo)


@command(app, "export", remote=True)
def export(
    call: Invocation,
    run: RunId,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write: .csv or .json.")] = Path("metrics.csv"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> Answer:
    """Write the metrics of a run to a CSV or JSON file, silo by silo as well where it had no masks."""
    from septum.cli import comparing  # protocol: blake3, which `--help` does not load

    return comparing.export(call, run, out, force=force)
