"""The roster: which keys the silos of this federation have, as their administrators signed it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, anywhere, parts_of
from septum.coordinator.api.bodies import JSON_TYPE, body_bytes, gives_bytes, takes_bytes
from septum.errors import NotFoundError
from septum.protocol.rights import Right

router = APIRouter(prefix="/roster", tags=["roster"])

READ = Permission(Right.ROSTER_READ, "Read the newest signed roster.", anywhere)
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


@router.put("", status_code=204, dependencies=[Depends(PASS_ON)], openapi_extra=takes_bytes(JSON_TYPE))
async def put(request: Request) -> Response:
    """Keep the roster that follows the newest one. Silos ask for it; none trusts it for having come from here."""
    document = await body_bytes(request)
    await asyncio.to_thread(parts_of(request).rosters.put, document)
    return Response(status_code=204)
