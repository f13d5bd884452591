"""How does what has changed in the federation look to people, and how is it followed?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.cli.command import Invocation
from septum.cli.failures import Interrupted
from septum.cli.output import Answer, Json, Table, one_line
from septum.cli.views import when
from septum.protocol.codec import to_json
from septum.protocol.feed import Change, FeedEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from septum.client import Client

_ABOUT = ("run", "silo", "app", "model", "group", "person", "token", "preset", "organisation", "project")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; what is empty does not matter."""

    project: str
    run: str
    silo: str
    kinds: tuple[str, ...]


def newest(call: Invocation, wanted: Wanted, limit: int, before: int) -> Answer:
    """The newest, at the bottom, as in a log."""
    with call.client() as client:
        found = tuple(reversed(_page(client, wanted, limit, before)))
    rows = tuple((str(one.seq), when(one.at), one.change.kind.value, about(one.change), one.change.by) for one in found)
    table = Table(("NO", "AT", "WHAT", "ABOUT", "BY"), rows, "nothing yet, or nothing that you may see: septum whoami")
    return Answer({"events": [to_json(one) for one in found]}, (table,))


def follow(call: Invocation, wanted: Wanted, limit: int) -> Answer:
    """The newest, and then what happens, without an end. Raises Interrupted: Ctrl-C."""
    try:
        with call.client() as client:
            for entry in _from_the_newest(client, wanted, limit):
                call.output.item(_json(entry), line(entry))
    except KeyboardInterrupt:
        raise Interrupted("no longer followed", hint="septum log events --follow") from None
    return Answer(None)


def _from_the_newest(client: Client, wanted: Wanted, limit: int) -> Iterator[FeedEntry]:
    found = tuple(reversed(_page(client, wanted, limit, 0)))
    yield from found
    after = found[-1].seq if found else 0
    yield from client.feed.watch(
        after=after, project=wanted.project, run=wanted.run, silo=wanted.silo, kinds=wanted.kinds
    )


def _page(client: Client, wanted: Wanted, limit: int, before: int) -> tuple[FeedEntry, ...]:
    return client.feed.page(
        limit=limit,
        after=before,
        project=wanted.project,
        run=wanted.run,
        silo=wanted.silo,
        kinds=wanted.kinds,
    )


def _json(entry: FeedEntry) -> Json:
    return to_json(entry)


def line(entry: FeedEntry) -> str:
    """An entry as a line of text."""
    change = entry.change
    by = f", by {change.by}" if change.by else ""
    return f"{when(entry.at)}  {change.kind.value}  {about(change)}{by}"


def about(change: Change) -> str:
    """What a change is about, and how it went.

    >>> from septum.protocol.feed import Kind
    >>> about(Change(Kind.GROUP_JOINED, "ada", silo="basel", group="cardio"))
    'silo basel, group cardio'
    """
    named = [f"{name} {value}" for name in _ABOUT if (value := getattr(change, name))]
    roles = [f"roles {' '.join(change.roles)}"] if change.roles else []
    ended = [change.outcome.value] if change.outcome else []
    return one_line(", ".join([*named, *roles, *ended, *([change.reason] if change.reason else [])]))
