"""The public API as one FastAPI app: its routes, its one shape of errors, its schema."""

from __future__ import annotations

import logging
import math
from typing import Any, get_args

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException

from septum import __version__
from septum.adapters.channel.wire_errors import RETRY_AFTER, RETRY_STATUSES, error_body
from septum.coordinator.api import (
    account,
    apps,
    deployments,
    feed,
    groups,
    health,
    loads,
    logs,
    models,
    oidc,
    organisations,
    people,
    projects,
    registered,
    rosters,
    runs,
    session,
    silos,
    tokens,
)
from septum.coordinator.api.access import ApiParts, Permission
from septum.coordinator.api.bodies import TAKEN, ErrorAnswer
from septum.errors import MessageError, NotFoundError, RateLimitedError, SeptumError
from septum.protocol.codec import kind_of
from septum.protocol.facts import Fact
from septum.protocol.plan import Plan

log = logging.getLogger("septum.coordinator.api")

PREFIX = "/api/v1"
NOUNS = (
    runs,
    registered,  # before models, whose path takes any word
    logs,
    models,
    deployments,
    apps,
    silos,
    loads,
    groups,
    projects,
    rosters,
    feed,
    session,
    oidc,
    account,
    people,
    organisations,
    tokens,
    health,
)


def create_app(parts: ApiParts) -> FastAPI:
    """The app."""
    app = FastAPI(
        title="septum", version=__version__, docs_url=None, redoc_url=None, openapi_url=f"{PREFIX}/openapi.json"
    )
    app.state.parts = parts
    errors: dict[int | str, dict[str, Any]] = {"default": {"model": ErrorAnswer, "description": "Any error"}}
    for noun in NOUNS:
        app.include_router(noun.router, prefix=PREFIX, responses=errors)
    app.add_exception_handler(SeptumError, _septum_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign] # as FastAPI documents it
    return app


def api_routes() -> list[APIRoute]:
    """Every route, its path without PREFIX."""
    return [route for noun in NOUNS for route in noun.router.routes if isinstance(route, APIRoute)]


def permission_of(route: APIRoute) -> Permission | None:
    """The permission that a route declares."""
    found = [dependency.dependency for dependency in route.dependencies]
    return next((dependency for dependency in found if isinstance(dependency, Permission)), None)


async def _septum_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, SeptumError)
    return _answer(error, error.http_status)


async def _invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return _answer(MessageError(problems, hint=f"{PREFIX}/openapi.json has every parameter"), 422)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return _answer(NotFoundError(f"there is no {what}", hint=f"{PREFIX}/openapi.json lists what there is"), 404)
    return _answer(MessageError(f"{what}: {error.detail}"), error.status_code)


async def _internal_error(request: Request, error: Exception) -> Response:
    log.error("request_failed", extra={"path": request.url.path}, exc_info=error)
    return _answer(SeptumError("internal error; the coordinator's log has the details"), 500)


def _answer(error: SeptumError, status: int) -> Response:
    wait = str(math.ceil(error.retry_after_s)) if isinstance(error, RateLimitedError) else RETRY_AFTER
    headers = {"Retry-After": wait} if status in RETRY_STATUSES else None
    return Response(error_body(error), status, headers, media_type="application/json")


def _schema(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with what FastAPI cannot see: the body of `submit`, the `kind` of facts, and the permissions."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = schema["components"]["schemas"]
        plan = TypeAdapter(Plan).json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(plan.pop("$defs", {}), Plan=plan)
        body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Plan"}}}}
        schema["paths"][f"{PREFIX}/runs"]["post"]["requestBody"] = body
        for name, cls in TAKEN.items():
            taken = TypeAdapter(cls).json_schema(ref_template="#/components/schemas/{model}")
            schemas.update({**taken.pop("$defs", {}), **schemas, name: taken})
        for fact in get_args(Fact):
            schemas[fact.__name__]["properties"]["kind"] = {"const": kind_of(fact), "type": "string"}
            schemas[fact.__name__]["required"] = [*schemas[fact.__name__].get("required", []), "kind"]
        for route in api_routes():
            permission = permission_of(route)
            for method in (route.methods or ()) if permission else ():
                operation = schema["paths"][PREFIX + route.path][method.lower()]
                assert permission is not None
                operation["x-permission"] = permission.sentence
                if permission.right is not None:
                    operation["x-right"] = permission.right.value
        app.openapi_schema = schema
    return app.openapi_schema
