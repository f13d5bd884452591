"""People: who may sign in, with which roles."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import PersonPage, answer, private_body, takes
from septum.coordinator.api.paging import Paged, Q, answer_part, matches
from septum.coordinator.caller import Caller
from septum.coordinator.people import person_view
from septum.ports.people import Person
from septum.protocol.audit import AuditKind
from septum.protocol.people_views import Grants, InvitationView, NewPerson, PersonView
from septum.protocol.rights import Right, Role, Scope
from septum.protocol.rights import organisation as over_organisation

router = APIRouter(prefix="/people", tags=["people"])


async def _of_path(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """The organisation of the person whom the path names. Raises NotFoundError for one whom the caller may not see."""
    person = await parts_of(request).people.person(caller, request.path_params["name"])
    request.state.person = person
    return (over_organisation(person.organisation),)


LIST = Permission(
    Right.USER_READ,
    "See the people of the organisations over which one has a role.",
    anywhere,
    read=AuditKind.PEOPLE_READ,
)
READ = Permission(Right.USER_READ, "See a person and their roles.", _of_path, read=AuditKind.PEOPLE_READ)
INVITE = Permission(
    Right.USER_MANAGE, "Invite people into an organisation: whoever holds the link can come in, once.", anywhere
)
MANAGE = Permission(
    Right.USER_MANAGE,
    "Give people roles and take them back, reset their passwords, suspend and restore them: roles whose rights one has "
    "oneself, and people who have no others.",
    _of_path,
)


@router.get("", response_model=PersonPage, dependencies=[Depends(LIST)])
async def people(
    request: Request,
    paging: Paged,
    q: Q = "",
    role: Annotated[Role | None, Query(description="With this role, over whatever.")] = None,
    organisation: Annotated[str, Query(description="Of this organisation.")] = "",
) -> Response:
    """Those whom the caller may see, by name."""
    found = [
        one
        for one in await parts_of(request).people.people(caller_of(request))
        if matches(q, one.name, one.full_name)
        and organisation in ("", one.organisation)
        and (role is None or any(grant.role is role for grant in one.grants))
    ]
    return answer_part(found, lambda one: (one.name,), paging)


@router.post(
    "", response_model=InvitationView, status_code=201, dependencies=[Depends(INVITE)], openapi_extra=takes(NewPerson)
)
async def invite(request: Request) -> Response:
    """A new person, and the link by which they come in once within 72 hours."""
    wanted = await private_body(NewPerson, request)
    return answer(await parts_of(request).people.invite(caller_of(request), wanted), 201)


@router.get("/{name}", response_model=PersonView, dependencies=[Depends(READ)])
async def one(request: Request, name: str) -> Response:
    """One of them."""
    del name
    return answer(person_view(_person(request)))


@router.put("/{name}/grants", response_model=PersonView, dependencies=[Depends(MANAGE)], openapi_extra=takes(Grants))
async def grant(request: Request, name: str) -> Response:
    """Give a person these roles, in place of those they had."""
    del name
    wanted = await private_body(Grants, request)
    return answer(await parts_of(request).people.set_grants(caller_of(request), _person(request), wanted.grants))


@router.post("/{name}/reset", response_model=InvitationView, dependencies=[Depends(MANAGE)])
async def reset(request: Request, name: str) -> Response:
    """Forget password, second factor, sessions and tokens of a person, and make a link by which they come in once."""
    del name
    return answer(await parts_of(request).people.reset(caller_of(request), _person(request)))


@router.post("/{name}/suspend", response_model=PersonView, dependencies=[Depends(MANAGE)])
async def suspend(request: Request, name: str) -> Response:
    """Let a person in no more; their sessions and tokens end at once."""
    del name
    return answer(await parts_of(request).people.suspend(caller_of(request), _person(request), suspended=True))


@router.post("/{name}/restore", response_model=PersonView, dependencies=[Depends(MANAGE)])
async def restore(request: Request, name: str) -> Response:
    """Let a suspended person in again."""
    del name
    return answer(await parts_of(request).people.suspend(caller_of(request), _person(request), suspended=False))


def _person(request: Request) -> Person:
    """The person whom `_of_path` has found."""
    person = request.state.person
    assert isinstance(person, Person)
    return person
