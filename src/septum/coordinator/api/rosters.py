"""The roster: which keys the silos of this federation have, as their administrators signed it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import JSON_TYPE, RosterPage, body_bytes, gives_bytes, takes_bytes
from septum.coordinator.api.paging import Paged, answer_page, number_after
from septum.errors import AuthError, ForbiddenError, NotFoundError
from septum.protocol.audit import AuditKind, Record
from septum.protocol.rights import Right

router = APIRouter(prefix="/roster", tags=["roster"])

READ = Permission(Right.ROSTER_READ, "Read the newest signed roster, and what each one changed.", anywhere)
PASS_ON = Permission(
    Right.ROSTER_PUSH, "Hand silos a newer roster, which its administrators have signed; silos check that themselves."
)


@router.get("", response_class=Response, dependencies=[Depends(READ)], responses=gives_bytes(JSON_TYPE))
async def newest(request: Request) -> Response:
    """The newest roster, to the byte as it was signed."""
    document = await asyncio.to_thread(parts_of(request).rosters.get)
    if document is None:
        raise NotFoundError("no roster was handed to this coordinator", hint="septum roster push FILE")
    return Response(document, media_type="application/json")


@router.get("/history", response_model=RosterPage, dependencies=[Depends(READ)])
async def history(request: Request, paging: Paged) -> Response:
    """The rosters that were handed to the coordinator: who is in each, who signed it, what it changed. Newest first."""
    rosters, before = parts_of(request).rosters, number_after(paging)
    page = await asyncio.to_thread(rosters.history, limit=paging.limit + 1, before=before)
    shown = page[: paging.limit]
    return answer_page(shown, str(shown[-1].serial) if len(page) > len(shown) else None)


@router.put("", status_code=204, dependencies=[Depends(PASS_ON)], openapi_extra=takes_bytes(JSON_TYPE))
async def put(request: Request) -> Response:
    """Keep the roster that follows the newest one. Silos ask for it; none trusts it for having come from here."""
    parts, document = parts_of(request), await body_bytes(request)
    try:
        roster = await asyncio.to_thread(parts.rosters.put, document)
    except AuthError as error:  # it lacks signatures; who hands it in is known, and stays signed in
        raise ForbiddenError(error.message, hint=error.hint) from error
    about = {"serial": str(roster.serial), "digest": roster.digest}
    await parts.audit.record(Record(AuditKind.ROSTER_PUSHED, caller_of(request).name, about))
    return Response(status_code=204)
