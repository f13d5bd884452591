"""Apps: packages for the silos to fetch. The coordinator verifies them and runs nothing of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.requests import ClientDisconnect

from septum.coordinator.api.access import Permission, anywhere, caller_of, parts_of
from septum.coordinator.api.bodies import (
    FILE_TYPE,
    JSON_TYPE,
    AppPage,
    answer,
    gives_bytes,
    json_body,
    takes_bytes,
    takes_object,
)
from septum.coordinator.api.conditional import FOR_EVER, named_by
from septum.coordinator.api.downloads import BlobResponse
from septum.coordinator.api.paging import Paged, Q, answer_part, matches
from septum.coordinator.apps import MAX_SIGNATURES_BYTES
from septum.errors import ConnectionFailedError, MessageError, TooLargeError
from septum.protocol.rights import Right
from septum.protocol.views import AppView

router = APIRouter(prefix="/apps", tags=["apps"])

READ = Permission(Right.APP_READ, "See which app packages there are, and download them.", anywhere)
PRESET = Permission(Right.APP_PRESET, "Give packages named presets of hyper-parameters, and take them back.")
PUSH = Permission(Right.APP_PUSH, "Push app packages and their signatures; whether they run is decided in each silo.")

REMOVE = Permission(Right.APP_REMOVE, "Remove app packages: silos that have not fetched them cannot get them any more.")


@router.get("", response_model=AppPage, dependencies=[Depends(READ)])
async def apps(
    request: Request,
    paging: Paged,
    q: Q = "",
    name: Annotated[str, Query(description="Of the app of exactly this name.")] = "",
) -> Response:
    """Every package, by name, the newest push first."""
    found = [one for one in await parts_of(request).apps.views() if matches(q, one.name) and name in ("", one.name)]
    return answer_part(found, lambda one: (one.name, -one.pushed_at, one.digest), paging)


@router.get("/{digest}", response_model=AppView, dependencies=[Depends(READ)])
async def app(request: Request, digest: str) -> Response:
    """One package."""
    return answer(await parts_of(request).apps.view(digest))


@router.put(
    "/{digest}",
    response_model=AppView,
    dependencies=[Depends(PUSH)],
    openapi_extra=takes_bytes(FILE_TYPE),
)
async def push(request: Request, digest: str) -> Response:
    """Take a package: the body is its file, `digest` the SHA-256 of it. The same package again changes nothing."""
    return answer(await parts_of(request).apps.push(digest, _chunks(request), caller_of(request).name))


@router.delete("/{digest}", status_code=204, dependencies=[Depends(REMOVE)])
async def remove(request: Request, digest: str) -> Response:
    """Forget a package; refused while a run of it has not ended. One that is not there is ignored."""
    parts = parts_of(request)
    await parts.apps.remove(digest, parts.service.runs_of, caller_of(request).name)
    return Response(status_code=204)


@router.put(
    "/{digest}/signatures",
    response_model=AppView,
    dependencies=[Depends(PUSH)],
    openapi_extra=takes_bytes(FILE_TYPE),
)
async def sign(request: Request, digest: str) -> Response:
    """Keep the signatures of a package, in place of those that are there: the body is its `.sig` file."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_SIGNATURES_BYTES:
            raise TooLargeError(f"signatures of more than {MAX_SIGNATURES_BYTES} bytes")
    return answer(await parts_of(request).apps.sign(digest, bytes(body), caller_of(request).name))


@router.put(
    "/{digest}/presets/{name}",
    response_model=AppView,
    dependencies=[Depends(PRESET)],
    openapi_extra=takes_object({"lr": 0.001}),
)
async def set_preset(request: Request, digest: str, name: str) -> Response:
    """Give a package a preset, beside those in it: the body is an object of hyper-parameters and their values."""
    values = await json_body(request)
    if not isinstance(values, dict):
        raise MessageError("a preset is an object of hyper-parameters and their values")
    return answer(await parts_of(request).apps.set_preset(digest, name, values, caller_of(request).name))


@router.delete("/{digest}/presets/{name}", response_model=AppView, dependencies=[Depends(PRESET)])
async def drop_preset(request: Request, digest: str, name: str) -> Response:
    """Take a preset back that was given to a package. Those in the package stay."""
    return answer(await parts_of(request).apps.drop_preset(digest, name, caller_of(request).name))


@router.get(
    "/{digest}/description", response_class=Response, dependencies=[Depends(READ)], responses=gives_bytes(JSON_TYPE)
)
async def description(request: Request, digest: str) -> Response:
    """What a package says of itself: the schema of its hyper-parameters, its data contract, what leaves, presets."""
    said = await parts_of(request).apps.description(digest)
    return Response(said, headers={"cache-control": FOR_EVER}, media_type=JSON_TYPE)


@router.get(
    "/{digest}/file",
    status_code=200,
    response_class=BlobResponse,
    dependencies=[Depends(READ)],
    responses=gives_bytes(FILE_TYPE),
)
async def download(request: Request, digest: str) -> BlobResponse:
    """A package's file."""
    apps = parts_of(request).apps
    view = await apps.view(digest)
    return BlobResponse(apps.file(digest), named_by(digest), FILE_TYPE, f"{view.name}-{view.version}.septum")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise ConnectionFailedError("the upload was cut") from None
