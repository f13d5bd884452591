"""Requests that mean no good, over the public API: refused with a reason, and nothing is kept, told or held up."""

from __future__ import annotations

import json
import time

import pytest
from tests.coordinator.running import Running
from tests.coordinator.support import plan_of
from tests.coordinator.visitors import PASSWORD, Visitor, grant, invited, operator, person, signed_in

from septum.client import Client
from septum.coordinator import asgi, totp
from septum.protocol.codec import to_json

pytestmark = pytest.mark.served

SQL = "x'; DROP TABLE runs; --"
LOOKED_AT = ("/runs", "/silos", "/people", "/people/ada", "/tokens", "/session")
MEGABYTES = 10 * 2**20


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"))
    running.enrolled("cleveland")
    yield running
    running.stop()


@pytest.fixture
def here(coordinator):
    return operator(coordinator)


@pytest.mark.parametrize("text", [SQL, "a\0b", "\N{RIGHT-TO-LEFT OVERRIDE}", "../../etc", "a" * 10_000])
def test_a_name_that_is_none_is_refused_everywhere(here, text):
    for path, body in (
        ("/organisations", {"name": text}),
        ("/groups", {"name": text}),
        ("/projects", {"name": text, "group": "g"}),
        ("/people", {"name": text}),
    ):
        answer = here.ask("POST", path, body)
        assert (answer.status, answer.error["code"]) == (422, "config"), path
        assert len(answer.body) < 1000


@pytest.mark.parametrize("text", ["%27%3B%20DROP%20TABLE%20runs%3B--", "%00", "%FF%FE", "%2e%2e%2f", "a" * 1500])
def test_a_path_or_a_search_that_means_no_good_finds_nothing(here, text):
    for path in ("/runs/", "/silos/", "/people/", "/groups/", "/projects/", "/organisations/"):
        assert here.ask("GET", path + text).status in (404, 422), path
    for path in ("/runs", "/silos", "/people", "/apps"):
        for parameter in ("q", "name", "project", "organisation"):
            answer = here.ask("GET", f"{path}?{parameter}={text}")
            assert answer.status in (200, 404, 422), (path, parameter)
    assert here.ask("GET", "/runs").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 40_000,
        b'{"name":"\\ud800"}',
        b'{"name":"\xff"}',
        b'{"name":NaN}',
        b'{"name":1e999}',
        b'{"name":"a","name":"b"}',
        b"\0",
        b"",
        b"null",
        b'"text"',
    ],
)
def test_json_that_is_none_or_goes_too_deep_is_a_message_that_is_refused(here, body):
    for path in ("/groups", "/people", "/session"):
        answer = here.ask("POST", path, body)
        assert (answer.status, answer.error["code"]) == (400, "message"), (path, answer.body[:300])
    answer = here.ask("POST", "/runs", body, idempotency_key="k")
    assert (answer.status, answer.error["code"]) == (400, "message")


def test_a_number_that_no_database_holds_is_refused_before_a_stream_begins(here):
    for path in ("/events?after=", "/activity?after=", "/runs/r-1/journal?after=", "/silos?limit="):
        answer = here.ask("GET", f"{path}{2**70}")
        assert answer.status in (400, 404, 422), path
    assert here.ask("GET", "/events", last_event_id=str(2**70)).status in (400, 422)


def test_a_plan_with_text_that_cannot_be_shown_does_not_break_what_shows_it(here):
    plan = {**to_json(plan_of(("cleveland",))), "name": "a\0b\x1b[31m"}
    answer = here.ask("POST", "/runs", plan, idempotency_key="nul")
    assert answer.status in (201, 400, 422)
    assert here.ask("GET", "/runs").status == 200
    if answer.status == 201:
        here.told("POST", f"/runs/{json.loads(answer.body)['id']}/stop")


def test_ten_megabytes_of_json_are_refused_before_they_are_sent(coordinator):
    connection = coordinator.connect(5.0)
    connection.connect()
    head = f"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MEGABYTES}\r\n\r\n"
    connection.sock.sendall(head.encode())
    assert b" 413 " in connection.sock.recv(65536)
    connection.close()


def test_megabytes_that_nobody_announced_are_refused_as_they_come(here):
    chunks = (b" " * 65536 for _ in range(MEGABYTES // 65536))
    headers = {"authorization": f"Bearer {here.token}", "Transfer-Encoding": "chunked"}
    answer = here.coordinator.ask("POST", "/api/v1/groups", chunks, headers)
    assert (answer.status, answer.error["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", ["POST /api/v1/groups", f"PUT /api/v1/apps/sha256:{'0' * 64}"])
def test_a_body_that_stands_still_is_not_waited_for(coordinator, monkeypatch, path):
    monkeypatch.setattr(asgi, "SILENCE_S", 0.2)
    token = f"Authorization: Bearer {coordinator.access.token}"
    connection = coordinator.connect(5.0)
    connection.connect()
    connection.sock.sendall(f"{path} HTTP/1.1\r\nHost: localhost\r\n{token}\r\nContent-Length: 10\r\n\r\n{{".encode())
    assert b" 503 " in connection.sock.recv(65536)
    connection.close()


def test_a_silo_s_key_opens_no_route_of_people(coordinator):
    silo = coordinator.enrolled("key-holder")
    for path in ("/api/v1/runs", "/api/v1/silos/key-holder", "/api/v1/session"):
        answer = coordinator.ask("GET", path, None, silo.signed("GET", path, None))
        assert (answer.status, answer.error["code"]) == (401, "auth")


def test_a_token_that_was_revoked_or_is_another_coordinator_s_opens_nothing(coordinator, tmp_path):
    ada = person(coordinator, "ada", "viewer")
    made = ada.told("POST", "/tokens", {"title": "notebook"})
    program = Visitor(coordinator, made["token"])
    assert program.ask("GET", "/runs").status == 200
    assert ada.ask("DELETE", f"/tokens/{made['about']['id']}").status == 204
    assert (program.ask("GET", "/runs").status, program.ask("GET", "/session").status) == (401, 401)
    assert ada.ask("DELETE", "/session").status == 204
    assert ada.ask("GET", "/runs").status == 401
    other = Running(tmp_path)
    try:
        assert Visitor(coordinator, other.access.token).ask("GET", "/runs").status == 401
    finally:
        other.stop()


def test_no_secret_that_was_handed_out_is_said_again_anywhere(tmp_path, caplog):
    """Not in a log at any level, a list, a thing, the journal or an error."""
    with caplog.at_level("DEBUG"):
        running = Running(tmp_path)
        try:
            here, said, secrets = operator(running), [], [running.access.token, PASSWORD]
            running.enrolled("cleveland")
            with Client(running.access) as client:
                secrets.append(client.invite("basel").token)
                run = client.stop(client.submit(plan_of(("cleveland",)), key="a secret key of a submission").id).id
            once = invited(here, "ada", "researcher")
            ada = signed_in(running, "ada", once, new_password=PASSWORD)
            made = ada.told("POST", "/tokens", {"title": "notebook"})
            offered = ada.told("POST", "/account/totp")
            code = totp.code_at(totp.from_base32(offered["secret"]), time.time())
            proof = {"secret": offered["secret"], "code": code, "password": PASSWORD}
            codes = ada.told("PUT", "/account/totp", proof)["codes"]
            reset = here.told("POST", "/people/ada/reset")
            secrets += [once, ada.token, made["token"], offered["secret"], *codes, reset["password"]]
            visitors = (here, ada, Visitor(running, made["token"]), Visitor(running, "wrong" * 9))
            for visitor in visitors:
                for path in (
                    "/runs",
                    "/silos",
                    "/people",
                    "/people/ada",
                    "/tokens",
                    "/session",
                    f"/runs/{run}/journal",
                ):
                    said.append(visitor.ask("GET", path).body)
                said.append(visitor.ask("PUT", "/people/ada/grants", {"grants": [grant("viewer")], "x": once}).body)
                said.append(visitor.ask("POST", "/session", {"name": "ada", "password": reset["password"] + "x"}).body)
                said.append(visitor.ask("POST", "/session", {"name": once, "password": [PASSWORD]}).body)
                said.append(visitor.ask("GET", f"/runs/{run}/events").body)
        finally:
            running.stop()
    whole = "\n".join([*(str(vars(record)) for record in caplog.records), *(body.decode() for body in said)])
    assert "token_made" in whole
    for secret in secrets:
        assert len(secret) >= 8
        assert secret not in whole
