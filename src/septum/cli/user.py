"""Which commands are there about people?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer
from septum.cli.secret_file import new_secret_file
from septum.cli.secrets import new_secret, secret
from septum.errors import ConfigError

app = noun("user", "People: who may sign in, with which roles; and your own password and second factor.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="By which they sign in, such as ada or ada@st-marys.org.")]
_ROLE = "ROLE, ROLE@ORGANISATION or ROLE@project:NAME; may be repeated."


@command(app, "list", remote=True)
def list_(call: Invocation) -> Answer:
    """List the people whom you may see."""
    from septum.cli import people_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return people_views.people(client.people.people())


@command(app, "show", remote=True)
def show(call: Invocation, name: Name) -> Answer:
    """Show a person and their roles."""
    from septum.cli import people_views

    with call.client() as client:
        return people_views.person(client.people.person(name))


@command(app, "invite", remote=True)
def invite(
    call: Invocation,
    name: Name,
    roles: Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help=_ROLE)] = None,
    org: Annotated[str, typer.Option("--org", help="The organisation that they belong to.")] = "default",
    full_name: Annotated[str, typer.Option("--full-name", help="How others call them.")] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the link into this new file, for you alone, and do not print it."),
    ] = None,
) -> Answer:
    """Invite a person, and print the link by which they come in, once."""
    from septum.cli import people_views
    from septum.protocol.people_views import NewPerson
    from septum.protocol.rights import read_grant

    wanted = NewPerson(name, full_name, org, tuple(read_grant(text) for text in roles or ()))
    with new_secret_file(out) as keep, call.client() as client:
        view = client.people.invite(wanted)
        keep(view.link)
        return people_views.invitation(view, out)


@command(app, "roles", remote=True)
def roles(
    call: Invocation,
    name: Name,
    give: Annotated[list[str] | None, typer.Option("--give", metavar="ROLE", help=_ROLE)] = None,
    take: Annotated[list[str] | None, typer.Option("--take", metavar="ROLE", help=_ROLE)] = None,
) -> Answer:
    """Give a person roles, or take them back. They hold from the next request on."""
    from septum.cli import people_views
    from septum.protocol.rights import read_grant

    given, taken = ([read_grant(text) for text in texts or ()] for texts in (give, take))
    if not given and not taken:
        raise ConfigError("neither --give nor --take was given", hint=f"septum user show {name}")
    with call.client() as client:
        held = client.people.person(name).grants
        for grant in taken:
            if grant not in held:
                raise ConfigError(f"{name} has not got the role {grant}", hint=f"septum user show {name}")
        kept = [grant for grant in held if grant not in taken]
        return people_views.person(client.people.set_grants(name, [*kept, *given]))


@command(app, "reset", remote=True)
def reset(call: Invocation, name: Name) -> Answer:
    """Forget a person's password, second factor, sessions and tokens, and print a link by which they come in, once."""
    from septum.cli import people_views

    with call.client() as client:
        return people_views.invitation(client.people.reset(name))


@command(app, "suspend", remote=True)
def suspend(call: Invocation, name: Name) -> Answer:
    """Let a person in no more: their sessions and tokens end at once."""
    from septum.cli import people_views

    with call.client() as client:
        return people_views.person(client.people.suspend(name))


@command(app, "restore", remote=True)
def restore(call: Invocation, name: Name) -> Answer:
    """Let a suspended person in again."""
    from septum.cli import people_views

    with call.client() as client:
        return people_views.person(client.people.restore(name))


@command(app, "password", remote=True)
def password(call: Invocation) -> Answer:
    """Change your own password; it is asked for. Your sessions and tokens end."""
    from septum.protocol.people_views import NewPassword

    wanted = NewPassword(secret("Password", "SEPTUM_PASSWORD"), new_secret("New password", "SEPTUM_NEW_PASSWORD"))
    with call.client() as client:
        client.people.change_password(wanted)
    return Answer({"status": "changed"}, ("your password is changed; sign in again: septum login NAME",))


@command(app, "totp", remote=True)
def totp(
    call: Invocation, off: Annotated[bool, typer.Option("--off", help="Have it asked for no longer.")] = False
) -> Answer:
    """Have a second factor asked for when you sign in: a code that your authenticator program shows."""
    from septum.protocol.people_views import ConfirmTotp

    with call.client() as client:
        if off:
            client.people.drop_totp(secret("Password", "SEPTUM_PASSWORD"))
            return Answer({"totp": False}, ("no second factor is asked for any more",))
        offered = client.people.offer_totp()
        shown = f"Add this to your authenticator program:\n\n  {offered.secret}\n  {offered.uri}\n"
        call.output.item({"secret": offered.secret, "uri": offered.uri}, shown)
        known, code = secret("Password", "SEPTUM_PASSWORD"), secret("Its code now", "SEPTUM_CODE")
        codes = client.people.confirm_totp(ConfirmTotp(offered.secret, code, known))
    lines = "\n".join(f"  {one}" for one in codes)
    kept = f"A code is asked for from now on. Print these and put them away: each works once in its place.\n\n{lines}"
    return Answer({"totp": True, "recovery_codes": list(codes)}, (kept,))
