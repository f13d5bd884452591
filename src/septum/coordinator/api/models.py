"""Models: which there are, and their bytes."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import ModelPage, answer_all
from septum.protocol.rights import Right

router = APIRouter(prefix="/models", tags=["models"])

READ = Permission(Right.MODEL_READ, "See which models there are.")
DOWNLOAD = Permission(Right.MODEL_DOWNLOAD, "Download models, which hold what was learnt from all silos together.")
CONTENT_TYPE = "application/vnd.safetensors"


@router.get("", response_model=ModelPage, dependencies=[Depends(READ)])
async def models(request: Request, run: str = "") -> Response:
    """Every model of `run`, oldest first; without it the newest model of each run, newest run first."""
    return answer_all(await parts_of(request).service.models(run))


@router.get("/{digest}", response_class=FileResponse, dependencies=[Depends(DOWNLOAD)])
async def download(request: Request, digest: str) -> FileResponse:
    """A model's file, in the safetensors layout."""
    path = parts_of(request).service.model_path(digest)
    return FileResponse(path, media_type=CONTENT_TYPE, filename=f"{digest.partition(':')[2][:16]}.safetensors")
