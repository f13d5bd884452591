"""Models: which there are, and their bytes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from septum.coordinator.api.access import Permission, caller_of, parts_of
from septum.coordinator.api.bodies import ModelPage, answer, gives_bytes
from septum.coordinator.api.conditional import named_by
from septum.coordinator.api.downloads import BlobResponse
from septum.coordinator.api.paging import Paged, answer_page, answer_part
from septum.coordinator.api.scopes import of_model, of_run_if_named, scopes_of_run
from septum.ports.store import RunFilter
from septum.protocol.audit import AuditKind
from septum.protocol.rights import Right
from septum.protocol.views import Pruned

router = APIRouter(prefix="/models", tags=["models"])

READ = Permission(Right.MODEL_READ, "See the models of the runs that one may see.", of_run_if_named)
DOWNLOAD = Permission(
    Right.MODEL_DOWNLOAD,
    "Download models, which hold what was learnt from all silos; over a project those of its runs, with `?run=`.",
    of_model,
    read=AuditKind.MODEL_DOWNLOADED,
)
PRUNE = Permission(Right.MODEL_PRUNE, "Remove old models of ended runs from the coordinator's disk, for good.")
CONTENT_TYPE = "application/vnd.safetensors"


@router.get("", response_model=ModelPage, dependencies=[Depends(READ)])
async def models(request: Request, paging: Paged, run: str = "") -> Response:
    """Every model of `run`, oldest first; without it the newest model of each run, newest run first.

    Of runs that have made none there is nothing, so a page may have fewer items than `limit`, and another one follow.
    """
    parts = parts_of(request)
    if run:
        return answer_part(await parts.service.models(run), lambda model: (model.round,), paging)
    seen = await parts.projects.where(caller_of(request), Right.MODEL_READ)
    if paging.after:
        await scopes_of_run(request, caller_of(request), paging.after)
    page = await parts.service.runs(wanted=RunFilter(seen), limit=paging.limit, before=paging.after)
    following = page[-1].run_id if len(page) == paging.limit else None
    return answer_page([one.model for one in page if one.model], following)


@router.post("/prune", response_model=Pruned, dependencies=[Depends(PRUNE)])
async def prune(
    request: Request,
    newest: Annotated[int, Query(ge=1, le=100_000)] = 2,
    older_than_days: Annotated[float, Query(ge=0, le=36_500)] = 30.0,
    really: bool = False,
) -> Response:
    """What can go of runs that ended long ago: all but the newest and the best models. `really`: it goes."""
    seconds = older_than_days * 86_400.0
    found = await parts_of(request).pruning.prune(newest=newest, older_than_s=seconds, really=really)
    return answer(found)


@router.get(
    "/{digest}",
    status_code=200,
    response_class=BlobResponse,
    dependencies=[Depends(DOWNLOAD)],
    responses=gives_bytes(CONTENT_TYPE),
)
async def download(request: Request, digest: str, run: str = "") -> BlobResponse:
    """A model's file, in the safetensors layout.

    `run`: one that made it, whose file is sent. Without it, for roles over the federation, the newest that has one.
    """
    service, name = parts_of(request).service, f"{digest.partition(':')[2][:16]}.safetensors"
    if run:
        await service.check_model(run, digest)
    else:
        run = await service.run_with(digest)
    return BlobResponse(service.model(run, digest), named_by(digest), CONTENT_TYPE, name)
