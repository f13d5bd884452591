"""Which run does somebody mean? By its id, or by its name where one run alone has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from septum.errors import ConfigError

if TYPE_CHECKING:
    from septum.client import Client

_ID = re.compile(r"r-[a-z2-7]{12}")
LOOKED_AT = 100  # of the newest runs of a name


def meant(client: Callable[[], Client], given: object) -> object:
    """The ids of the runs that a command line names: one, several, or none.

    What is the name of no run stays as it is: the coordinator knows which ids are close. Raises ConfigError for a name
    that several runs have.
    """
    if isinstance(given, str):
        return _ids(client, [given])[0]
    if isinstance(given, Sequence):
        return _ids(client, [str(one) for one in given])
    return given


def _ids(client: Callable[[], Client], given: Sequence[str]) -> list[str]:
    if all(not one or _ID.fullmatch(one) for one in given):
        return list(given)
    with client() as asked:
        return [one if not one or _ID.fullmatch(one) else _only(one, asked) for one in given]


def _only(name: str, client: Client) -> str:
    ids = [run.id for run in client.runs(name=name, limit=LOOKED_AT) if run.name == name]
    if len(ids) > 1:
        raise ConfigError(
            f"{len(ids)} runs are named {name!r}: {', '.join(ids[:10])}{' ...' if len(ids) > 10 else ''}",
            hint="septum run list; then say the id",
        )
    return ids[0] if ids else name
