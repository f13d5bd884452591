"""How do groups of silos and projects look, for people and for programs?"""

from __future__ import annotations

from collections.abc import Sequence

from septum.cli.output import Answer, Table, one_line
from septum.cli.views import when
from septum.protocol.codec import to_json
from septum.protocol.project_views import GroupView, ProjectView


def groups(found: Sequence[GroupView]) -> Answer:
    """Groups."""
    rows = tuple((view.name, _silos(view.silos), view.open_to or "nobody") for view in found)
    table = Table(("GROUP", "SILOS", "OPEN TO"), rows, "none that you may see: septum group create NAME SILO...")
    return Answer({"groups": [to_json(view) for view in found]}, (table,))


def group(view: GroupView) -> Answer:
    """One group."""
    lines = [
        f"group    {view.name}",
        f"silos    {_silos(view.silos)}",
        f"open to  {f'silos of {view.open_to}, when they enrol' if view.open_to else 'nobody'}",
        f"since    {when(view.created_at)}",
    ]
    return Answer(to_json(view), ("\n".join(lines),))


def projects(found: Sequence[ProjectView]) -> Answer:
    """Projects."""
    rows = tuple(
        (
            view.name,
            "closed" if view.closed else "open",
            view.group,
            ", ".join(view.organisations),
            one_line(view.description),
        )
        for view in found
    )
    table = Table(
        ("PROJECT", "STATUS", "GROUP", "ORGANISATIONS", "DESCRIPTION"),
        rows,
        "none that you may see: septum project create NAME --group GROUP",
    )
    return Answer({"projects": [to_json(view) for view in found]}, (table,))


def project(view: ProjectView) -> Answer:
    """One project."""
    lines = [
        f"project        {view.name}{f': {one_line(view.description)}' if view.description else ''}",
        f"status         {'closed: it takes no new runs' if view.closed else 'open'}",
        f"organisations  {', '.join(view.organisations)}",
        f"group          {view.group}: {_silos(view.silos)}",
        f"since          {when(view.created_at)}",
    ]
    return Answer(to_json(view), ("\n".join(lines),))


def _silos(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
