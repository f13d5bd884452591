"""How does a command name the silo that it is about? By its directory, which holds all that the silo has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.errors import ConfigError

CONFIG_NAME = "silo.toml"  # by which a silo's directory is known; septum.silo.config is not loaded for `--help`


def checked(directory: Path) -> Path:
    """The directory itself, if there is a silo in it. Raises ConfigError."""
    hint = "septum silo enroll makes it"
    if not directory.is_dir():
        raise ConfigError(f"there is no silo's directory {directory}", hint=hint)
    if not (directory / CONFIG_NAME).is_file():  # as it would be if another one was meant
        raise ConfigError(f"{directory} is no silo's directory: there is no {CONFIG_NAME} in it", hint=hint)
    return directory


SiloDir = Annotated[
    Path, typer.Option("--dir", help="The silo's directory, as `septum silo enroll` made it.", callback=checked)
]
