"""Silos: who takes part, who is invited, who may no longer."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import SiloPage, answer, answer_all
from septum.protocol.views import InviteView

router = APIRouter(prefix="/silos", tags=["silos"])

READ = Permission("See which silos there are and which are online.")
INVITE = Permission("Invite a silo: whoever holds the token can enrol under its name, once.")
REVOKE = Permission("Revoke a silo: its key is refused from then on.")


@router.get("", response_model=SiloPage, dependencies=[Depends(READ)])
async def silos(request: Request) -> Response:
    """Every invited or enrolled silo, by name."""
    return answer_all(parts_of(request).silos.views())


@router.post("/{name}/invite", response_model=InviteView, status_code=201, dependencies=[Depends(INVITE)])
async def invite(request: Request, name: str) -> Response:
    """A one-time token, valid for 24 hours. A newer one voids the older."""
    return answer(await parts_of(request).enrolment.invite(name), 201)


@router.delete("/{name}", status_code=204, dependencies=[Depends(REVOKE)])
async def revoke(request: Request, name: str) -> Response:
    """Refuse a silo's key from now on; its open requests end."""
    await parts_of(request).enrolment.revoke(name)
    return Response(status_code=204)
