"""Which commands are there about personal tokens?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from septum.cli.command import Invocation, command, noun
from septum.cli.output import Answer
from septum.cli.secret_file import TokenOut, new_secret_file
from septum.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from septum.protocol.people_views import TokenView

app = noun("token", "Your own tokens, by which programs speak for you with some of your rights.")


@command(app, "list", remote=True)
def list_(call: Invocation) -> Answer:
    """List your tokens, without their secrets."""
    from septum.cli import people_views  # protocol: blake3, which `--help` does not load

    with call.client() as client:
        return people_views.tokens(client.people.tokens())


@command(app, "create", remote=True)
def create(
    call: Invocation,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What it is for.")],
    rights: Annotated[
        list[str] | None,
        typer.Option(
            "--right", metavar="RIGHT", help="A right that it has, as run.read; may be repeated. All if left out."
        ),
    ] = None,
    days: Annotated[int, typer.Option("--days", help="For how long it holds, 366 at most.")] = 90,
    out: TokenOut = None,
) -> Answer:
    """Make a token, and print it, once. Programs take it from SEPTUM_TOKEN."""
    from septum.cli import people_views
    from septum.protocol.people_views import NewToken
    from septum.protocol.rights import Right

    known = {right.value: right for right in Right}
    for text in rights or ():
        if text not in known:
            raise ConfigError(f"there is no right {text!r}; {did_you_mean(text, known)}", hint="septum whoami")
    with new_secret_file(out) as keep, call.client() as client:
        made = client.people.make_token(NewToken(title, days, tuple(known[text] for text in rights or ())))
        keep(made.token)
        return people_views.made_token(made, out)


@command(app, "revoke", remote=True)
def revoke(
    call: Invocation,
    which: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, or its title where one token alone has it.")],
) -> Answer:
    """End a token at once."""
    with call.client() as client:
        token = _id_of(which, client.people.tokens())
        client.people.revoke_token(token)
    return Answer({"token": token, "status": "revoked"}, (f"token {token} is revoked",))


def _id_of(which: str, tokens: Sequence[TokenView]) -> str:
    """The id of a token that is named by its id or its title. What is neither is left to the coordinator to refuse.

    Raises ConfigError where several have the title.
    """
    titled = [token.id for token in tokens if token.title == which]
    if which in {token.id for token in tokens} or not titled:
        return which
    if len(titled) > 1:
        raise ConfigError(
            f"{len(titled)} tokens have the title {which!r}: {', '.join(titled)}", hint="say which, by id"
        )
    return titled[0]
