"""Groups: silos under one name."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import GroupPage, answer, private_body, takes
from septum.coordinator.api.paging import Paged, Q, answer_part, matches
from septum.protocol.project_views import GroupView, NewGroup
from septum.protocol.rights import Right

router = APIRouter(prefix="/groups", tags=["groups"])

READ = Permission(
    Right.GROUP_READ,
    "See the groups of silos in which a silo of one's organisation is, or whose project one has a role over.",
    anywhere,
)
MANAGE = Permission(Right.GROUP_MANAGE, "Make groups of silos, take silos in and out, remove groups.")


@router.get("", response_model=GroupPage, dependencies=[Depends(READ)])
async def groups(request: Request, paging: Paged, q: Q = "") -> Response:
    """Those that the caller may see, by name."""
    found = await parts_of(request).groups.groups(caller_of(request))
    return answer_part([one for one in found if matches(q, one.name)], lambda one: (one.name,), paging)


@router.post(
    "", response_model=GroupView, status_code=201, dependencies=[Depends(MANAGE)], openapi_extra=takes(NewGroup)
)
async def add(request: Request) -> Response:
    """A new group."""
    return answer(
        await parts_of(request).groups.add(await private_body(NewGroup, request), caller_of(request).name), 201
    )


@router.get("/{name}", response_model=GroupView, dependencies=[Depends(READ)])
async def one(request: Request, name: str) -> Response:
    """One of them."""
    return answer(await parts_of(request).groups.group(caller_of(request), name))


@router.delete("/{name}", status_code=204, dependencies=[Depends(MANAGE)])
async def remove(request: Request, name: str) -> Response:
    """Forget a group; refused while a project has it. Its silos stay what they are."""
    await parts_of(request).groups.remove(name, caller_of(request).name)
    return Response(status_code=204)


@router.put("/{name}/silos/{silo}", response_model=GroupView, dependencies=[Depends(MANAGE)])
async def put(request: Request, name: str, silo: str) -> Response:
    """Take a silo in; one that is in it stays."""
    return answer(await parts_of(request).groups.put(name, silo, caller_of(request).name))


@router.delete("/{name}/silos/{silo}", response_model=GroupView, dependencies=[Depends(MANAGE)])
async def drop(request: Request, name: str, silo: str) -> Response:
    """Take a silo out. Runs that it takes part in go on with it; new ones of the group's projects cannot ask it."""
    return answer(await parts_of(request).groups.drop(name, silo, caller_of(request).name))
