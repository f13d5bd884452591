"""How do views and bodies become JSON? Through protocol/codec.py, as everywhere; pydantic only draws the schema."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from fastapi import Request, Response

from septum.errors import ConfigError, MessageError, TooLargeError
from septum.protocol.codec import MAX_MESSAGE_BYTES, Json, dumps, from_json, loads, to_json
from septum.protocol.feed import FeedEntry
from septum.protocol.people_views import OrganisationView, PersonView, TokenView
from septum.protocol.project_views import GroupView, ProjectView
from septum.protocol.registered import DeploymentView, ModelVersionView
from septum.protocol.roster_views import RosterView
from septum.protocol.timeline import RoundLine
from septum.protocol.views import AppView, JournalView, ModelView, RunView, SiloModelView, SiloView

T = TypeVar("T")
FILE_TYPE = "application/octet-stream"
JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first. `next`, of every page: where the one after it begins (`after`); null in the last."""

    items: tuple[RunView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class JournalPage:
    """Journal entries, in order."""

    items: tuple[JournalView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """Rounds of a run, oldest first."""

    items: tuple[RoundLine, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Models."""

    items: tuple[ModelView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class SiloModelPage:
    """Silos' own models, by round and silo. `why` there are none, where the run does not keep them; else empty."""

    items: tuple[SiloModelView, ...]
    next: str | None
    why: str


@dataclass(frozen=True, slots=True)
class ModelVersionPage:
    """Registered versions of models, by name and number."""

    items: tuple[ModelVersionView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class DeploymentPage:
    """Deployments, newest first."""

    items: tuple[DeploymentView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class SiloPage:
    """Silos, by name."""

    items: tuple[SiloView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class AppPage:
    """Packages, by name."""

    items: tuple[AppView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Groups of silos, by name."""

    items: tuple[GroupView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """Projects, by name."""

    items: tuple[ProjectView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class OrganisationPage:
    """Organisations, by name."""

    items: tuple[OrganisationView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class PersonPage:
    """People, by name."""

    items: tuple[PersonView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class TokenPage:
    """Personal tokens, newest first."""

    items: tuple[TokenView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class RosterPage:
    """Rosters, newest first."""

    items: tuple[RosterView, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Entries of the feed, newest first."""

    items: tuple[FeedEntry, ...]
    next: str | None


def answer(view: object, status: int = 200) -> Response:
    """A view as the body."""
    return Response(dumps(to_json(view)), status, media_type=JSON_TYPE)


async def json_body(request: Request) -> Json:
    """The request's JSON; null when it has none."""
    body = await body_bytes(request)
    return loads(body) if body else None


TAKEN: dict[str, type] = {}


def takes(cls: type, *, required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route whose body `private_body` reads as a `cls`: FastAPI does not see it."""
    TAKEN[cls.__name__] = cls
    schema = {"schema": {"$ref": f"#/components/schemas/{cls.__name__}"}}
    return {"requestBody": {"required": required, "content": {"application/json": schema}}}


def takes_bytes(media_type: str) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is a file."""
    schema = {"schema": {"type": "string", "contentMediaType": media_type}}
    return {"requestBody": {"required": True, "content": {media_type: schema}}}


def takes_object(example: dict[str, Json], *, required: bool = True, **properties: Json) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is an object: with these properties at most; with any if none are given."""
    schema: dict[str, Any] = {"type": "object"}
    if properties:
        schema |= {"properties": properties, "additionalProperties": False}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def gives_bytes(media_type: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route whose answer is no JSON of a view."""
    return {200: {"content": {media_type: {"schema": {"type": "string", "contentMediaType": media_type}}}}}


GIVES_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


async def private_body(cls: type[T], request: Request, default: T | None = None) -> T:
    """The request's JSON as a `cls`; `default` without any. Raises MessageError, which quotes no value."""
    body = await json_body(request)
    if body is None and default is not None:
        return default
    try:
        return from_json(cls, body)
    except MessageError as error:
        known = ", ".join(field.name for field in fields(cls))  # type: ignore[arg-type] # a dataclass
        if isinstance(error.__cause__, ConfigError):  # of a role or a name
            raise
        raise MessageError(f"the body is no JSON object with the fields of {cls.__name__}: {known}") from None


async def body_bytes(request: Request) -> bytes:
    """The request's body. Raises TooLargeError before more than the limit is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_MESSAGE_BYTES:
            raise TooLargeError(f"a body of more than {MAX_MESSAGE_BYTES} bytes")
    return bytes(body)


async def text_field(request: Request, name: str, default: str, *, limit: int) -> str:
    """One optional text of a JSON body that has no other field. Raises MessageError."""
    body = await json_body(request)
    if body is None:
        return default
    if not isinstance(body, dict) or set(body) - {name}:
        raise MessageError(f"the body is an object with the field {name!r} at most")
    value = body.get(name, default)
    if not isinstance(value, str) or len(value) > limit:
        raise MessageError(f"{name} is a text of at most {limit} characters")
    return value
