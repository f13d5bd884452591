"""How does a program hear of what changes in the federation?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from septum.client.stream import Lines, follow
from septum.client.wire import list_of
from septum.protocol.codec import Json
from septum.protocol.feed import FeedEntry

Params = Mapping[str, str | list[str]]


class _Ask(Protocol):
    def __call__(self, method: str, path: str, body: Json = None, *, params: Params | None = None) -> Json:
        """The JSON of an answer."""


class FeedClient:
    """`/activity` and `/events`. Each method takes what is looked for.

    project, run, silo  what is about these
    kinds               as in `run.ended`, or all of a noun, as in `run`: one of these
    """

    def __init__(self, ask: _Ask, lines: Lines) -> None:
        self._ask = ask
        self._lines = lines

    def page(
        self,
        *,
        limit: int = 100,
        after: int = 0,
        project: str = "",
        run: str = "",
        silo: str = "",
        kinds: Sequence[str] = (),
    ) -> tuple[FeedEntry, ...]:
        """What has changed, newest first, at most `limit`; those that follow entry `after`, if that is not 0."""
        params = _params(project, run, silo, kinds) | {"limit": str(limit), **({"after": str(after)} if after else {})}
        return list_of(FeedEntry, self._ask("GET", "/activity", params=params))

    def watch(
        self,
        *,
        after: int | None = None,
        project: str = "",
        run: str = "",
        silo: str = "",
        kinds: Sequence[str] = (),
        patience_s: float = 60.0,
    ) -> Iterator[FeedEntry]:
        """What changes, as it does, without an end: from now on, or from entry `after` (exclusive) on.

        A broken connection is taken up again where it broke, for up to `patience_s` seconds without success.
        """
        if after is None:
            newest = self.page(limit=1, project=project, run=run, silo=silo, kinds=kinds)
            after = newest[0].seq if newest else 0
        params = _params(project, run, silo, kinds)
        return follow(
            FeedEntry,
            lambda known: self._lines("/events", known, params),
            after=after,
            patience_s=patience_s,
            over=lambda _: False,
        )


def _params(project: str, run: str, silo: str, kinds: Sequence[str]) -> dict[str, str | list[str]]:
    given = {"project": project, "run": run, "silo": silo}
    return {**{name: value for name, value in given.items() if value}, "kind": list(kinds)}
