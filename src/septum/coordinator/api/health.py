"""Health: whether the coordinator answers."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum import __version__
from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import answer
from septum.protocol.views import HealthView, SiloStatus

router = APIRouter(prefix="/health", tags=["health"])

ANYONE = Permission(
    None, "Ask, without a token, whether the coordinator answers and how many runs and silos it has.", public=True
)


@router.get("", response_model=HealthView, dependencies=[Depends(ANYONE)])
async def health(request: Request) -> Response:
    """That it answers, its version, and what it carries."""
    parts = parts_of(request)
    online = sum(silo.status is SiloStatus.ONLINE for silo in parts.silos.views())
    return answer(HealthView(__version__, parts.started_at, parts.service.unfinished, online, parts.labels))
