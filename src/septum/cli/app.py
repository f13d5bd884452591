"""Which commands are there about apps?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json

app = noun("app", "Look at an app before it runs anywhere.")

AppDir = Annotated[Path, typer.Argument(metavar="APP_DIR", help="The app's folder, with app.py and septum.toml.")]


@command(app, "digest")
def digest(call: Invocation, app_dir: AppDir) -> Answer:
    """Print the digest that a silo approves and a plan names. No code of the app runs."""
    del call
    from septum.sdk.package import digest_of, read_manifest  # only the commands that read apps need it

    manifest = read_manifest(app_dir)
    found = digest_of(app_dir)
    data: Json = {"path": str(app_dir), "version": manifest.version, "digest": found, "leaves": list(manifest.leaves)}
    return Answer(data, (found,))
