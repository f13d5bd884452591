"""What does the reference page of roles and permissions say? It is made from the rules and the routes.

python -m septum.coordinator.api.reference > docs/reference/permissions.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from septum.coordinator.api.access import On, Permission, anywhere, federation
from septum.coordinator.api.app import PREFIX, api_routes
from septum.coordinator.api.document import permission_of
from septum.coordinator.api.scopes import (
    of_deployment,
    of_model,
    of_project,
    of_project_if_named,
    of_run,
    of_run_if_named,
    of_run_named,
    of_silo_models,
    of_version,
)
from septum.protocol.rights import GIVEN_OVER, RIGHTS, WHO, Over, Right, Role

_HEAD = """# Roles and permissions

Made by `python -m septum.coordinator.api.reference > docs/reference/permissions.md`; a test checks that it is up to
date. The rules are in `src/septum/protocol/rights.py`, the sentences beside the routes in
`src/septum/coordinator/api/`.

A role is given over the federation, an organisation or a project: `viewer`, `viewer@st-marys`, `viewer@project:sepsis`.
What is over the federation holds everywhere. Nobody may do what no role of theirs gives; a personal token has at most
its person's rights. Whoever gives a role, or takes it back, has the right `user.manage` there and every right that the
role gives. What a person may not see is answered as if it were not there (404), what they may see and not do with 403.

A project lies in the organisations that own it, and its runs and their models lie where it does: a role over the
project, or over one of its owners, holds for them. Runs of no project are the federation's.

Where a route needs its right over *anything*, a role over one organisation opens it. What it shows lies within that;
packages and the roster, which all members share, are shown whole.

Silos come in by invitation and sign each request with their own key; none of this is about them, and their keys open no
route of this page. What a coordinator's person may do ends at the silo: what runs there is decided by its own policy.
"""
_OF: dict[On, str] = {
    federation: "the federation",
    anywhere: "anything",
    of_run: "the run's project",
    of_model: "the run's project, with `?run=`",
    of_run_if_named: "the run's project, with `?run=`; else anything",
    of_silo_models: "the run's project; where one silo is named, also its organisation",
    of_run_named: "the run's project, with `?run=`",
    of_version: "the project of the version's run",
    of_deployment: "the project of the version's run",
    of_project: "the project",
    of_project_if_named: "the project, with `?project=`",
}
_OVERS = {Over.FEDERATION: "the federation", Over.ORGANISATION: "an organisation", Over.PROJECT: "a project"}


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_roles(), "", *_rights(), "", *_routes(), ""])


def _roles() -> Iterator[str]:
    yield from ("## Roles", "", "| role | who | is given over |", "|---|---|---|")
    for role in Role:
        overs = ", ".join(text for over, text in _OVERS.items() if over in GIVEN_OVER[role])
        yield f"| `{role.value}` | {WHO[role]} | {overs} |"


def _rights() -> Iterator[str]:
    yield from ("## Which role gives which right", "")
    yield " | ".join(["| right", *(role.value for role in Role)]) + " |"
    yield "|---" + "|:-:" * len(Role) + "|"
    for right in Right:
        yield " | ".join([f"| `{right.value}`", *("yes" if right in RIGHTS[role] else "" for role in Role)]) + " |"


def _routes() -> Iterator[str]:
    yield from (
        "## Which route needs which right",
        "",
        "| route | right | over | what it lets one do |",
        "|---|---|---|---|",
    )
    for route in api_routes():
        permission = permission_of(route)
        assert permission is not None, route.path
        for method in sorted(route.methods or ()):
            cells = (f"`{method} {PREFIX}{route.path}`", _wanted(permission), _where(permission), permission.sentence)
            yield f"| {' | '.join(cells)} |"


def _wanted(permission: Permission) -> str:
    if permission.right is not None:
        return f"`{permission.right.value}`"
    if permission.public:
        return "none"
    return "a session" if permission.in_person else "to be signed in"


def _where(permission: Permission) -> str:
    if permission.right is None:
        mine = "what one may see" if permission.on is anywhere else "one's own"
        return "" if permission.public else mine
    return _OF.get(permission.on, "its organisation")


if __name__ == "__main__":
    sys.stdout.write(page())
