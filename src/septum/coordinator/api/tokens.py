"""Tokens: by which programs speak for a person."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, caller_of, parts_of
from septum.coordinator.api.bodies import TokenPage, answer, private_body, takes
from septum.coordinator.api.paging import Paged, answer_part
from septum.protocol.people_views import MadeToken, NewToken

router = APIRouter(prefix="/tokens", tags=["tokens"])

READ = Permission(None, "See one's own tokens, without their secrets.")
MAKE = Permission(None, "Make a token with some of one's own rights, for a program.", in_person=True)
REVOKE = Permission(None, "Revoke one's own tokens.", in_person=True)


@router.get("", response_model=TokenPage, dependencies=[Depends(READ)])
async def tokens(request: Request, paging: Paged) -> Response:
    """The caller's own, newest first."""
    found = await parts_of(request).account.tokens(caller_of(request))
    return answer_part(found, lambda one: (-one.created_at, one.id), paging)


@router.post("", response_model=MadeToken, status_code=201, dependencies=[Depends(MAKE)], openapi_extra=takes(NewToken))
async def make(request: Request) -> Response:
    """A new token; its secret is shown this once."""
    wanted = await private_body(NewToken, request)
    return answer(await parts_of(request).account.make_token(caller_of(request), wanted), 201)


@router.delete("/{token_id}", status_code=204, dependencies=[Depends(REVOKE)])
async def revoke(request: Request, token_id: str) -> Response:
    """End a token at once."""
    await parts_of(request).account.revoke_token(caller_of(request), token_id)
    return Response(status_code=204)
