"""Silos: who takes part, who is invited, who may no longer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import SiloPage, answer
from septum.coordinator.api.paging import Paged, Q, answer_part, matches
from septum.coordinator.caller import Caller
from septum.errors import NotFoundError, did_you_mean
from septum.protocol.rights import FIRST_ORGANISATION, Over, Right, Scope
from septum.protocol.views import InviteView, SiloDetail, SiloStatus, SiloView

router = APIRouter(prefix="/silos", tags=["silos"])


async def _of_query(request: Request, _caller: Caller) -> tuple[Scope, ...]:
    """The organisation that the silo will belong to. Raises ConfigError for what is no name."""
    return (_scope(request.query_params.get("organisation") or FIRST_ORGANISATION),)


async def _of_path(request: Request, caller: Caller) -> tuple[Scope, ...]:
    """The organisation of the silo that the path names. Raises NotFoundError for one that the caller may not see."""
    name = request.path_params["name"]
    seen = {view.name: _scope(view.organisation) for view in await seen_silos(request, caller)}
    if name not in seen:
        nearest = did_you_mean(name, seen) if seen else "there is none that you may see"
        raise NotFoundError(f"there is no silo {name[:80]!r}; {nearest}", hint="septum silo list")
    return (seen[name],)


async def seen_in_path(request: Request, caller: Caller) -> None:
    """Wherever the silo is that the path names, the caller may see it. Raises NotFoundError otherwise."""
    await _of_path(request, caller)


READ = Permission(
    Right.SILO_READ,
    "See the silos of the organisations over which one has a role and of one's projects, and which are online.",
    anywhere,
)
SHOW = Permission(
    Right.SILO_READ,
    "See what a silo that one may see says of itself: version, machine, labels, datasets offered.",
    seen_in_path,
)
INVITE = Permission(
    Right.SILO_INVITE,
    "Invite a silo of an organisation: whoever holds the token can enrol under its name, once.",
    _of_query,
)
RENEW = Permission(
    Right.SILO_INVITE,
    "Let a silo bring another key, once: whoever holds the token takes its place.",
    _of_path,
)
REVOKE = Permission(Right.SILO_REVOKE, "Revoke a silo: its key is refused from then on.", _of_path)


@dataclass(frozen=True, slots=True)
class SiloQuery:
    """Which silos are listed: those for which all that is given holds."""

    statuses: frozenset[SiloStatus]
    group: str
    organisation: str
    labels: Mapping[str, str]
    text: str

    def wants(self, silo: SiloView, members: Collection[str] | None) -> bool:
        """Whether it is listed. `members` of the group; None without one."""
        return (
            (not self.statuses or silo.status in self.statuses)
            and (members is None or silo.name in members)
            and self.organisation in ("", silo.organisation)
            and self.labels.items() <= dict(silo.labels).items()
            and matches(self.text, silo.name)
        )


def _query(
    status: Annotated[list[SiloStatus] | None, Query(description="That stand like this; may be repeated.")] = None,
    group: Annotated[str, Query(description="In this group.")] = "",
    organisation: Annotated[str, Query(description="Of this organisation.")] = "",
    label: Annotated[list[str] | None, Query(description="With this label, KEY=VALUE; may be repeated.")] = None,
    q: Q = "",
) -> SiloQuery:
    labels = dict(one.partition("=")[::2] for one in label or ())
    return SiloQuery(frozenset(status or ()), group, organisation, labels, q)


@router.get("", response_model=SiloPage, dependencies=[Depends(READ)])
async def silos(request: Request, paging: Paged, query: Annotated[SiloQuery, Depends(_query)]) -> Response:
    """Every invited or enrolled silo that the caller may see, by name."""
    parts, caller = parts_of(request), caller_of(request)
    members = frozenset((await parts.groups.group(caller, query.group)).silos) if query.group else None
    found = [one for one in await seen_silos(request, caller) if query.wants(one, members)]
    return answer_part(found, lambda one: (one.name,), paging)


@router.get("/{name}", response_model=SiloDetail, dependencies=[Depends(SHOW)])
async def silo(request: Request, name: str) -> Response:
    """One silo, with what it says of itself: software, machine, labels, datasets that it offers."""
    return answer(parts_of(request).silos.detail(name))


@router.post("/{name}/invite", response_model=InviteView, status_code=201, dependencies=[Depends(INVITE)])
async def invite(request: Request, name: str, organisation: str = FIRST_ORGANISATION) -> Response:
    """A one-time token, valid for 24 hours. A newer one voids the older."""
    return answer(
        await parts_of(request).enrolment.invite(name, organisation or FIRST_ORGANISATION, caller_of(request).name), 201
    )


@router.post("/{name}/renew", response_model=InviteView, status_code=201, dependencies=[Depends(RENEW)])
async def renew(request: Request, name: str) -> Response:
    """A one-time token, valid for 24 hours: with it an enrolled silo brings another key. Its own counts until then."""
    return answer(await parts_of(request).enrolment.renew(name, caller_of(request).name), 201)


@router.delete("/{name}", status_code=204, dependencies=[Depends(REVOKE)])
async def revoke(request: Request, name: str) -> Response:
    """Refuse a silo's key from now on; its open requests end."""
    await parts_of(request).enrolment.revoke(name, caller_of(request).name)
    return Response(status_code=204)


async def seen_silos(request: Request, caller: Caller) -> list[SiloView]:
    """Those that the caller may see: of their organisations, and those whom runs of their projects may ask."""
    parts = parts_of(request)
    asked: frozenset[str] = frozenset() if caller.may(Right.SILO_READ) else await parts.groups.silos_by_project(caller)
    return [
        one for one in parts.silos.views() if one.name in asked or caller.may(Right.SILO_READ, _scope(one.organisation))
    ]


def _scope(name: str) -> Scope:
    return Scope(Over.ORGANISATION, name)
