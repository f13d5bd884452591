"""The endpoint for predictions: loopback alone, with a token, within limits, and always with the model in use."""

from __future__ import annotations

import http.client
import json
import threading

import numpy as np
import pytest
from tests.silo.test_scorer import model, place_of

from septum.errors import ConfigError, ConflictError
from septum.protocol.deploying import DeployState
from septum.protocol.messages import blob_of
from septum.silo import serving
from septum.silo.deployed import Deployed, Held, State
from septum.silo.serving import MAX_BODY_BYTES, Desk, PredictionServer, check_loopback, token_in

pytestmark = pytest.mark.served

ROWS = {"rows": [{"x": 0.5}, {"x": "-1"}, {"x": 0, "more": "is left out"}]}


class Served:
    def __init__(self, folder):
        self.scoring, _ = place_of(folder, model())
        self.token = token_in(folder)
        self.server = PredictionServer(Desk(self.scoring, "", lambda: 0.0), self.token, "127.0.0.1", 0)
        self.thread = threading.Thread(target=self.server.serve)
        self.thread.start()

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        given = {"authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        sent = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        try:
            connection.request(method, path, sent, given)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("silo"))
    yield served
    served.server.stop()
    served.thread.join()


def test_rows_are_answered_in_their_order_with_the_model_that_made_it(served):
    status, told = served.ask("POST", "/predict", ROWS)
    assert status == 200
    assert np.allclose(told["predictions"], [1 / (1 + np.exp(-logit)) for logit in (1.0, -2.0, 0.0)])
    assert (told["model"]["digest"], told["model"]["rows"]) == (blob_of(model()).digest, 3)
    assert served.ask("GET", "/health")[1]["model"]["version"] == 3


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "says"),
    [
        ("POST", "/predict", ROWS, {"authorization": ""}, 401, "token"),
        ("POST", "/predict", ROWS, {"authorization": "Basic YTpi"}, 401, "token"),
        ("POST", "/predict", ROWS, {"authorization": "Bearer \xe9"}, 401, "token"),
        ("GET", "/health", None, {"authorization": "Bearer wrong"}, 401, "token"),
        ("GET", "/predict", None, {}, 404, "GET /predict"),
        ("POST", "/", ROWS, {}, 404, "POST /"),
        ("POST", "/predict", b"{", {}, 400, "JSON"),
        ("POST", "/predict", b"[" * 100_000, {}, 400, "JSON"),
        ("POST", "/predict", {"rows": "x"}, {}, 400, "rows"),
        ("POST", "/predict", {"rows": [1]}, {}, 400, "rows"),
        ("POST", "/predict", {**ROWS, "model": "other"}, {}, 400, "rows"),
        ("POST", "/predict", {"rows": [{"x": 1}, {"y": 1}]}, {}, 422, "row 2: no column 'x'"),
        ("POST", "/predict", {"rows": [{"x": True}]}, {}, 422, "row 1, column 'x'"),
        ("POST", "/predict", {"rows": [{"x": [1]}]}, {}, 422, "row 1, column 'x'"),
        ("POST", "/predict", {"rows": [{"x": 1}, {"x": "many"}]}, {}, 422, "row 2, column 'x': not a number"),
        ("POST", "/predict", {"rows": [{"x": None}]}, {}, 422, "row 1: feature 'x'"),
        ("POST", "/predict", None, {"content_length": str(MAX_BODY_BYTES + 1)}, 413, "at most"),
        ("POST", "/predict", None, {"content_length": "many"}, 400, "Content-Length"),
        ("POST", "/predict", None, {"content_length": "-1"}, 400, "Content-Length"),
        ("POST", "/predict", {"rows": [{"x": 1}] * 10_001}, {}, 413, "at most 10000"),
    ],
)
def test_what_cannot_be_answered_says_why_and_the_next_request_is_answered(
    served, method, path, body, headers, status, says
):
    found, told = served.ask(method, path, body, **headers)
    assert found == status, told
    assert says in told["error"]["message"]
    assert served.token not in json.dumps(told)
    assert served.ask("POST", "/predict", ROWS)[0] == 200


def test_a_body_that_does_not_come_frees_its_thread(served, monkeypatch):
    monkeypatch.setattr(serving._Handler, "timeout", 0.05)
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=20)
    connection.putrequest("POST", "/predict")
    connection.putheader("authorization", f"Bearer {served.token}")
    connection.putheader("content-length", "100")
    connection.endheaders()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        connection.getresponse()
    connection.close()


def test_a_newly_deployed_model_answers_the_next_request(tmp_path):
    served = Served(tmp_path)
    try:
        assert served.ask("POST", "/predict", {"rows": [{"x": 1}]})[1]["model"]["version"] == 3
        content = model(0.0)
        held = served.scoring.active()
        blob = blob_of(content).without_bytes()
        served.scoring.models.path(blob.digest).write_bytes(content)
        newer = Held(type(held.order)(**{**_fields(held.order), "version": 4, "model": blob}), DeployState.ACTIVE, 2.0)
        served.scoring.models.save(State({"heart": Deployed(newer, newer)}))
        assert served.ask("POST", "/predict", {"rows": [{"x": 1}]})[1]["predictions"] == [0.5]
        served.scoring.models.say("heart", accept=False)
        status, told = served.ask("POST", "/predict", {"rows": [{"x": 1}]})
        assert (status, told["error"]["code"]) == (404, "not_found")
    finally:
        served.server.stop()
        served.thread.join()


def _fields(order):
    return {name: getattr(order, name) for name in order.__dataclass_fields__}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "localhost", "10.0.0.1", ""])
def test_no_other_address_than_loopback_is_listened_on(host):
    with pytest.raises(ConfigError):
        check_loopback(host)
    assert [check_loopback(one) for one in ("127.0.0.1", "127.8.8.8", "::1")] == ["127.0.0.1", "127.8.8.8", "::1"]


def test_a_port_in_use_is_named(served):
    with pytest.raises(ConflictError, match=str(served.server.port)):
        PredictionServer(Desk(served.scoring, ""), served.token, "127.0.0.1", served.server.port)


def test_the_token_is_made_once_for_its_owner_and_one_that_others_can_read_is_refused(tmp_path):
    token = token_in(tmp_path)
    path = tmp_path / "predict.token"
    assert (token_in(tmp_path), path.stat().st_mode & 0o077, len(token) >= 32) == (token, 0, True)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="read by others"):
        token_in(tmp_path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(ConfigError, match="no token"):
        token_in(tmp_path)
