"""Silos' own models, of runs without masks that keep them: which there are, and their bytes (docs/decisions/0030)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import SiloModelPage, gives_bytes
from septum.coordinator.api.conditional import named_by
from septum.coordinator.api.downloads import BlobResponse
from septum.coordinator.api.models import CONTENT_TYPE
from septum.coordinator.api.paging import Paged, answer_part
from septum.coordinator.api.scopes import of_silo_models
from septum.protocol.audit import AuditKind
from septum.protocol.plan import MAX_ROUNDS
from septum.protocol.rights import Right
from septum.protocol.silo_models import why_none

router = APIRouter(prefix="/runs", tags=["models"])

READ = Permission(
    Right.MODEL_READ,
    "See which silos' own models a run keeps; over an organisation its silos', by `?silo=`.",
    of_silo_models,
)
INSPECT = Permission(
    Right.MODEL_INSPECT,
    "Download a silo's own model, which holds what was learnt from its rows alone: who reviews the run, and who looks"
    " after the silo's organisation.",
    of_silo_models,
    read=AuditKind.MODEL_DOWNLOADED,
)


@router.get("/{run_id}/silo-models", response_model=SiloModelPage, dependencies=[Depends(READ)])
async def silo_models(
    request: Request,
    run_id: str,
    paging: Paged,
    silo: Annotated[str, Query(description="Those of this silo.")] = "",
    round_: Annotated[int | None, Query(alias="round", ge=1, le=MAX_ROUNDS, description="Those of this round.")] = None,
) -> Response:
    """By round and silo. `why`: why there are none, where the run does not keep them; a masked run never can."""
    parts = parts_of(request)
    why, found = why_none(await parts.service.plan(run_id)), await parts.silo_models.all(run_id)
    wanted = [one for one in found if silo in ("", one.silo) and round_ in (None, one.round)]
    return answer_part(wanted, lambda one: (one.round, one.silo), paging, why=why)


@router.get(
    "/{run_id}/silo-models/{round}/{silo}",
    status_code=200,
    response_class=BlobResponse,
    dependencies=[Depends(INSPECT)],
    responses=gives_bytes(CONTENT_TYPE),
)
async def silo_model(
    request: Request, run_id: str, round_: Annotated[int, Path(alias="round", ge=1, le=MAX_ROUNDS)], silo: str
) -> BlobResponse:
    """The file of a silo's model, in the safetensors layout. It is put together when it is first asked for."""
    found, opening = await parts_of(request).silo_models.one(run_id, silo, round_)
    name = f"{run_id}-round-{found.round}-{found.silo}.safetensors"
    return BlobResponse(opening, named_by(found.digest), CONTENT_TYPE, name)
