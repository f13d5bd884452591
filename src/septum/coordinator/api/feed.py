"""The feed: what has changed in the federation, as far as who asks may see what has changed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of, still
from septum.coordinator.api.bodies import GIVES_EVENTS, FeedPage
from septum.coordinator.api.paging import Paged, answer_page, number_after
from septum.coordinator.api.silos import seen_silos
from septum.coordinator.api.streams import stream
from septum.coordinator.caller import Caller
from septum.errors import ConfigError
from septum.protocol.feed import RIGHT_TO_SEE, FeedEntry, FeedFilter, Noun, Sight, kinds_of
from septum.protocol.rights import Right, organisation

router = APIRouter(tags=["feed"])

READ = Permission(
    None, "See what has changed in the federation, of that alone which one may see anyway, and who did it.", anywhere
)
Kinds = Annotated[list[str] | None, Query()]


@router.get("/activity", response_model=FeedPage, dependencies=[Depends(READ)])
async def activity(
    request: Request,
    paging: Paged,
    project: str = "",
    run: str = "",
    silo: str = "",
    kind: Kinds = None,
) -> Response:
    """What has changed, newest first.

    project, run, silo  what is about these
    kind                as in run.ended, or all of a noun, as in run; may be repeated: one of these
    """
    wanted = FeedFilter(project, run, silo, kinds_of(tuple(kind or ())))
    sight = await _sight(request, caller_of(request))
    page = await parts_of(request).feed.page(sight, wanted, limit=paging.limit, before=number_after(paging))
    return answer_page(page, str(page[-1].seq) if len(page) == paging.limit else None)


@router.get("/events", response_class=StreamingResponse, dependencies=[Depends(READ)], responses=GIVES_EVENTS)
async def events(
    request: Request,
    after: Annotated[int | None, Query(ge=0)] = None,
    project: str = "",
    run: str = "",
    silo: str = "",
    kind: Kinds = None,
) -> StreamingResponse:
    """What changes, as server-sent events, from now on, or from entry `after` (exclusive). `Last-Event-ID` resumes it.

    Its other parameters are those of `activity`.
    """
    feed, wanted = parts_of(request).feed, FeedFilter(project, run, silo, kinds_of(tuple(kind or ())))
    begin = _last_event_id(request)
    begin = after if begin is None else begin
    begin = await feed.newest() if begin is None else begin
    looking = _Looking(request, wanted)
    await looking.again()
    return stream(request, READ, lambda: feed.entries.watch("", after=begin, wants=looking.wants), looking.again)


class _Looking:
    """What somebody who watches may see, and wants: the former is asked again now and then."""

    def __init__(self, request: Request, wanted: FeedFilter) -> None:
        self._request = request
        self._wanted = wanted
        self._sight = Sight({})

    def wants(self, entry: FeedEntry) -> bool:
        """Whether an entry is shown."""
        return self._wanted.wants(entry.change) and self._sight.sees(entry.change)

    async def again(self) -> bool:
        """Look up what they may see now; False if they may not ask any more."""
        if not await still(READ, self._request):
            return False
        self._sight = await _sight(self._request, caller_of(self._request))
        return True


def _last_event_id(request: Request) -> int | None:
    text = request.headers.get("last-event-id", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ConfigError(f"Last-Event-ID is the number of an entry, not {text[:40]!r}")
    return int(text)


async def _sight(request: Request, caller: Caller) -> Sight:
    """Of which changes somebody may know: of what the lists show them."""
    parts = parts_of(request)
    places: dict[Noun, frozenset[str] | None] = {
        noun: None for noun, right in RIGHT_TO_SEE.items() if caller.may(right)
    }
    if caller.may_somewhere(Right.APP_READ):
        places[Noun.APP] = None
    for noun in (Noun.RUN, Noun.MODEL, Noun.PROJECT):
        if noun not in places and caller.may_somewhere(RIGHT_TO_SEE[noun]):
            places[noun] = await parts.projects.where(caller, RIGHT_TO_SEE[noun])
    if Noun.SILO not in places:
        places[Noun.SILO] = frozenset(view.name for view in await seen_silos(request, caller))
    if Noun.GROUP not in places:
        places[Noun.GROUP] = frozenset(group.name for group in await parts.groups.groups(caller))
    over = {grant.scope.name for grant in caller.person.grants}  # any scope: the right is asked below
    for noun in (Noun.PERSON, Noun.ORGANISATION, Noun.TOKEN):
        if noun not in places:
            right = RIGHT_TO_SEE[noun]
            places[noun] = frozenset(name for name in over if name and caller.may(right, organisation(name)))
    return Sight(places)
