"""In what does the thing lie that a request is about: a run, a model, a project? For `Permission.on`.

What no right of the caller's covers is answered as if it were not there, whatever is asked of it. The names that are
close to a mistyped one are told to those alone who see all of them.
"""

from __future__ import annotations

import re

from fastapi import Request

from septum.coordinator.api.access import parts_of
from septum.coordinator.caller import Caller
from septum.errors import NotFoundError
from septum.ports.projects import Project
from septum.protocol.rights import Right, Scope, organisation

_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_OF_VERSIONS = (Right.MODEL_READ, Right.MODEL_APPROVE, Right.MODEL_DEPLOY)
# Any of them: it may be known.
_OF_RUNS = (Right.RUN_READ, Right.RUN_STEER, Right.MODEL_READ, Right.MODEL_DOWNLOAD, Right.MODEL_INSPECT)


async def of_run(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """Of the run that the path names. Raises NotFoundError, also for one that the caller may not see."""
    return await scopes_of_run(request, caller, request.path_params["run_id"])


async def of_run_if_named(request: Request, caller: Caller) -> tuple[Scope, ...] | None:
    """Of the run in the query, if there is one; the route shows no more than the caller may see."""
    run_id = request.query_params.get("run", "")
    return await scopes_of_run(request, caller, run_id) if run_id else None


async def of_run_named(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """Of the run in the query."""
    return await scopes_of_run(request, caller, request.query_params.get("run", ""))


async def of_version(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """Of the registered version that the path names. Raises NotFoundError, also for one that may not be seen."""
    name, version = str(request.path_params["name"]), str(request.path_params["version"])
    return await _scopes_of_version(request, caller, name, version)


async def of_deployment(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """Of the version that the deployment in the path is of."""
    id_ = str(request.path_params["id"])
    if not _NUMBER.fullmatch(id_):
        raise NotFoundError(f"there is no deployment {id_[:20]!r}", hint="septum model deployments")
    made = (await parts_of(request).registered.deployment(int(id_))).deployment
    return await _scopes_of_version(request, caller, made.name, str(made.version))


async def _scopes_of_version(request: Request, caller: Caller, name: str, version: str) -> tuple[Scope, ...]:
    error = NotFoundError(f"there is no version {version[:20]} of a model {name[:80]!r}", hint="septum model versions")
    if not _NUMBER.fullmatch(version):
        raise error
    within = await parts_of(request).registered.scopes(name, int(version))
    if not any(caller.may(right, *within) for right in _OF_VERSIONS):
        raise error
    return within


async def of_model(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """Of the run in the query, which has to have made the model that the path names; without one the federation."""
    run_id = request.query_params.get("run", "")
    if not run_id or caller.may(Right.MODEL_DOWNLOAD):
        return ()
    within = await scopes_of_run(request, caller, run_id)
    digest = request.path_params["digest"]
    if all(model.digest != digest for model in await parts_of(request).service.models(run_id)):
        raise NotFoundError(f"run {run_id} has no model {digest[:80]!r}", hint=f"septum model list --run {run_id}")
    return within


async def of_silo_models(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """Of the run that the path names; where one silo's are asked for, also the silo's organisation.

    So a silo's own people reach what is of their silo, and nothing else of a run that they may not see.
    """
    run_id = request.path_params["run_id"]
    silo = request.path_params.get("silo") or request.query_params.get("silo", "")
    own = await _scopes_of_silo(request, run_id, silo) if silo else ()
    try:
        return (*await scopes_of_run(request, caller, run_id), *own)
    except NotFoundError:
        if any(caller.may(right, scope) for scope in own for right in (Right.MODEL_READ, Right.MODEL_INSPECT)):
            return own
        raise


async def _scopes_of_silo(request: Request, run_id: str, silo: str) -> tuple[Scope, ...]:
    """In what a silo lies that takes part in a run; in nothing, where it does not."""
    parts = parts_of(request)
    try:
        silos = (await parts.service.plan(run_id)).silos
    except NotFoundError:
        return ()
    owner = parts.silos.owner(silo) if silo in silos else ""
    return (organisation(owner),) if owner else ()


async def of_project(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """Of the project that the path names. Raises NotFoundError, also for one that the caller may not see."""
    request.state.project = await parts_of(request).projects.project(caller, request.path_params["name"])
    return project_of(request).scopes


async def of_project_if_named(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """Of the project in the query; without one the federation."""
    name = request.query_params.get("project", "")
    if not name:
        return ()
    request.state.project = await parts_of(request).projects.project(caller, name, Right.RUN_SUBMIT)
    return project_of(request).scopes


def project_of(request: Request) -> Project:
    """The project that one of the functions above has found."""
    project = request.state.project
    assert isinstance(project, Project)
    return project


async def scopes_of_run(request: Request, caller: Caller, run_id: str) -> tuple[Scope, ...]:
    """In what a run lies. Raises NotFoundError, also for one that the caller may not see."""
    parts = parts_of(request)
    try:
        within = await parts.projects.scopes(await parts.service.project_of(run_id))
    except NotFoundError:
        if caller.may(Right.RUN_READ):
            return ()  # the route's own answer names the ids that are close
        raise _no_run(run_id) from None
    if not any(caller.may(right, *within) for right in _OF_RUNS):
        raise _no_run(run_id)
    return within


def _no_run(run_id: str) -> NotFoundError:
    return NotFoundError(f"there is no run {run_id[:80]!r}", hint="septum run list")
