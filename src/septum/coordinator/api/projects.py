"""Projects: what runs belong to."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import ProjectPage, answer, private_body, takes
from septum.coordinator.api.paging import Paged, Q, answer_part, matches
from septum.coordinator.api.scopes import of_project, project_of
from septum.protocol.project_views import NewProject, ProjectView
from septum.protocol.rights import Right

router = APIRouter(prefix="/projects", tags=["projects"])

LIST = Permission(
    Right.PROJECT_READ, "See the projects over which, or over an owner of which, one has a role.", anywhere
)
READ = Permission(Right.PROJECT_READ, "See a project, and the silos that its runs may ask.", of_project)
ADD = Permission(Right.PROJECT_MANAGE, "Make a project over a group of silos.")
CLOSE = Permission(
    Right.PROJECT_MANAGE, "Close a project: it takes no new runs, and keeps those that it has.", of_project
)


@router.get("", response_model=ProjectPage, dependencies=[Depends(LIST)])
async def projects(request: Request, paging: Paged, q: Q = "") -> Response:
    """Those that the caller may see, by name."""
    found = await parts_of(request).projects.projects(caller_of(request))
    return answer_part([one for one in found if matches(q, one.name, one.description)], lambda one: (one.name,), paging)


@router.post(
    "", response_model=ProjectView, status_code=201, dependencies=[Depends(ADD)], openapi_extra=takes(NewProject)
)
async def add(request: Request) -> Response:
    """A new project."""
    return answer(
        await parts_of(request).projects.add(await private_body(NewProject, request), caller_of(request).name), 201
    )


@router.get("/{name}", response_model=ProjectView, dependencies=[Depends(READ)])
async def one(request: Request, name: str) -> Response:
    """One of them."""
    del name
    return answer(await parts_of(request).projects.view(project_of(request)))


@router.post("/{name}/close", response_model=ProjectView, dependencies=[Depends(CLOSE)])
async def close(request: Request, name: str) -> Response:
    """Take no new runs. One that is closed stays closed."""
    return answer(await parts_of(request).projects.close(name, caller_of(request).name))
