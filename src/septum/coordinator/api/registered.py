"""Models under a name: registered, approved, retired."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import ModelVersionPage, answer, private_body, takes
from septum.coordinator.api.paging import Paged, Q, answer_part, matches
from septum.coordinator.api.scopes import of_run_named, of_version
from septum.protocol.registered import ModelStage, ModelVersionView, NewVersion
from septum.protocol.rights import Right

router = APIRouter(prefix="/models/versions", tags=["models"])

LIST = Permission(Right.MODEL_READ, "See the registered versions of the models that one may see.", anywhere)
READ = Permission(Right.MODEL_READ, "See a registered version: what made it, who approved it, who uses it.", of_version)
REGISTER = Permission(Right.MODEL_REGISTER, "Register a run's model under a name, as a candidate.", of_run_named)
APPROVE = Permission(
    Right.MODEL_APPROVE, "Approve a version that somebody else registered, so that it can be deployed.", of_version
)
RETIRE = Permission(Right.MODEL_DEPLOY, "Retire a version: no silo uses it any more, for good.", of_version)


@router.get("", response_model=ModelVersionPage, dependencies=[Depends(LIST)])
async def versions(
    request: Request,
    paging: Paged,
    q: Q = "",
    name: str = "",
    stage: Annotated[list[ModelStage] | None, Query(description="That have come so far; may be repeated.")] = None,
) -> Response:
    """Those that the caller may see, by name and number; of one `name`, or of all."""
    found = await parts_of(request).registered.versions(caller_of(request), name, frozenset(stage or ()))
    found = tuple(one for one in found if matches(q, one.version.name))
    return answer_part(found, lambda one: (one.version.name, one.version.version), paging)


@router.post(
    "",
    response_model=ModelVersionView,
    status_code=201,
    dependencies=[Depends(REGISTER)],
    openapi_extra=takes(NewVersion),
)
async def register(request: Request, run: str) -> Response:
    """A model of `run` under a name; the same model again is the version that it is already."""
    wanted = await private_body(NewVersion, request)
    return answer(await parts_of(request).registered.register(caller_of(request), run, wanted), 201)


@router.get("/{name}/{version}", response_model=ModelVersionView, dependencies=[Depends(READ)])
async def one(request: Request, name: str, version: int) -> Response:
    """One of them."""
    return answer(await parts_of(request).registered.version(name, version))


@router.post("/{name}/{version}/approve", response_model=ModelVersionView, dependencies=[Depends(APPROVE)])
async def approve(request: Request, name: str, version: int) -> Response:
    """Say that it may be used. One that is approved stays so."""
    return answer(await parts_of(request).registered.approve(caller_of(request), name, version))


@router.post("/{name}/{version}/retire", response_model=ModelVersionView, dependencies=[Depends(RETIRE)])
async def retire(request: Request, name: str, version: int) -> Response:
    """Let no silo use it any more. One that is retired stays so."""
    return answer(await parts_of(request).registered.retire(caller_of(request), name, version))
