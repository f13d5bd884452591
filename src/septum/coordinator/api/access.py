"""Who may call a route? Each route names its permission beside it: a right, a sentence, and on what it is asked.

Here is the one place where a request meets `caller.Caller.may`. A route whose thing lies in an organisation or project
says with `on` where that is; a function for `on` raises NotFoundError for what the caller may not even see.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from septum.coordinator.account import Account
from septum.coordinator.apps import Apps
from septum.coordinator.audit import Audit
from septum.coordinator.caller import Caller, Via
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.feed import Feed
from septum.coordinator.groups import Groups
from septum.coordinator.links import Links
from septum.coordinator.loads import Loads
from septum.coordinator.login import Login, unknown
from septum.coordinator.logs import Logs
from septum.coordinator.loopback import COOKIE_NAME
from septum.coordinator.oidc import Oidc
from septum.coordinator.people import People
from septum.coordinator.projects import Projects
from septum.coordinator.pruning import Pruning
from septum.coordinator.registered import Registered
from septum.coordinator.rosters import Rosters
from septum.coordinator.scrape import Scrape
from septum.coordinator.seats import Seats
from septum.coordinator.service import RunService
from septum.coordinator.shredding import Shredding
from septum.coordinator.silo_models import SiloModels
from septum.coordinator.silos import Silos
from septum.errors import AuthError, ForbiddenError, SeptumError
from septum.ports.clock import Clock
from septum.protocol.audit import AuditKind, Record
from septum.protocol.rights import Right, Scope

COOKIE = "__Host-septum"  # by its name alone a browser insists on TLS, path / and this very host
CSRF_HEADER = "x-septum-csrf"
_SAFE = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the routes need."""

    service: RunService
    silos: Silos
    enrolment: Enrolment
    apps: Apps
    rosters: Rosters
    clock: Clock
    login: Login
    people: People
    account: Account
    pruning: Pruning
    shredding: Shredding
    oidc: Oidc | None
    groups: Groups
    projects: Projects
    registered: Registered
    silo_models: SiloModels
    feed: Feed
    audit: Audit
    seats: Seats
    logs: Logs
    loads: Loads
    links: Links
    scrape: Scrape
    labels: tuple[str, ...]
    started_at: float

    @property
    def issuer(self) -> str:
        """The identity provider's; empty without one."""
        return self.oidc.issuer if self.oidc else ""


On = Callable[[Request, Caller], Awaitable[tuple[Scope, ...] | None]]


async def federation(_request: Request, _caller: Caller) -> tuple[Scope, ...]:
    """The thing is the federation's: a role over an organisation or a project is not enough."""
    return ()


async def anywhere(_request: Request, _caller: Caller) -> None:
    """The right over anything is enough: the route itself shows no more than the caller may see."""
    return


@dataclass(frozen=True, slots=True)
class Permission:
    """What a route lets its caller do.

    right     that a role has to give; None: whoever is signed in, with what is theirs
    on        the scopes in which the thing of this request lies; None where any will do
    in_person a session is needed: neither a personal token nor the operator's
    public    no token is needed
    read      what the audit log has of a request that passes; None where what it changes is recorded, or nothing
    """

    right: Right | None
    sentence: str
    on: On = federation
    in_person: bool = False
    public: bool = False
    read: AuditKind | None = None

    async def __call__(self, request: Request) -> None:
        """Let the request pass, or raise AuthError, ForbiddenError or NotFoundError; what is to be is recorded."""
        audit, asked = parts_of(request).audit, f"{request.method} {request.url.path}"
        try:
            await self.check(request)
        except AuthError as error:
            caller = getattr(request.state, "caller", None)
            about = {"asked": asked, "address": address_of(request), "because": error.code}
            await audit.refused(Record(AuditKind.ACCESS_REFUSED, caller.name if caller else "", about))
            raise
        if self.read is not None:
            await audit.read(self.read, caller_of(request).name, asked=asked)

    async def check(self, request: Request) -> None:
        """Whether the request may pass."""
        if self.public:
            return
        caller = await _caller(request)
        request.state.caller = caller
        if self.in_person and caller.via is not Via.SESSION:
            raise ForbiddenError("this is done by a person who has signed in, not with a token", hint="septum login")
        if self.right is None:
            return
        within = await self.on(request, caller)
        if not (caller.may_somewhere(self.right) if within is None else caller.may(self.right, *within)):
            raise caller.refused(self.right)


async def still(permission: Permission, request: Request) -> bool:
    """Whether the request would pass now as well: for answers that take long."""
    try:
        await permission.check(request)
    except SeptumError:
        return False
    return True


def caller_of(request: Request) -> Caller:
    """Who asks. For routes that are not public."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


def address_of(request: Request) -> str:
    """From where a request came; of a proxy, if one is in between."""
    return request.client.host if request.client else ""


def cookie_of(request: Request) -> str:
    """The name of the session's cookie: another one where the request came over loopback, without TLS."""
    return str(request.scope.get(COOKIE_NAME, COOKIE))


def parts_of(request: Request) -> ApiParts:
    """The parts that the app was made with."""
    parts = request.app.state.parts
    assert isinstance(parts, ApiParts)
    return parts


async def _caller(request: Request) -> Caller:
    login, (scheme, _, bearer) = parts_of(request).login, request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return await login.caller(bearer.strip())
    cookie = request.cookies.get(cookie_of(request), "")
    if not cookie:
        raise unknown("this needs a bearer token")
    caller = await login.caller(cookie)
    if request.method not in _SAFE and not _same(request.headers.get(CSRF_HEADER, ""), caller.csrf):
        raise ForbiddenError(f"a request with the session's cookie that changes something needs {CSRF_HEADER}")
    return caller


def _same(one: str, other: str) -> bool:
    return bool(other) and secrets.compare_digest(one.encode(), other.encode())
