"""Loads: how busy the silos' machines are, and the coordinator's own."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import answer
from septum.coordinator.api.scopes import of_run
from septum.coordinator.api.silos import seen_in_path
from septum.coordinator.loads import OWN
from septum.errors import NotFoundError, did_you_mean
from septum.protocol.rights import Right
from septum.protocol.system import MAX_POINTS, SystemSeries

router = APIRouter(tags=["loads"])

OF_SILO = Permission(Right.SILO_READ, "See how busy the machine of a silo is that one may see.", seen_in_path)
OF_RUN = Permission(Right.RUN_READ, "See how busy the machine of a run's silo was, while the run was at work.", of_run)
OF_COORDINATOR = Permission(Right.SILO_READ, "See how busy the coordinator's own machine is.")
HOUR_S = 3_600.0

At = Annotated[float | None, Query(ge=0, le=1e12, allow_inf_nan=False)]
Points = Annotated[int, Query(ge=1, le=MAX_POINTS)]


@router.get("/silos/{name}/system", response_model=SystemSeries, dependencies=[Depends(OF_SILO)])
async def of_silo(request: Request, name: str, since: At = None, until: At = None, points: Points = 360) -> Response:
    """At most so many points between two Unix times, by default of the last hour; each with the mean and the highest.

    Points are 10 s long for the last hour, 60 s for the last day, half an hour for the last 30 days.
    """
    return await _series(request, name, since, until, points)


@router.get("/runs/{run_id}/system", response_model=SystemSeries, dependencies=[Depends(OF_RUN)])
async def of_run_(request: Request, run_id: str, silo: str, points: Points = 360) -> Response:
    """The same of a silo of the run, from the run's beginning to its end, or till now."""
    service = parts_of(request).service
    silos = (await service.plan(run_id)).silos
    if silo not in silos:
        raise NotFoundError(
            f"silo {silo[:80]!r} is not part of run {run_id}; {did_you_mean(silo, silos)}",
            hint=f"septum run show {run_id}",
        )
    began_at, ended_at = await service.times(run_id)
    return await _series(request, silo, began_at, ended_at, points)


@router.get("/system", response_model=SystemSeries, dependencies=[Depends(OF_COORDINATOR)])
async def of_coordinator(request: Request, since: At = None, until: At = None, points: Points = 360) -> Response:
    """The same of the coordinator's own machine."""
    return await _series(request, OWN, since, until, points)


async def _series(request: Request, silo: str, since: float | None, until: float | None, points: int) -> Response:
    parts = parts_of(request)
    now = parts.clock.unix()
    since = now - HOUR_S if since is None else since
    found = await parts.loads.series(silo, since=since, until=math.inf if until is None else until, points=points)
    return answer(found)
