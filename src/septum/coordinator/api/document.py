"""What does the API say of itself? OpenAPI 3.1, for clients to be made from: names, examples, rights, who may come in.

FastAPI draws the routes and their answers. Here is what it cannot see: bodies that the codec reads, the `kind` of
facts, permissions, errors as problems, and an example of each answer and each body.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from septum.coordinator.api.access import COOKIE, CSRF_HEADER, Permission
from septum.coordinator.api.bodies import TAKEN
from septum.coordinator.api.examples import example_of, word
from septum.coordinator.api.problems import PROBLEM_TYPE, Problem
from septum.protocol.codec import kind_of
from septum.protocol.facts import Fact
from septum.protocol.plan import Plan

Schema = dict[str, Any]  # JSON Schema and OpenAPI, whose shape is theirs
_REF = "#/components/schemas/{model}"
_SAYS = """The coordinator of a septum federation: runs, silos, models, people.

Lists come in pages: `limit` items at most, `next` in the answer is `after` in the next question. Errors are
[problems](https://www.rfc-editor.org/rfc/rfc9457) whose `code` names the kind. Answers carry an `ETag`: with
`If-None-Match` one that is known comes as 304, and a write with `If-Match` changes nothing that has changed meanwhile
(412). `x-right` is the right that a route needs, `x-permission` what it lets one do."""
_SECURITY: Schema = {
    "token": {"type": "http", "scheme": "bearer", "description": "A session's or a personal token, or the operator's."},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"A browser's session. What changes something needs the header {CSRF_HEADER}, too.",
    },
}


def document(app: FastAPI, nouns: Sequence[ModuleType], prefix: str) -> Schema:
    """The whole document."""
    schema: Schema = get_openapi(title=app.title, version=app.version, routes=app.routes, description=_SAYS)
    schemas = schema["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _add_bodies(schemas)
    schema["components"]["securitySchemes"] = _SECURITY
    schema["tags"] = [*_tags(nouns)]
    for noun in nouns:
        for route in _routes(noun):
            for method in route.methods or ():
                _complete(schema["paths"][prefix + route.path][method.lower()], noun, route)
    return schema


def permission_of(route: APIRoute) -> Permission | None:
    """The permission that a route declares."""
    found = [dependency.dependency for dependency in route.dependencies]
    return next((dependency for dependency in found if isinstance(dependency, Permission)), None)


def _routes(noun: ModuleType) -> list[APIRoute]:
    return [route for route in noun.router.routes if isinstance(route, APIRoute)]


def _tags(nouns: Iterable[ModuleType]) -> Iterable[Schema]:
    seen: set[str] = set()
    for noun in nouns:
        (tag,) = noun.router.tags
        said = inspect.cleandoc(noun.__doc__ or "").split("\n")[0].partition(": ")[2]
        if tag not in seen:
            yield {"name": tag, "description": said[:1].upper() + said[1:]}
        seen.add(tag)


def _add_bodies(schemas: Schema) -> None:
    for name, cls in {**TAKEN, "Plan": Plan, "Problem": Problem}.items():
        taken = TypeAdapter(cls).json_schema(ref_template=_REF)
        schemas.update({**taken.pop("$defs", {}), **schemas, name: taken})
    for fact in get_args(Fact):
        schemas[fact.__name__]["properties"]["kind"] = {"const": kind_of(fact), "type": "string"}
        schemas[fact.__name__]["required"] = [*schemas[fact.__name__].get("required", []), "kind"]


def _complete(operation: Schema, noun: ModuleType, route: APIRoute) -> None:
    operation["operationId"] = operation_id(noun, route)
    operation["responses"].pop("422", None)  # FastAPI's own; ours is a problem
    operation["responses"]["default"] = {
        "description": "Any error",
        "content": {PROBLEM_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}, "example": example_of(Problem)}},
    }
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            number = parameter["schema"].get("type") == "integer"
            parameter["example"] = 1 if number else word(parameter["name"])
    _add_examples(operation, route)
    permission = permission_of(route)
    if permission is None:
        return
    operation["x-permission"] = permission.sentence
    operation["security"] = [] if permission.public else [{"token": []}, {"cookie": []}]
    if permission.right is not None:
        operation["x-right"] = permission.right.value


def operation_id(noun: ModuleType, route: APIRoute) -> str:
    """By what a generated client calls a route: `runs_list`, `runs_get`, `runs_stop`."""
    where = noun.router.prefix.strip("/").replace("/", "_") or str(noun.router.tags[0])
    verb = route.name.strip("_")
    if "GET" in (route.methods or ()):
        if getattr(route.response_model, "__name__", "").endswith("Page") and route.path == noun.router.prefix:
            verb = "list"
        elif verb in ("one", where.removesuffix("s")):
            verb = "get"
    return f"{where}_{verb}"


def _add_examples(operation: Schema, route: APIRoute) -> None:
    for status, answered in operation["responses"].items():
        content = answered.get("content", {}).get("application/json")
        if content and status != "default" and route.response_model is not None:
            content["example"] = _without_next(example_of(route.response_model))
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content and "$ref" in content["schema"]:
        name = content["schema"]["$ref"].rpartition("/")[2]
        content["example"] = example_of({**TAKEN, "Plan": Plan}[name])


def _without_next(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A page as an example is the last one."""
    return {**value, "next": None} if isinstance(value, dict) and "next" in value else value
