"""Which commands are there to sign in and out?"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs, urlsplit

import typer

from septum.cli.access import AccessFlags, Found, resolve_access, resolve_place, settled
from septum.cli.command import Invocation, command
from septum.cli.output import Answer, Json
from septum.cli.secrets import new_secret, secret
from septum.cli.session_file import KeptSession, forget, keep, keep_certificate, kept_sessions, sessions_file, without
from septum.errors import AuthError, ConfigError, PasswordChangeError, SecondFactorError

if TYPE_CHECKING:
    from septum.client.people import PeopleClient
    from septum.protocol.people_views import Invited, SessionView, SignIn


@dataclass(frozen=True, slots=True)
class Link:
    """What an invitation's link says."""

    url: str
    name: str
    password: str = field(repr=False)
    ca_digest: str = ""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "login", remote=True)(login)
    command(app, "logout", remote=True)(logout)
    command(app, "whoami", remote=True)(whoami)


def login(
    call: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="By which you sign in; an invitation says it.")] = "",
    invitation: Annotated[
        bool,
        typer.Option(
            "--invitation", help="You have a link: it is read from SEPTUM_INVITATION or asked for, as passwords are."
        ),
    ] = False,
    oidc: Annotated[
        bool, typer.Option("--oidc", help="Sign in at the federation's identity provider, with any browser.")
    ] = False,
) -> Answer:
    """Sign in. Passwords and codes are asked for, or read from SEPTUM_PASSWORD, SEPTUM_NEW_PASSWORD and SEPTUM_CODE."""
    from septum.client import Access, Client  # httpx: 100 ms that `--help` does not pay
    from septum.protocol.people_views import Invited, SignIn

    link = read_link(secret("Invitation link", "SEPTUM_INVITATION")) if invitation else None
    place = _place_of(link) if link else resolve_place(call.access)
    with Client(Access(place.url, "", place.ca_file)) as client:
        if oidc:
            invited = Invited(link.name, link.password) if link else Invited()
            session = _by_provider(call, client.people, invited)
        elif link:
            session = _sign_in(client.people, SignIn(link.name, link.password))
        elif name:
            session = _sign_in(client.people, SignIn(name, secret("Password", "SEPTUM_PASSWORD")))
        else:
            raise ConfigError("who signs in?", hint="septum login NAME, --invitation with a link, or --oidc")
    keep(sessions_file(os.environ), KeptSession(place.url, session.token, place.ca_file, session.name))
    return _signed_in(call, place, session)


def logout(call: Invocation) -> Answer:
    """End the session that `septum login` opened."""
    from septum.client import Access, Client  # httpx: 100 ms that `--help` does not pay

    place, path = resolve_place(call.access), sessions_file(os.environ)
    sessions = kept_sessions(path)
    mine = next((one for one in sessions if one not in without(sessions, place.url)), None)
    if mine is None:
        raise AuthError(f"there is no session at {place.url}", hint="septum login")
    try:
        with Client(Access(mine.url, mine.token, mine.ca or place.ca_file)) as client:
            client.people.sign_out()
    except AuthError:
        call.output.note("the session had ended already")
    forget(path, mine.url)
    return Answer({"url": mine.url, "name": mine.name}, (f"{mine.name} is signed out of {mine.url}",))


def whoami(call: Invocation) -> Answer:
    """Say who you are to the coordinator, and what you may do there."""
    from septum.cli import people_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return people_views.who(client.people.who(), resolve_access(call.access).url)


def read_link(text: str) -> Link:
    """What an invitation's link says. Raises ConfigError, without quoting it.

    >>> read_link("https://fed.example.org/invitation#name=ada&password=once").name
    'ada'
    """
    parts = urlsplit(text.strip())
    said = {name: values[0] for name, values in parse_qs(parts.fragment).items()}
    if parts.scheme != "https" or not parts.netloc or not said.get("name") or not said.get("password"):
        raise ConfigError(
            "this is no invitation's link; it begins with https:// and has a # in it",
            hint="copy all of it: septum user invite NAME printed it",
        )
    return Link(f"https://{parts.netloc}", said["name"], said["password"], said.get("ca", ""))


def _place_of(link: Link) -> Found:
    """The coordinator of a link: its certificate is fetched, and believed if it has the digest in the link."""
    if not link.ca_digest:
        return Found(link.url, "", "")
    from septum.adapters.channel.enroll import fetch_ca  # cryptography
    from septum.adapters.channel.proxy import ProxySettings

    pem = fetch_ca(link.url, link.ca_digest, ProxySettings())
    return Found(link.url, "", str(keep_certificate(os.environ, pem, link.ca_digest)))


def _sign_in(people: PeopleClient, proof: SignIn) -> SessionView:
    """Ask for what the coordinator wants besides."""
    for _ in range(2):
        try:
            return people.sign_in(proof)
        except PasswordChangeError:
            proof = replace(proof, new_password=new_secret("New password", "SEPTUM_NEW_PASSWORD"))
        except SecondFactorError:
            if proof.code:
                raise
            proof = replace(proof, code=secret("Code of the second factor", "SEPTUM_CODE"))
    return people.sign_in(proof)


def _by_provider(call: Invocation, people: PeopleClient, invited: Invited) -> SessionView:
    """Say where to go, and ask as often as we were told to until the person has been there."""
    from septum.protocol.people_views import SessionView  # protocol: blake3

    begun = people.begin_device(invited)
    call.output.note(f"open {begun.uri} in any browser and enter the code\n\n  {begun.code}\n\n(or {begun.uri_whole})")
    wait_s = begun.interval_s
    while True:
        time.sleep(wait_s)
        told = people.ask_device(begun.handle)
        if isinstance(told, SessionView):
            return told
        wait_s = told.wait_s


def _signed_in(call: Invocation, place: Found, session: SessionView) -> Answer:
    from septum.cli.views import when  # protocol: blake3

    settings = settled(AccessFlags(url=place.url), os.environ, Path.cwd())  # as later commands find it, without flags
    url, token = (item for item in settings if item.name in ("url", "token"))
    if token.value != session.token:
        call.output.note(
            f"this session is not used while {token.origin or url.origin} goes first: septum config show --origin"
        )
    told: dict[str, Json] = {
        "name": session.name,
        "url": place.url,
        "expires_at": session.expires_at,
        "idle_s": session.idle_s,
    }
    until = f"until {when(session.expires_at)}, or {session.idle_s / 60:.0f} min without a command"
    return Answer(told, (f"{session.name} is signed in at {place.url} {until}",))
