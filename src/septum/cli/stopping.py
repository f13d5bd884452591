"""How is a coordinator or an agent of this machine ended? By the directory that it owns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.cli.output import Answer

StopTimeout = Annotated[float, typer.Option("--timeout", min=0, help="For how many seconds to wait for its end.")]


def end_process(directory: Path, by: str, timeout_s: float) -> Answer:
    """Ask what owns a directory to end, and wait for it. That nothing does is no error."""
    from septum.adapters.ownership import end_owner

    owner = end_owner(directory.absolute(), by, timeout_s)
    said = f"{by} in {directory} has ended" if owner else f"{by} in {directory} was not running"
    return Answer({"dir": str(directory.absolute()), "pid": owner or None}, (said,))
