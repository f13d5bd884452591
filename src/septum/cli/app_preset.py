"""Which commands are there about presets that are given to a package after it was built? The package stays as it is."""

from __future__ import annotations

from typing import Annotated

import typer

from septum.cli.app_store import Named, as_json, chosen, in_words
from septum.cli.command import Invocation, command, noun
from septum.cli.options import pairs
from septum.cli.output import Answer
from septum.errors import NotFoundError

app = noun(
    "preset", "Presets of hyper-parameters beside those in a package. The package and its digest stay as they are."
)

Preset = Annotated[str, typer.Argument(metavar="PRESET", help="The preset's name, as in `run submit --preset PRESET`.")]


@command(app, "set", remote=True)
def set_(
    call: Invocation,
    named: Named,
    preset: Preset,
    values: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="Hyper-parameters of the app.")],
) -> Answer:
    """Give a pushed package a preset, in place of one of that name that was given before."""
    from septum.sdk.hyper import parse
    from septum.sdk.package_file import read_description
    from septum.sdk.presets import check_preset

    texts = pairs(values, "NAME=VALUE")
    with call.client() as client:
        view = chosen(named, client.apps())
        about = read_description(client.app_description(view.digest))
        checked = check_preset(about, preset, parse(about.fields, texts, about.name))
        view = client.set_preset(view.digest, preset, checked)
    return Answer(
        as_json(view), (f"{view.name} {view.version} has the preset {preset}: {in_words(view.presets[preset])}",)
    )


@command(app, "remove", remote=True)
def remove(
    call: Invocation,
    named: Named,
    preset: Preset,
) -> Answer:
    """Take a preset back that was given to a package. Runs that were submitted with it go on."""
    from septum.sdk.package_file import read_description

    with call.client() as client:
        view = chosen(named, client.apps())
        if preset not in view.presets:
            own = read_description(client.app_description(view.digest)).presets
            if preset in own:
                raise NotFoundError(
                    f"the preset {preset!r} is in the package of {view.name} {view.version}, and stays with it",
                    hint="a package without it is a new version in septum.toml",
                )
        view = client.drop_preset(view.digest, preset)
    return Answer(as_json(view), (f"{view.name} {view.version} has no preset {preset} any more",))
