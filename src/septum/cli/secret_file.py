"""How does a command hand over a secret that is shown once? In a new file that its owner alone may read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from septum.errors import ConfigError

MAX_BYTES = 64 * 1024

TokenOut = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write the token into this new file, for you alone, and do not print it."),
]


@contextmanager
def new_secret_file(path: Path | None) -> Iterator[Callable[[str], None]]:
    """What writes a secret into a file that is made before anything is asked for; it goes again where nothing came.

    Without a path nothing is written. Raises ConfigError where the file is there, or cannot be made: what is shown once
    must not be lost for want of a place.
    """
    if path is None:
        yield lambda secret: None  # noqa: ARG005  named as what it stands for
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already", hint=f"rm {path}, or another --out") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}", hint="another --out") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:

        def keep(secret: str) -> None:
            file.write(f"{secret}\n")
            file.flush()

        try:
            yield keep
        except BaseException:
            if not file.tell():
                path.unlink(missing_ok=True)
            raise


def read_secret_file(path: Path) -> str:
    """The secret in a file, without the line's end. Raises ConfigError."""
    try:
        with path.open(encoding="utf-8") as file:
            secret = file.read(MAX_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint=f"ls -l {path}") from error
    if not secret:
        raise ConfigError(f"{path} is empty", hint="septum silo invite NAME --out FILE makes a new one")
    return secret
