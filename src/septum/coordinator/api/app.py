"""The public API as one FastAPI app: its routes, its one shape of errors, its schema."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from septum import __version__
from septum.coordinator.api import (
    account,
    apps,
    audit,
    deployments,
    error_page,
    feed,
    groups,
    health,
    loads,
    logs,
    metrics,
    models,
    oidc,
    organisations,
    people,
    projects,
    registered,
    rosters,
    runs,
    session,
    silo_models,
    silos,
    tokens,
)
from septum.coordinator.api.access import ApiParts
from septum.coordinator.api.conditional import Conditional
from septum.coordinator.api.document import document
from septum.coordinator.api.problems import answer_problem
from septum.errors import MessageError, NotFoundError, SeptumError

log = logging.getLogger("septum.coordinator.api")

PREFIX = "/api/v1"
NOUNS = (
    runs,
    registered,  # before models, whose path takes any word
    logs,
    models,
    silo_models,
    deployments,
    apps,
    silos,
    loads,
    groups,
    projects,
    rosters,
    feed,
    audit,
    session,
    oidc,
    account,
    people,
    organisations,
    tokens,
    health,
    metrics,
    error_page,
)


def create_app(parts: ApiParts | None) -> FastAPI:
    """The app; without parts it has routes and a schema, and answers nothing."""
    app = FastAPI(
        title="septum",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        redirect_slashes=False,  # a redirect would go to whatever host the request names
    )
    app.state.parts = parts
    app.add_middleware(Conditional, prefix=PREFIX)
    for noun in NOUNS:
        app.include_router(noun.router, prefix=PREFIX)
    app.add_exception_handler(SeptumError, _septum_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign] # as FastAPI documents it
    return app


def api_routes() -> list[APIRoute]:
    """Every route, its path without PREFIX."""
    return [route for noun in NOUNS for route in noun.router.routes if isinstance(route, APIRoute)]


async def _septum_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, SeptumError)
    return answer_problem(error, error.http_status)


async def _invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return answer_problem(MessageError(problems, hint=f"{PREFIX}/openapi.json has every parameter"), 422)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return answer_problem(
            NotFoundError(f"there is no {what}", hint=f"{PREFIX}/openapi.json lists what there is"), 404
        )
    return answer_problem(MessageError(f"{what}: {error.detail}"), error.status_code)


async def _internal_error(request: Request, error: Exception) -> Response:
    log.error("request_failed", extra={"path": request.url.path}, exc_info=error)
    return answer_problem(SeptumError("internal error; the coordinator's log has the details"), 500)


def _schema(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = document(app, NOUNS, PREFIX)
    return app.openapi_schema
