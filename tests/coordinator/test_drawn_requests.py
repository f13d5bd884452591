"""Requests drawn from the OpenAPI document, to a real coordinator: it does what it says, whatever it is asked."""

from __future__ import annotations

from dataclasses import fields

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.coordinator.running import Running
from tests.coordinator.support import plan_of

from septum.client import Client
from septum.coordinator.api.access import ApiParts
from septum.coordinator.api.app import PREFIX, create_app

pytestmark = [pytest.mark.laws, pytest.mark.served]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 8  # of each route
DOCUMENT = create_app(ApiParts(*[None] * len(fields(ApiParts)))).openapi()
ENDLESS = f"{PREFIX}/events"  # a stream without an end; test_hostile_requests asks for it
OPERATIONS = [
    operation
    for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
    if (operation := found.ok()).path != ENDLESS
]


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"))
    running.enrolled("cleveland")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def submitted(coordinator):
    with Client(coordinator.access) as client:
        return client.submit(plan_of(("cleveland",)), key="drawn").id


@pytest.fixture
def run(coordinator, submitted):
    """A run that has ended, whatever an earlier request did to it, so that its streams end."""
    with Client(coordinator.access) as client:
        if not client.run(submitted).status.ended:
            client.stop(submitted)
    return submitted


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.definition.raw["operationId"])
def test_a_route_answers_as_documented(operation, coordinator, run):
    known = {"run_id": run, "name": "cleveland", "silo": "cleveland"}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(
        case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)), real=st.booleans()
    )
    def drawn(case, real):
        if real:
            case.path_parameters = {key: known.get(key, value) for key, value in (case.path_parameters or {}).items()}
        headers = {"authorization": f"Bearer {coordinator.access.token}"}
        answer = case.call(base_url=coordinator.url, headers=headers, verify=coordinator.access.ca_file, timeout=10)
        case.validate_response(answer, checks=CHECKS)

    drawn()
