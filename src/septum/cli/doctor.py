"""What does `septum doctor` do?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from septum.cli.command import Invocation, command
from septum.cli.failures import ChecksFailedError
from septum.cli.output import Answer, Table
from septum.cli.silo_dir import CONFIG_NAME

OPERATOR_FILE = "operator.json"  # by which a coordinator's directory is known


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor", remote=True)(doctor)


def doctor(
    call: Invocation,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", "--dir", help="A coordinator's or silo's directory to look at; else this directory."
        ),
    ] = None,
) -> Answer:
    """Check this machine: versions, extras, coordinator, clock, directory, disk, training processes."""
    from septum.cli.checks import Level, all_checks, configuration  # httpx and a process of its own
    from septum.cli.silo_checks import silo_checks  # numpy

    flags = call.access
    if data_dir is not None and (data_dir / OPERATOR_FILE).is_file() and not (flags.url or flags.operator_file):
        flags = replace(flags, operator_file=str(data_dir / OPERATOR_FILE))
    is_silo = data_dir is not None and (data_dir / CONFIG_NAME).is_file()
    checks = all_checks(silo_checks(data_dir) if data_dir and is_silo else configuration(flags), data_dir)
    failed = [check for check in checks if check.level is Level.FAIL]
    rows = tuple((check.level.value, check.name, check.message, check.hint) for check in checks)
    data = {
        "checks": [
            {"name": check.name, "status": check.level.value, "message": check.message, "hint": check.hint}
            for check in checks
        ]
    }
    error = None
    if failed:
        names = ", ".join(check.name for check in failed)
        error = ChecksFailedError(f"{len(failed)} of {len(checks)} checks failed: {names}", hint=failed[0].hint)
    return Answer(data, (Table(("", "CHECK", "FOUND", "NEXT"), rows),), error)
