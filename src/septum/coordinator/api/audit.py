"""The audit log: its events, its signed heads, what silos have countersigned, and proofs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from septum.coordinator.api.access import Permission, parts_of
from septum.coordinator.api.bodies import answer
from septum.coordinator.api.paging import Paged, answer_page, number_after
from septum.protocol.audit import (
    AuditEvent,
    AuditFilter,
    AuditKind,
    AuditLine,
    AuditProof,
    Countersignature,
    SignedHead,
)
from septum.protocol.rights import Right

router = APIRouter(prefix="/audit", tags=["audit"])

READ = Permission(
    Right.AUDIT_READ,
    "Read the audit log, and what proves it: who did what, who looked at what, and who was refused.",
    read=AuditKind.LOG_READ,
)
Size = Annotated[int, Query(ge=1, le=2**53)]
Moment = Annotated[str, Query(max_length=40, pattern=r"^[0-9TZ:.-]*$")]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Events, newest first."""

    items: tuple[AuditEvent, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class AuditLinePage:
    """Events as they are kept, oldest first."""

    items: tuple[AuditLine, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class AuditHeadPage:
    """Signed heads, of the fewest events first."""

    items: tuple[SignedHead, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class CountersignaturePage:
    """Countersignatures, by the number of events and the silo."""

    items: tuple[Countersignature, ...]
    next: str | None


def _wanted(
    kind: str = "", by: str = "", run: str = "", silo: str = "", since: Moment = "", until: Moment = ""
) -> AuditFilter:
    return AuditFilter(kind, by, run, silo, since, until)


@router.get("", response_model=AuditPage, dependencies=[Depends(READ)])
async def events(request: Request, paging: Paged, wanted: Annotated[AuditFilter, Depends(_wanted)]) -> Response:
    """What was recorded, newest first.

    kind          as in run.ended, or all of a noun, as in run
    by            whom
    run, silo     what is about these
    since, until  UTC, as in 2026-01-31T23:59:59Z, or the beginning of that
    """
    page = await parts_of(request).audit.page(wanted, limit=paging.limit, before=number_after(paging))
    return answer_page(page, str(page[-1].seq) if len(page) == paging.limit else None)


@router.get("/lines", response_model=AuditLinePage, dependencies=[Depends(READ)])
async def lines(request: Request, paging: Paged) -> Response:
    """Every event, oldest first, to the byte as it is hashed, with its hash."""
    after = number_after(paging)
    page = await parts_of(request).audit.after(after, limit=paging.limit)
    found = [AuditLine(entry.event.decode(), entry.hash.hex()) for entry in page]
    return answer_page(found, str(after + len(page)) if len(page) == paging.limit else None)


@router.get("/heads", response_model=AuditHeadPage, dependencies=[Depends(READ)])
async def heads(request: Request, paging: Paged) -> Response:
    """Every head that the coordinator has signed."""
    page = await parts_of(request).audit.heads(after=number_after(paging), limit=paging.limit)
    return answer_page(page, str(page[-1].head.size) if len(page) == paging.limit else None)


@router.get("/countersignatures", response_model=CountersignaturePage, dependencies=[Depends(READ)])
async def countersignatures(request: Request, paging: Paged) -> Response:
    """What silos have signed that saw a head and found that it goes on from the one before."""
    page = await parts_of(request).audit.witnesses(after=number_after(paging), limit=paging.limit)
    return answer_page(page, str(page[-1].size) if page else None)


@router.get("/inclusion", response_model=AuditProof, dependencies=[Depends(READ)])
async def inclusion(request: Request, seq: Size, size: Size) -> Response:
    """The proof that event `seq` is among the first `size` events: RFC 6962, section 2.1.1."""
    proof = await parts_of(request).audit.inclusion(seq, size)
    return answer(AuditProof(tuple(one.hex() for one in proof)))


@router.get("/consistency", response_model=AuditProof, dependencies=[Depends(READ)])
async def consistency(request: Request, first: Size, second: Size) -> Response:
    """The proof that the log of `second` events begins with that of `first`: RFC 6962, section 2.1.2."""
    proof = await parts_of(request).audit.consistency(first, second)
    return answer(AuditProof(tuple(one.hex() for one in proof)))
