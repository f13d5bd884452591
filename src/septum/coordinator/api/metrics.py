"""Metrics: how the coordinator is doing, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import gives_bytes
from septum.protocol.exposition import CONTENT_TYPE
from septum.protocol.rights import Right

router = APIRouter(prefix="/metrics", tags=["metrics"])

READ = Permission(
    Right.METRICS_READ,
    "Read how the coordinator is doing, in numbers over all runs and silos; `/metrics` is the same for Prometheus.",
)


@router.get("", response_class=Response, dependencies=[Depends(READ)], responses=gives_bytes("text/plain"))
async def metrics(request: Request) -> Response:
    """All metrics in Prometheus' text format; docs/reference/metrics.md says what each one is."""
    return Response(await parts_of(request).scrape.page(), headers={"content-type": CONTENT_TYPE})
