"""The public API: who may call it, one shape of errors, and an OpenAPI page that tells the truth."""

from __future__ import annotations

import http.client
import json
from dataclasses import fields

import pytest
from tests.coordinator.running import Running, start_round_one
from tests.coordinator.support import plan_of

from septum.client import Client
from septum.coordinator.api.access import ApiParts
from septum.coordinator.api.app import api_routes, create_app
from septum.coordinator.api.document import permission_of
from septum.protocol.codec import dumps, to_json
from septum.protocol.facts import Fact
from septum.protocol.plan import Plan
from septum.protocol.views import JournalView, ModelView, RunStatus, RunView, SiloView

pytestmark = pytest.mark.served

API = "/api/v1"


@pytest.fixture
def client(coordinator):
    with Client(coordinator.access) as client:
        yield client


def call(coordinator, method, path, body=None, **headers):
    token = {"authorization": f"Bearer {coordinator.access.token}"}
    return coordinator.ask(method, API + path, body, {**token, **headers})


def test_every_route_names_its_permission():
    paths = create_app(ApiParts(*[None] * len(fields(ApiParts)))).openapi()["paths"]
    operations = {(path, method): operation for path, methods in paths.items() for method, operation in methods.items()}
    assert len(operations) >= 13
    for named, operation in operations.items():
        assert operation.get("x-permission", "").endswith("."), named
    public = {(*route.methods, route.path) for route in api_routes() if permission_of(route).public}
    oidc = {("GET", "/oidc"), ("GET", "/oidc/callback")} | {
        ("POST", f"/oidc/{n}") for n in ("begin", "device", "device/session")
    }
    assert public == {("GET", "/health"), ("GET", "/errors"), ("POST", "/session"), ("POST", "/session/enter")} | oidc


def test_every_route_that_is_not_public_asks_for_a_right_or_is_about_the_caller_alone():
    own = {route.path.split("/")[1] for route in api_routes() if permission_of(route).right is None}
    assert own == {"health", "errors", "session", "oidc", "account", "tokens", "activity", "events"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/runs"),
        ("GET", "/runs"),
        ("GET", "/runs/r-1"),
        ("GET", "/runs/r-1/events"),
        ("GET", "/models"),
        ("GET", f"/models/blake3:{'0' * 64}"),
        ("GET", "/silos"),
        ("POST", "/silos/a/invite"),
        ("DELETE", "/silos/a"),
    ],
)
def test_without_the_token_nothing_is_said(coordinator, method, path):
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = coordinator.ask(method, API + path, None, headers)
        assert (answer.status, answer.error["code"]) == (401, "auth")


def test_health_needs_no_token(coordinator):
    assert coordinator.ask("GET", f"{API}/health").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PATCH", "/runs", 405, "message"),
        ("GET", "/runs?limit=zero", 422, "message"),
        ("GET", "/runs?limit=100000", 422, "message"),
        ("GET", "/runs/r-nope", 404, "not_found"),
        ("GET", "/runs/r-nope/events", 404, "not_found"),
        ("GET", "/runs/r-nope/journal", 404, "not_found"),
        ("GET", "/runs/r-nope/plan", 404, "not_found"),
        ("POST", "/runs/r-nope/stop", 404, "not_found"),
        ("GET", "/models?run=r-nope", 404, "not_found"),
        ("GET", f"/models/blake3:{'0' * 64}", 404, "not_found"),
        ("GET", "/models/nonsense", 422, "digest"),
        ("DELETE", "/silos/nobody", 404, "not_found"),
        ("POST", "/silos/No%20Name/invite", 422, "config"),
        ("POST", "/runs", 422, "message"),  # no Idempotency-Key
    ],
)
def test_every_error_has_the_one_shape(coordinator, method, path, status, code):
    answer = call(coordinator, method, path)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["message"]


@pytest.mark.parametrize(
    ("changed", "status", "problem"),
    [
        ({"rounds": 0}, 400, "rounds must be between 1"),
        ({"roundz": 1}, 400, "did you mean 'rounds'?"),
        ({"rounds": "two"}, 400, "expected int"),
        ({"strategy": {"name": "fedavgg"}}, 422, "unknown strategy 'fedavgg'"),
        ({"strategy": {"name": "fedprox", "settings": {"mo": 1.0}}}, 422, "no setting 'mo'"),
        ({"strategy": {"name": "krum"}}, 422, "n >= 2f + 3 = 5 silos (Blanchard et al. 2017); there are 1"),
        ({"silos": ["clevland"]}, 422, "did you mean 'cleveland'?"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(coordinator, silos, changed, status, problem):
    plan = {**to_json(plan_of(("cleveland",))), **changed}
    answer = call(coordinator, "POST", "/runs", dumps(plan), **{"idempotency-key": "never"})
    assert answer.status == status
    assert problem in answer.error["message"] + answer.error["hint"]


def test_the_plan_of_a_run_is_given_back_whole(coordinator, silos, client):
    plan = plan_of(seed=77, rounds=9)
    run = client.submit(plan, key="whole plan")
    assert client.plan(run.id) == plan
    assert client.plan(run.id).digest == run.plan_digest
    assert client.submit(client.plan(run.id), key="whole plan").id == run.id
    client.stop(run.id)


def test_a_plan_for_a_silo_that_was_only_invited_is_refused(coordinator, silos, client):
    client.invite("zurich")
    body = dumps(to_json(plan_of(("zurich",))))
    answer = call(coordinator, "POST", "/runs", body, **{"idempotency-key": "never"})
    assert "has not enrolled yet" in answer.error["message"]


def test_a_body_over_the_limit_is_refused(coordinator):
    answer = call(coordinator, "POST", "/runs", b" " * 300_000, **{"idempotency-key": "never"})
    assert (answer.status, answer.error["code"]) == (413, "too_large")


def test_the_events_are_numbered_resume_where_they_broke_and_end_with_the_run(coordinator, silos, client):
    run = client.submit(plan_of(seed=41), key="events").id
    client.stop(run)
    answer = call(coordinator, "GET", f"/runs/{run}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = answer.body.decode().strip().split("\n\n")
    assert [frame.splitlines()[0] for frame in frames] == ["id: 1", "id: 2"]
    assert json.loads(frames[1].splitlines()[1].removeprefix("data: "))["fact"]["kind"] == "run_ended"
    resumed = call(coordinator, "GET", f"/runs/{run}/events", **{"last-event-id": "1"})
    assert resumed.body.decode().startswith("id: 2\n")


def test_the_schema_has_the_plan_every_fact_with_its_kind_and_the_permissions(coordinator):
    schema = json.loads(coordinator.ask("GET", f"{API}/openapi.json").body)
    schemas = schema["components"]["schemas"]
    assert {"rounds", "silos", "strategy"} <= set(schemas["Plan"]["properties"])
    for fact in Fact.__args__:
        assert schemas[fact.__name__]["properties"]["kind"]["type"] == "string"
    submit = schema["paths"][f"{API}/runs"]["post"]
    assert submit["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Plan")
    assert submit["x-permission"].startswith("Submit a run")
    text = json.dumps(schema)
    for ref in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert ref in schemas
    for view in (RunView, ModelView, SiloView, JournalView, Plan):
        assert view.__name__ in schemas


def test_the_schema_has_the_body_of_every_route_that_takes_one(coordinator):
    paths = json.loads(coordinator.ask("GET", f"{API}/openapi.json").body)["paths"]
    nouns = ("session", "account", "tokens", "people", "organisations", "oidc")
    bodiless = {"/people/{name}/reset", "/people/{name}/suspend", "/people/{name}/restore"}
    bodiless |= {"/account/totp", "/session/link"}
    for path, methods in paths.items():
        where = path.removeprefix(API)
        if where.split("/")[1] in nouns:
            for method in methods.keys() & {"post", "put"}:
                assert ("requestBody" in methods[method]) == (where not in bodiless or method == "put"), (method, path)


def test_runs_are_listed_newest_first_in_pages(coordinator, silos, client):
    ids = [client.submit(plan_of(seed=100 + n), key=f"page-{n}").id for n in range(3)]
    newest = [run.id for run in client.runs(limit=2)]
    assert newest == [ids[2], ids[1]]
    assert client.runs(limit=1, after=ids[1])[0].id == ids[0]
    for run in ids:
        assert client.stop(run, reason="enough").reason == "enough"


def test_a_run_is_paused_resumed_and_stopped(coordinator, silos, client):
    run, _ = start_round_one(silos, plan_of(seed=77), "steered", 3)
    assert client.pause(run).status is RunStatus.PAUSED
    assert client.resume(run).status is RunStatus.TRAINING
    assert {silo.awaited for silo in client.run(run).silos} == {True}
    assert client.stop(run).status is RunStatus.STOPPED
    assert client.resume(run).status is RunStatus.GATHERING
    client.stop(run)


def test_no_token_key_or_signature_is_in_the_log(tmp_path, caplog):
    with caplog.at_level("DEBUG"):
        running = Running(tmp_path)
        try:
            silo = running.enrolled("hungary")
            with Client(running.access) as client:
                token = client.invite("basel").token
            running.ask("POST", "/silo/v1/poll", b"{}", silo.signed("POST", "/silo/v1/poll", b"{}"))
            signature = silo.signed("POST", "/silo/v1/poll", b"{}")["Signature"]
            running.ask("GET", f"{API}/runs", None, {"authorization": "Bearer wrong-token-value"})
            operator = running.access.token
        finally:
            running.stop()
    said = "\n".join(str(vars(record)) for record in caplog.records)
    assert "silo_enrolled" in said
    for secret in (token, operator, signature, "wrong-token-value"):
        assert secret not in said


def test_an_http_request_without_tls_gets_no_answer(coordinator):
    connection = http.client.HTTPConnection("127.0.0.1", coordinator.port, timeout=5)
    connection.request("GET", f"{API}/health")
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse()
    connection.close()
