"""Which commands are there about the command line's own configuration?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from septum.cli.access import PROJECT_FILE, Setting, project_file, settled, user_file
from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer, Table

app = noun("config", "See which coordinator the commands speak to, and who says so.")

MASK = "********"


@command(app, "show", remote=True)
def show(
    call: Invocation,
    origin: Annotated[bool, typer.Option("--origin", help="Also say where each value is from.")] = False,
) -> Answer:
    """Show the settled configuration. A token is never shown."""
    directory = Path.cwd()
    found = settled(call.access, os.environ, directory)
    files = {"project": project_file(directory), "user": user_file(os.environ)}
    settings = {item.name: _entry(item, origin) for item in found}
    columns = ("SETTING", "VALUE", "FROM") if origin else ("SETTING", "VALUE")
    rows = tuple((item.name, *(str(value) for value in _entry(item, origin).values())) for item in found)
    shown: tuple[str | Table, ...] = (Table(columns, rows),)
    if origin:
        project = files["project"] or f"none ({PROJECT_FILE} in this directory or above)"
        user = files["user"] if files["user"] and files["user"].is_file() else f"none ({files['user']})"
        shown += (f"project file  {project}\nuser file     {user}",)
    return Answer({"settings": settings}, shown)


def _entry(item: Setting, origin: bool) -> dict[str, str]:
    value = MASK if item.name == "token" and item.value else item.value
    return {"value": value, "origin": item.origin or "not set"} if origin else {"value": value}
