"""Who may call a route? Each route names its permission, a sentence, beside it; a test finds routes without one."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from septum.coordinator.apps import Apps
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.operator import check_bearer
from septum.coordinator.rosters import Rosters
from septum.coordinator.service import RunService
from septum.coordinator.silos import Silos
from septum.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the routes need."""

    service: RunService
    silos: Silos
    enrolment: Enrolment
    apps: Apps
    rosters: Rosters
    clock: Clock
    operator_digest: bytes
    started_at: float


@dataclass(frozen=True, slots=True)
class Permission:
    """What a route lets its caller do. `public`: without a token."""

    sentence: str
    public: bool = False

    async def __call__(self, request: Request) -> None:
        """Let the request pass, or raise AuthError."""
        if not self.public:
            check_bearer(request.headers.get("authorization", ""), parts_of(request).operator_digest)


def parts_of(request: Request) -> ApiParts:
    """The parts that the app was made with."""
    parts = request.app.state.parts
    assert isinstance(parts, ApiParts)
    return parts
