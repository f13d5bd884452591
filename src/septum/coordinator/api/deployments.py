"""Deployments: which silos are to use which version of a model, and how far they have got."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import DeploymentPage, answer, private_body, takes
from septum.coordinator.api.paging import Paged, answer_part
from septum.coordinator.api.scopes import of_deployment
from septum.protocol.registered import DeploymentView, NewDeployment
from septum.protocol.rights import Right

router = APIRouter(prefix="/deployments", tags=["deployments"])

LIST = Permission(Right.MODEL_READ, "See the deployments of the models that one may see.", anywhere)
READ = Permission(Right.MODEL_READ, "See a deployment, and how far each silo has got with it.", of_deployment)
DEPLOY = Permission(
    Right.MODEL_DEPLOY, "Deploy an approved version to silos or to a group of them; an older one again is a rollback."
)


@router.get("", response_model=DeploymentPage, dependencies=[Depends(LIST)])
async def deployments(request: Request, paging: Paged, name: str = "") -> Response:
    """Those that the caller may see, newest first; of one `name`, or of all."""
    found = await parts_of(request).registered.deployments(caller_of(request), name)
    return answer_part(found, lambda one: (-one.deployment.id,), paging)


@router.post(
    "",
    response_model=DeploymentView,
    status_code=201,
    dependencies=[Depends(DEPLOY)],
    openapi_extra=takes(NewDeployment),
)
async def deploy(request: Request) -> Response:
    """Let silos use a version under its name, in place of what they use."""
    wanted = await private_body(NewDeployment, request)
    return answer(await parts_of(request).registered.deploy(caller_of(request), wanted), 201)


@router.get("/{id}", response_model=DeploymentView, dependencies=[Depends(READ)])
async def one(request: Request, id: int) -> Response:
    """One of them."""
    return answer(await parts_of(request).registered.deployment(id))
