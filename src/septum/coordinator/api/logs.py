"""Logs of runs: what agents and apps said, as far as each silo's policy lets it leave, and the coordinator itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import GIVES_EVENTS
from septum.coordinator.api.paging import Paged, answer_page, number_after
from septum.coordinator.api.scopes import of_run
from septum.coordinator.api.streams import stream
from septum.protocol.audit import AuditKind
from septum.protocol.log_lines import LogFilter, LogLevel, LogOrigin, LogView
from septum.protocol.rights import Right

router = APIRouter(prefix="/runs", tags=["logs"])

READ = Permission(
    Right.LOG_READ,
    "Read the log of a run: what its silos told of their agents and of its app, and the coordinator's own lines.",
    of_run,
    read=AuditKind.LOGS_READ,
)
MAX_TEXT_CHARS = 200


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines, in order."""

    items: tuple[LogView, ...]
    next: str | None


def wanted(
    silo: str = "",
    level: LogLevel = LogLevel.DEBUG,
    origin: LogOrigin | None = None,
    since: Annotated[float, Query(ge=0, le=1e12, allow_inf_nan=False)] = 0.0,
    round: Annotated[int | None, Query(ge=0, le=1_000_000)] = None,
    text: Annotated[str, Query(max_length=MAX_TEXT_CHARS)] = "",
) -> LogFilter:
    """Which lines are asked for."""
    return LogFilter(silo, level, origin, since, round, text)


Wanted = Annotated[LogFilter, Depends(wanted)]


@router.get("/{run_id}/logs", response_model=LogPage, dependencies=[Depends(READ)])
async def logs(
    request: Request,
    run_id: str,
    asked: Wanted,
    paging: Paged,
    before: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    """Lines of a run, in order; with `before` the newest before that line.

    silo    told by this one
    level   of this level or above
    origin  said by the agent, by the app, or by the coordinator
    since   at this Unix time or later
    round   of this round
    text    with this in it
    """
    after, limit = number_after(paging), paging.limit
    page = await parts_of(request).logs.page(run_id, asked, limit=limit, after=after, before=before)
    return answer_page(page, str(page[-1].seq) if len(page) == limit and before is None else None)


@router.get(
    "/{run_id}/logs/stream",
    response_class=StreamingResponse,
    dependencies=[Depends(READ)],
    responses=GIVES_EVENTS,
)
async def follow(
    request: Request,
    run_id: str,
    asked: Wanted,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    last_event_id: Annotated[int, Header(ge=0, le=2**53)] = 0,
) -> StreamingResponse:
    """The same as server-sent events, as they come. `Last-Event-ID` resumes it; It ends with the run."""
    parts = parts_of(request)
    await parts.service.plan(run_id)  # an unknown one is an error, not an empty stream
    seen = max(after, last_event_id)
    return stream(request, READ, lambda: parts.logs.hubs.watch(run_id, after=seen, wants=asked.holds))
