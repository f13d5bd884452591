"""Models: which there are, and their bytes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse

from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import ModelPage, answer, answer_all
from septum.protocol.rights import Right
from septum.protocol.views import Pruned

router = APIRouter(prefix="/models", tags=["models"])

READ = Permission(Right.MODEL_READ, "See which models there are.")
DOWNLOAD = Permission(Right.MODEL_DOWNLOAD, "Download models, which hold what was learnt from all silos together.")
PRUNE = Permission(Right.MODEL_PRUNE, "Remove old models of ended runs from the coordinator's disk, for good.")
CONTENT_TYPE = "application/vnd.safetensors"


@router.get("", response_model=ModelPage, dependencies=[Depends(READ)])
async def models(request: Request, run: str = "") -> Response:
    """Every model of `run`, oldest first; without it the newest model of each run, newest run first."""
    return answer_all(await parts_of(request).service.models(run))


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


@router.get("/{digest}", response_class=FileResponse, dependencies=[Depends(DOWNLOAD)])
async def download(request: Request, digest: str) -> FileResponse:
    """A model's file, in the safetensors layout."""
    path = parts_of(request).service.model_path(digest)
    return FileResponse(path, media_type=CONTENT_TYPE, filename=f"{digest.partition(':')[2][:16]}.safetensors")
