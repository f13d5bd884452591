"""How does a command name the silo that it is about? By its directory, which holds all that the silo has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.errors import ConfigError


def checked(directory: Path) -> Path:
    """The directory itself, if there is one. Raises ConfigError."""
    if not directory.is_dir():
        raise ConfigError(f"there is no silo's directory {directory}", hint="septum silo enroll makes it")
    return directory


SiloDir = Annotated[
    Path, typer.Option("--dir", help="The silo's directory, as `septum silo enroll` made it.", callback=checked)
]
