"""Which commands are there about apps?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Json

app = noun("app", "Write an app, try it, and look at it before it runs anywhere.")

AppDir = Annotated[Path, typer.Argument(metavar="APP_DIR", help="The app's folder, with app.py and septum.toml.")]


@command(app, "new")
def new(
    call: Invocation,
    app_dir: Annotated[Path, typer.Argument(metavar="APP_DIR", help="The folder to make; its name is the app's.")],
    name: Annotated[str, typer.Option("--name", help="Another name for the app.")] = "",
) -> Answer:
    """Make a new app that runs as it is, with made-up rows of two silos to try it on."""
    del call
    from septum.cli.app_template import make_app  # only this command needs it

    made = make_app(app_dir, name or app_dir.absolute().name)
    listed = "\n".join(f"  {path}" for path in made)
    following = f"next: septum simulate {app_dir}, septum app check {app_dir}; then put your own model into it"
    return Answer({"path": str(app_dir), "files": [str(path) for path in made]}, (f"made\n{listed}", following))


@command(app, "check")
def check(
    call: Invocation,
    app_dir: AppDir,
    preset: Annotated[str, typer.Option("--preset", help="Try it with this preset of its septum.toml.")] = "",
    rows: Annotated[int, typer.Option("--rows", min=8, max=1_000_000, help="Made-up rows to try it on.")] = 120,
) -> Answer:
    """Try an app as a silo would run it, on made-up rows that meet its data contract."""
    from septum.cli.app_check import check_app  # numpy

    return check_app(call.output, app_dir, preset, rows)


@command(app, "digest")
def digest(call: Invocation, app_dir: AppDir) -> Answer:
    """Print the digest that a silo approves and a plan names. No code of the app runs."""
    del call
    from septum.sdk.package import digest_of, read_manifest  # only the commands that read apps need it

    manifest = read_manifest(app_dir)
    found = digest_of(app_dir)
    data: dict[str, Json] = {
        "path": str(app_dir),
        "version": manifest.version,
        "digest": found,
        "leaves": list(manifest.leaves),
        "masked": list(manifest.masked),
    }
    return Answer(data, (found,))
