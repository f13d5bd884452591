"""Models: which there are, and their bytes."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from septum.coordinator.api.access import Permission, caller_of, parts_of
from septum.coordinator.api.bodies import ModelPage, answer_all
from septum.coordinator.api.scopes import of_model, of_run_if_named
from septum.ports.store import RunFilter
from septum.protocol.rights import Right

router = APIRouter(prefix="/models", tags=["models"])

READ = Permission(Right.MODEL_READ, "See the models of the runs that one may see.", of_run_if_named)
DOWNLOAD = Permission(
    Right.MODEL_DOWNLOAD,
    "Download models, which hold what was learnt from all silos; over a project those of its runs, with `?run=`.",
    of_model,
)
CONTENT_TYPE = "application/vnd.safetensors"


@router.get("", response_model=ModelPage, dependencies=[Depends(READ)])
async def models(request: Request, run: str = "") -> Response:
    """Every model of `run`, oldest first; without it the newest model of each run, newest run first."""
    parts = parts_of(request)
    if run:
        return answer_all(await parts.service.models(run))
    seen = await parts.projects.where(caller_of(request), Right.MODEL_READ)
    return answer_all(await parts.service.newest_models(RunFilter(seen)))


@router.get("/{digest}", response_class=FileResponse, dependencies=[Depends(DOWNLOAD)])
async def download(request: Request, digest: str, run: str = "") -> FileResponse:
    """A model's file, in the safetensors layout. `run`: one that made it, for roles over its project."""
    del run
    path = parts_of(request).service.model_path(digest)
    return FileResponse(path, media_type=CONTENT_TYPE, filename=f"{digest.partition(':')[2][:16]}.safetensors")
