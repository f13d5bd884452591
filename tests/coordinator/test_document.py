"""The OpenAPI document: every route with a name, an example that fits its schema, and who may come in."""

from __future__ import annotations

import re
from dataclasses import fields

import jsonschema_rs
import pytest

from septum.coordinator.api.access import ApiParts
from septum.coordinator.api.app import PREFIX, create_app

METHODS = ("get", "put", "post", "delete")


@pytest.fixture(scope="module")
def document():
    return create_app(ApiParts(*[None] * len(fields(ApiParts)))).openapi()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method in METHODS
            yield f"{method} {path}", operation


def contents(document):
    for name, operation in operations(document):
        for status, answered in operation["responses"].items():
            for media, content in answered.get("content", {}).items():
                yield f"{name}: {status}", media, content
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name}: body", media, content


def test_it_is_of_the_version_of_openapi_that_has_json_schema(document):
    assert document["openapi"].startswith("3.1.")


def test_every_answer_and_every_body_that_is_json_has_an_example_that_fits_its_schema(document):
    seen = 0
    for where, media, content in contents(document):
        if media.endswith("json") and "contentMediaType" not in content["schema"]:
            schema = {**content["schema"], "components": document["components"]}
            problems = [one.message for one in jsonschema_rs.iter_errors(schema, content["example"])]
            assert problems == [], where
            seen += 1
    assert seen > 100


def test_every_route_has_a_name_of_its_own_that_tells_what_it_does(document):
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names), names
    assert {"runs_list", "runs_get", "runs_submit", "silos_list", "models_versions_list", "people_get"} <= set(names)


def test_every_route_says_who_may_come_in_and_has_a_described_tag(document):
    described = {tag["name"] for tag in document["tags"] if tag["description"].endswith(".")}
    schemes = document["components"]["securitySchemes"]
    for name, operation in operations(document):
        assert set(operation["tags"]) <= described, name
        asked = [scheme for way in operation["security"] for scheme in way]
        assert asked == ([] if "without a token" in operation["x-permission"] or not asked else [*schemes]), name
        assert operation.get("summary"), name
        assert operation.get("description"), name
    assert [name for name, operation in operations(document) if not operation["security"]] == [
        f"post {PREFIX}/session",
        f"post {PREFIX}/session/enter",
        f"get {PREFIX}/oidc",
        f"post {PREFIX}/oidc/begin",
        f"get {PREFIX}/oidc/callback",
        f"post {PREFIX}/oidc/device",
        f"post {PREFIX}/oidc/device/session",
        f"get {PREFIX}/health",
        f"get {PREFIX}/errors",
    ]


def test_errors_are_documented_as_problems_and_nothing_else(document):
    for name, operation in operations(document):
        assert [*operation["responses"]["default"]["content"]] == ["application/problem+json"], name
        assert not [status for status in operation["responses"] if status.startswith(("4", "5"))], name
    assert "HTTPValidationError" not in document["components"]["schemas"]
