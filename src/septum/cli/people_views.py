"""How do organisations, people, sessions and tokens look, for people and for programs?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from septum.cli.output import Answer, Json, Table, one_line
from septum.cli.views import when
from septum.protocol.codec import to_json
from septum.protocol.people_views import (
    InvitationView,
    MadeToken,
    OrganisationView,
    PersonView,
    TokenView,
    WhoView,
)
from septum.protocol.rights import Grant


def who(view: WhoView, url: str) -> Answer:
    """Who one is."""
    lines = [
        f"{view.name}{f' ({one_line(view.full_name)})' if view.full_name else ''} at {url}",
        f"by            {view.via}",
        f"organisation  {view.organisation}",
        f"roles         {_roles(view.grants)}",
        f"may           {', '.join(right.value for right in view.rights) or 'nothing yet'}",
        f"second factor {'is asked for' if view.totp else 'none'}",
    ]
    data = to_json(view)
    assert isinstance(data, dict)
    del data["csrf"]
    return Answer({**data, "url": url}, ("\n".join(lines),))


def organisations(found: Sequence[OrganisationView]) -> Answer:
    """Organisations."""
    rows = tuple((view.name, one_line(view.title), when(view.created_at) or "at the beginning") for view in found)
    table = Table(("ORGANISATION", "TITLE", "SINCE"), rows, "none that you may see: septum whoami")
    return Answer({"organisations": [to_json(view) for view in found]}, (table,))


def organisation(view: OrganisationView) -> Answer:
    """One organisation."""
    return Answer(to_json(view), (f"{view.name}: {one_line(view.title)}",))


def people(found: Sequence[PersonView]) -> Answer:
    """People."""
    rows = tuple(
        (view.name, view.status.value, view.organisation, _roles(view.grants), one_line(view.full_name))
        for view in found
    )
    table = Table(
        ("USER", "STATUS", "ORGANISATION", "ROLES", "NAME"), rows, "nobody whom you may see: septum user invite NAME"
    )
    return Answer({"users": [to_json(view) for view in found]}, (table,))


def person(view: PersonView) -> Answer:
    """One person."""
    lines = [
        f"{view.name}{f' ({one_line(view.full_name)})' if view.full_name else ''}",
        f"status        {view.status.value}",
        f"organisation  {view.organisation}",
        f"roles         {_roles(view.grants)}",
        f"second factor {'is asked for' if view.totp else 'none'}",
        f"since         {when(view.created_at)}",
    ]
    return Answer(to_json(view), ("\n".join(lines),))


def invitation(view: InvitationView, file: Path | None = None) -> Answer:
    """How somebody comes in. It is shown this once; not at all if `file` has it."""
    link = "this link" if file is None else f"the link in {file}"
    shown = f"\n\n  {view.link}" if file is None else ""
    lines = (
        f"{view.name} may come in once, until {when(view.expires_at)}, by {link}. Whoever has it can: give it "
        f"to them alone.{shown}\n\non the command line: septum login --invitation"
    )
    return Answer(to_json(view if file is None else replace(view, link="")), (lines,))


def tokens(found: Sequence[TokenView]) -> Answer:
    """Personal tokens."""
    rows = tuple(
        (view.id, one_line(view.title), when(view.expires_at), when(view.used_at) or "never", _rights(view))
        for view in found
    )
    table = Table(("TOKEN", "TITLE", "EXPIRES", "USED", "RIGHTS"), rows, "no tokens yet: septum token create TITLE")
    return Answer({"tokens": [to_json(view) for view in found]}, (table,))


def made_token(made: MadeToken, file: Path | None = None) -> Answer:
    """A new token, with its secret; without it if `file` has it."""
    about = made.about
    shown = f"{made.token}\n\nIt is shown this once, and" if file is None else f"The token is in {file}; it"
    lines = f"{shown} holds until {when(about.expires_at)}: {_rights(about)}"
    data: dict[str, Json] = {"token": made.token if file is None else None, "about": to_json(about)}
    return Answer(data, (lines,))


def _roles(grants: Sequence[Grant]) -> str:
    return ", ".join(map(str, grants)) or "none"


def _rights(view: TokenView) -> str:
    return " ".join(right.value for right in view.rights)
