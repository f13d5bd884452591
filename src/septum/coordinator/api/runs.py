"""Runs: submit, look, stop, pause, resume, and follow what happens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import (
    GIVES_EVENTS,
    JournalPage,
    RunPage,
    TimelinePage,
    answer,
    json_body,
    takes,
    takes_object,
    text_field,
)
from septum.coordinator.api.conditional import FOR_EVER
from septum.coordinator.api.paging import MAX_SEARCH_CHARS, Paged, answer_page, number_after
from septum.coordinator.api.scopes import of_project_if_named, of_run, project_of, scopes_of_run
from septum.coordinator.api.streams import stream
from septum.errors import MessageError, did_you_mean
from septum.ports.store import RunFilter
from septum.protocol.codec import from_json, kind_of
from septum.protocol.facts import Fact
from septum.protocol.messages import MAX_REASON_CHARS
from septum.protocol.plan import Plan
from septum.protocol.priority import Priority
from septum.protocol.rights import Right
from septum.protocol.run_state import Pause, Prioritise, Resume, Stop
from septum.protocol.views import RunStatus, RunView, Shredded

router = APIRouter(prefix="/runs", tags=["runs"])

SUBMIT = Permission(
    Right.RUN_SUBMIT,
    "Submit a run: ask the silos that it names, those of the project's group if it is in one, to train an app.",
    of_project_if_named,
)
LIST = Permission(Right.RUN_READ, "See the runs of one's projects; over the federation all runs.", anywhere)
READ = Permission(Right.RUN_READ, "See a run with its plan, its metrics and its journal.", of_run)
STEER = Permission(Right.RUN_STEER, "Stop, pause and resume a run, and say how soon it begins.", of_run)
URGE = Permission(Right.RUN_URGE, "Let a run begin before others that wait: priority high.", of_run)
SHRED = Permission(
    Right.RUN_SHRED,
    "Shred a run that has ended: delete its key, its models and all that its silos had sent, for good.",
    of_run,
)
MAX_KEY_CHARS = 200
_KINDS: dict[str, type[Fact]] = {kind_of(fact): fact for fact in get_args(Fact)}


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs are listed: those for which all that is given holds."""

    project: str
    statuses: frozenset[RunStatus]
    asks: bool
    wanted: RunFilter


def _query(  # noqa: PLR0913, PLR0917 - one for each thing to look for
    project: Annotated[str, Query(description="Of this project.")] = "",
    app: Annotated[str, Query(description="Of this app: NAME, or NAME==VERSION.")] = "",
    status: Annotated[list[RunStatus] | None, Query(description="That do this now; may be repeated.")] = None,
    name: Annotated[str, Query(description="With exactly this name.")] = "",
    submitter: Annotated[str, Query(description="Submitted by the person of this name.")] = "",
    since: Annotated[float, Query(ge=0, le=1e11, description="Submitted then or later: Unix time, seconds.")] = 0.0,
    q: Annotated[
        str, Query(max_length=MAX_SEARCH_CHARS, description="With this text in id, name, app or submitter.")
    ] = "",
    asks: Annotated[bool, Query(description="Only those that ask for statistics.")] = False,
) -> RunQuery:
    app_name, _, version = app.partition("==")
    wanted = RunFilter(app=app_name, version=version, name=name, submitter=submitter, since=since, text=q)
    return RunQuery(project, frozenset(status or ()), asks, wanted)


@router.post("", response_model=RunView, status_code=201, dependencies=[Depends(SUBMIT)], openapi_extra=takes(Plan))
async def submit(
    request: Request,
    idempotency_key: Annotated[str, Header(max_length=MAX_KEY_CHARS)],
    project: str = "",
    priority: Priority = Priority.NORMAL,
) -> Response:
    """Start a run, in a project if one is named. The same key, plan and project again return the same run.

    So a lost answer can be asked for again. Where its silos have no room it waits in the queue; `high` is for those
    who have the right to it, as at `/runs/{run_id}/urge`.
    """
    if not idempotency_key.strip():
        raise MessageError("the Idempotency-Key header is empty")
    plan = from_json(Plan, await json_body(request))
    parts = parts_of(request)
    if priority is Priority.HIGH:
        caller_of(request).need(Right.RUN_URGE, *(project_of(request).scopes if project else ()))
    if project:
        await parts.projects.need_room(project_of(request), plan.silos)
    parts.silos.require(plan.silos)
    by = caller_of(request).name
    return answer(await parts.service.submit(plan, idempotency_key, project, priority, by), 201)


@router.get("", response_model=RunPage, dependencies=[Depends(LIST)])
async def runs(request: Request, paging: Paged, query: Annotated[RunQuery, Depends(_query)]) -> Response:
    """The runs that the caller may see, newest first."""
    parts, caller = parts_of(request), caller_of(request)
    seen = await parts.projects.where(caller, Right.RUN_READ)
    if paging.after:
        await scopes_of_run(request, caller, paging.after)
    if query.project:
        found = await parts.projects.project(caller, query.project, Right.RUN_READ)
        seen = frozenset({found.name} if seen is None else {found.name} & seen)
    wanted = replace(query.wanted, projects=seen)
    page = await parts.service.runs(query.statuses, wanted, asks=query.asks, limit=paging.limit, before=paging.after)
    return answer_page([one.view for one in page], page[-1].run_id if len(page) == paging.limit else None)


@router.get("/{run_id}", response_model=RunView, dependencies=[Depends(READ)])
async def run(request: Request, run_id: str) -> Response:
    """One run."""
    return answer(await parts_of(request).service.run(run_id))


@router.get("/{run_id}/plan", response_model=Plan, dependencies=[Depends(READ)])
async def plan(request: Request, run_id: str) -> Response:
    """The plan as it was settled and sent to the silos; its digest is over this JSON."""
    response = answer(await parts_of(request).service.plan(run_id))
    response.headers["cache-control"] = FOR_EVER
    return response


@router.post(
    "/{run_id}/stop",
    response_model=RunView,
    dependencies=[Depends(STEER)],
    openapi_extra=takes_object(
        {"reason": "the data of hungary are to be checked"},
        required=False,
        reason={"type": "string", "maxLength": MAX_REASON_CHARS},
    ),
)
async def stop(request: Request, run_id: str) -> Response:
    """End a run; its last finished model stays. The body may give a `reason`."""
    reason = await text_field(request, "reason", Stop().reason, limit=MAX_REASON_CHARS)
    return answer(await parts_of(request).service.command(run_id, Stop(reason), caller_of(request).name))


@router.post("/{run_id}/pause", response_model=RunView, dependencies=[Depends(STEER)])
async def pause(request: Request, run_id: str) -> Response:
    """Hand out no new work."""
    return answer(await parts_of(request).service.command(run_id, Pause(), caller_of(request).name))


@router.post("/{run_id}/resume", response_model=RunView, dependencies=[Depends(STEER)])
async def resume(request: Request, run_id: str) -> Response:
    """Go on: after a pause where the run stood, after a stop or a failure from the last finished round."""
    return answer(await parts_of(request).service.command(run_id, Resume(), caller_of(request).name))


@router.post(
    "/{run_id}/priority",
    response_model=RunView,
    dependencies=[Depends(STEER)],
    openapi_extra=takes_object({"priority": "low"}, required=False, priority={"enum": ["low", "normal"]}),
)
async def priority(request: Request, run_id: str) -> Response:
    """Let a run that waits begin after others: the body's `priority` is `low`, or else `normal`."""
    text = await text_field(request, "priority", Priority.NORMAL.value, limit=20)
    if text not in (Priority.LOW.value, Priority.NORMAL.value):
        raise MessageError(f"priority {text!r} is neither low nor normal", hint="for high: POST /runs/RUN/urge")
    return answer(await parts_of(request).service.command(run_id, Prioritise(Priority(text)), caller_of(request).name))


@router.post("/{run_id}/urge", response_model=RunView, dependencies=[Depends(URGE)])
async def urge(request: Request, run_id: str) -> Response:
    """Let a run that waits begin before others: its priority is `high` from now on."""
    return answer(await parts_of(request).service.command(run_id, Prioritise(Priority.HIGH), caller_of(request).name))


@router.post("/{run_id}/shred", response_model=Shredded, dependencies=[Depends(SHRED)])
async def shred(request: Request, run_id: str) -> Response:
    """Delete a run's key and all of its files, for good; its journal, its metrics and its plan stay.

    Of a run that has ended, and of whose models no version is registered and not retired. Asked again it looks for what
    may be left.
    """
    return answer(await parts_of(request).shredding.shred(caller_of(request), run_id))


@router.get("/{run_id}/journal", response_model=JournalPage, dependencies=[Depends(READ)])
async def journal(
    request: Request,
    run_id: str,
    paging: Paged,
    kind: Annotated[list[str] | None, Query(description="Only facts of this kind; may be repeated.")] = None,
) -> Response:
    """What happened, in order."""
    kinds = tuple(_kind(one) for one in kind or ())
    after, service = number_after(paging), parts_of(request).service
    page = await service.journal(run_id, after=after, limit=paging.limit, kinds=kinds)
    return answer_page(page, str(page[-1].seq) if len(page) == paging.limit else None)


def _kind(name: str) -> type[Fact]:
    if name not in _KINDS:
        raise MessageError(f"kind={name[:60]!r}: {did_you_mean(name, _KINDS)}")
    return _KINDS[name]


@router.get("/{run_id}/timeline", response_model=TimelinePage, dependencies=[Depends(READ)])
async def timeline(request: Request, run_id: str, paging: Paged) -> Response:
    """What each silo and the coordinator did in each round, and for how long.

    Of a round under way, too: its last spans go on. Round 0 is the preparation.
    """
    after_round, service = number_after(paging, -1), parts_of(request).service
    page = await service.timeline(run_id, after_round=after_round, limit=paging.limit)
    return answer_page(page, str(page[-1].round) if len(page) == paging.limit else None)


@router.get(
    "/{run_id}/events",
    response_class=StreamingResponse,
    dependencies=[Depends(READ)],
    responses=GIVES_EVENTS,
)
async def events(
    request: Request, run_id: str, last_event_id: Annotated[int, Header(ge=0, le=2**53)] = 0
) -> StreamingResponse:
    """The journal as server-sent events, as it grows; it ends when the run has ended. `Last-Event-ID` resumes it."""
    service = parts_of(request).service
    await service.run(run_id)  # an unknown one is an error, not an empty stream
    return stream(request, READ, lambda: service.journals.watch(run_id, after=last_event_id))
