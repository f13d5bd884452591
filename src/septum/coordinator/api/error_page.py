"""Errors: what each kind of problem means, for whoever follows its `type`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from septum.coordinator.api.access import Permission
from septum.coordinator.api.bodies import gives_bytes
from septum.coordinator.api.problems import page

router = APIRouter(prefix="/errors", tags=["errors"])

ANYONE = Permission(None, "Read, without a token, what each kind of error means.", public=True)


@router.get("", response_class=Response, dependencies=[Depends(ANYONE)], responses=gives_bytes("text/markdown"))
async def errors() -> Response:
    """The reference page of errors, in Markdown: the same in the documentation."""
    return Response(page(), media_type="text/markdown")
