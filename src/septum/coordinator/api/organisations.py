"""Organisations: the members of the federation."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import OrganisationPage, answer, private_body, takes
from septum.coordinator.api.paging import Paged, Q, answer_part, matches
from septum.coordinator.caller import Caller
from septum.protocol.people_views import NewOrganisation, OrganisationView
from septum.protocol.rights import Right, Scope, organisation

router = APIRouter(prefix="/organisations", tags=["organisations"])


async def _of_path(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """The organisation that the path names. Raises NotFoundError for one that the caller may not see."""
    name = request.path_params["name"]
    return (organisation((await parts_of(request).people.organisation(caller, name)).name),)


LIST = Permission(
    Right.ORG_READ, "See the organisations over which one has a role; over the federation: all.", anywhere
)
READ = Permission(Right.ORG_READ, "See an organisation.", _of_path)
ADD = Permission(Right.ORG_MANAGE, "Take a new organisation into the federation.")
REMOVE = Permission(Right.ORG_MANAGE, "Remove an organisation that has neither silos nor people.")


@router.get("", response_model=OrganisationPage, dependencies=[Depends(LIST)])
async def organisations(request: Request, paging: Paged, q: Q = "") -> Response:
    """Those that the caller may see, by name."""
    found = await parts_of(request).people.organisations(caller_of(request))
    return answer_part([one for one in found if matches(q, one.name, one.title)], lambda one: (one.name,), paging)


@router.post(
    "",
    response_model=OrganisationView,
    status_code=201,
    dependencies=[Depends(ADD)],
    openapi_extra=takes(NewOrganisation),
)
async def add(request: Request) -> Response:
    """A new organisation."""
    return answer(
        await parts_of(request).people.add_organisation(
            await private_body(NewOrganisation, request), caller_of(request).name
        ),
        201,
    )


@router.get("/{name}", response_model=OrganisationView, dependencies=[Depends(READ)])
async def one(request: Request, name: str) -> Response:
    """One of them."""
    return answer(await parts_of(request).people.organisation(caller_of(request), name))


@router.delete("/{name}", status_code=204, dependencies=[Depends(REMOVE)])
async def remove(request: Request, name: str) -> Response:
    """Forget an organisation; refused while it has silos, people, or roles over it."""
    await parts_of(request).people.remove_organisation(name, caller_of(request).name)
    return Response(status_code=204)
