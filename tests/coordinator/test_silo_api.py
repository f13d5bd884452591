"""The silos' routes over real TLS: what is wrong is refused with its own error, and nothing is lost by it."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.running import (
    KEYS,
    NARROW,
    WIDE,
    Running,
    Silo,
    announced,
    begun,
    blob_path,
    exchange_path,
    finish,
    next_seed,
    start_round_one,
)
from tests.coordinator.support import evaluated, plan_of, update, work

from septum.adapters.identity.http_signatures import Ed25519Signer, content_digest
from septum.adapters.identity.token import enrolment
from septum.client import Client
from septum.protocol.codec import MAX_MESSAGE_BYTES, encode
from septum.protocol.messages import Await, End, Join, Outcome, Poll, Stage, Train, blob_of
from septum.protocol.plan import digest_of

pytestmark = pytest.mark.served

POLL = "/silo/v1/poll"


# --- what works ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_run_over_https_gives_the_model_that_the_client_downloads(coordinator, silos, tmp_path, width):
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), width)
    assert all(isinstance(one, Train) and (one.model.inline is None) == (width == WIDE) for one in told)
    assert {end.outcome for end in finish(silos, run, told, width)} == {Outcome.FINISHED}
    with Client(coordinator.access) as client:
        view = client.run(run)
        assert client.download(view.model, tmp_path / "model") == (tmp_path / "model").stat().st_size
    assert digest_of((tmp_path / "model").read_bytes()) == view.model


def test_a_model_that_does_not_fit_in_a_message_is_fetched_as_a_blob(silos):
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), WIDE)
    answer = silos[0].get(blob_path(run, told[0].model.digest))
    assert answer.status == 200
    assert digest_of(answer.body) == told[0].model.digest


def test_a_poll_is_answered_with_an_invitation_and_with_wait_when_there_is_none(tmp_path):
    running = Running(tmp_path, hold_s=0.2)
    try:
        silo = running.enrolled("hungary")
        assert json.loads(silo.post(POLL, encode(Poll())).body)["kind"] == "wait"
        with Client(running.access) as client:
            run = client.submit(plan_of(("hungary",)), key="k")
        offered = json.loads(silo.post(POLL, encode(Poll())).body)
        assert (offered["kind"], offered["run"]) == ("invitation", run.id)
        assert json.loads(silo.post(POLL, encode(Poll((run.id,)))).body)["kind"] == "wait"
    finally:
        running.stop()


def test_the_authority_that_tokens_pin_is_there_for_who_enrols(coordinator):
    answer = coordinator.ask("GET", "/silo/v1/ca")
    assert answer.body == (coordinator.config.data_dir / "tls" / "ca.crt").read_bytes()


# --- who asks ------------------------------------------------------------------------------------------------------


def test_an_unknown_silo_is_refused(coordinator):
    stranger = Silo(coordinator, "stranger", Ed25519PrivateKey.generate())
    answer = stranger.post(POLL, encode(Poll()))
    assert answer.status == 401
    assert "'stranger'" in answer.error["message"]


def test_a_signature_by_another_key_is_refused(coordinator, silos):
    impostor = Silo(coordinator, silos[0].name, Ed25519PrivateKey.generate())
    answer = impostor.post(POLL, encode(Poll()))
    assert (answer.status, answer.error["code"]) == (401, "auth")


def test_a_request_without_a_signature_is_refused(coordinator):
    for method, path in (("POST", POLL), ("PUT", blob_path("r", "d")), ("GET", blob_path("r", "d"))):
        assert coordinator.ask(method, path, b"" if method != "GET" else None).status == 401


def test_a_signature_for_another_path_or_with_a_query_is_refused(coordinator, silos):
    body = encode(Poll())
    assert coordinator.ask("POST", POLL + "?x=1", body, silos[0].signed("POST", POLL, body)).status == 401
    elsewhere = silos[0].signed("POST", exchange_path("r-1"), body)
    assert coordinator.ask("POST", POLL, body, elsewhere).status == 401


def test_a_replayed_request_is_refused(silos, round_one):
    run, _ = round_one
    body = encode(Join("blake3:wrong plan"))
    headers = silos[0].signed("POST", exchange_path(run), body)
    ask = silos[0].coordinator.ask
    assert ask("POST", exchange_path(run), body, headers).status == 409
    again = ask("POST", exchange_path(run), body, headers)
    assert again.status == 401
    assert "received before" in again.error["message"]


def test_a_body_that_is_not_the_signed_one_is_refused(coordinator, silos):
    headers = silos[0].signed("POST", POLL, encode(Poll()))
    answer = coordinator.ask("POST", POLL, encode(Poll(("other",))), headers)
    assert (answer.status, answer.error["code"]) == (422, "digest")


def test_a_request_signed_ten_minutes_ago_is_refused_with_the_offset(coordinator, silos):
    body = encode(Poll())
    late = Ed25519Signer(silos[0].name, silos[0].key, now=lambda: time.time() - 600)
    answer = coordinator.ask("POST", POLL, body, late.headers("POST", POLL, content_digest(body)))
    assert answer.status == 401
    assert "600 s behind" in answer.error["message"] or "601 s behind" in answer.error["message"]


def test_a_revoked_silo_is_refused_at_once_and_what_it_holds_ends(coordinator):
    silo = coordinator.enrolled("basel")
    answers = []
    held = threading.Thread(target=lambda: answers.append(silo.post(POLL, encode(Poll()))))
    held.start()
    time.sleep(0.3)
    with Client(coordinator.access) as client:
        client.revoke("basel")
    held.join(2)
    assert [answer.status for answer in answers] == [401]
    assert "revoked" in answers[0].error["message"]
    assert silo.post(POLL, encode(Poll())).status == 401


def test_what_a_silo_holds_ends_when_another_key_takes_the_place_of_its_own(coordinator):
    silo = coordinator.enrolled("biel")
    answers = []
    held = threading.Thread(target=lambda: answers.append(silo.post(POLL, encode(Poll()))))
    held.start()
    time.sleep(0.3)
    with Client(coordinator.access) as client:
        token = client.renew("biel").token
    new = Ed25519PrivateKey.generate()
    assert coordinator.ask("POST", "/silo/v1/enroll", encode(enrolment(token, new))).status == 200
    held.join(2)
    assert [answer.status for answer in answers] == [401]
    assert "was replaced by another one" in answers[0].error["message"]
    assert silo.post(POLL, encode(Poll())).status == 401
    assert replace(silo, key=new).post(POLL, encode(Poll())).status == 200


# --- enrolment -----------------------------------------------------------------------------------------------------


def test_a_token_works_once_and_for_its_own_silo(coordinator):
    with Client(coordinator.access) as client:
        token = client.invite("geneva").token
    first, second = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    path = "/silo/v1/enroll"
    assert coordinator.ask("POST", path, encode(enrolment(token, first))).status == 200
    assert coordinator.ask("POST", path, encode(enrolment(token, first))).status == 200  # its answer was lost
    assert coordinator.ask("POST", path, encode(enrolment(token, second))).status == 401
    other = replace(enrolment(token, second), silo="lausanne")
    assert coordinator.ask("POST", path, encode(other)).status == 401


def test_a_silo_that_does_not_prove_its_key_stays_out_and_its_token_unburned(coordinator):
    with Client(coordinator.access) as client:
        token = client.invite("bern").token
    key = Ed25519PrivateKey.generate()
    good = enrolment(token, key)
    assert coordinator.ask("POST", "/silo/v1/enroll", encode(replace(good, proof=bytes(64)))).status == 401
    assert coordinator.ask("POST", "/silo/v1/enroll", encode(good)).status == 200


# --- messages ------------------------------------------------------------------------------------------------------


def test_a_message_over_the_limit_is_refused_before_it_is_read(silos):
    big = b"x" * (MAX_MESSAGE_BYTES + 1)
    said = announced(silos[0], "POST", POLL, len(big), big)
    assert said.startswith(b"HTTP/1.1 413")
    assert b'"too_large"' in said
    assert str(MAX_MESSAGE_BYTES).encode() in said


def test_an_undeclared_message_over_the_limit_is_refused_while_it_arrives(coordinator, silos):
    big = b"x" * (4 * MAX_MESSAGE_BYTES)
    headers = {**silos[0].signed("POST", POLL, big), "Transfer-Encoding": "chunked"}
    try:
        chunks = iter([big[i : i + 65536] for i in range(0, len(big), 65536)])
        status = coordinator.ask("POST", POLL, chunks, headers).status
    except OSError:  # the server may close before it has read everything
        status = 413
    assert status == 413


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"kind":"poll"}', b'{"kind":"poll","septum-protocol":1,"extra":1}', b"\xff"]
)
def test_what_is_not_a_message_is_refused(silos, body):
    answer = silos[0].post(POLL, body)
    assert (answer.status, answer.error["code"]) == (400, "message")


def test_an_unknown_route_or_run_is_not_found(silos):
    assert silos[0].coordinator.ask("GET", "/silo/v1/nowhere").status == 404
    assert silos[0].post(exchange_path("r-nope"), encode(Await())).error["code"] == "not_found"


def test_joining_with_another_plan_is_a_conflict(silos, round_one):
    answer = silos[0].post(exchange_path(round_one[0]), encode(Join(digest_of(b"another plan"))))
    assert (answer.status, answer.error["code"]) == (409, "protocol")


# --- reports -------------------------------------------------------------------------------------------------------


def made(silo, round_one):
    told = round_one[1][0]
    return work(told, silo.name, NARROW)[0]


def test_a_report_of_a_round_to_come_is_a_conflict(silos, round_one):
    report = replace(made(silos[0], round_one), round=2)
    answer = silos[0].post(exchange_path(round_one[0]), encode(report))
    assert (answer.status, answer.error["code"]) == (409, "protocol")
    assert "ahead of run" in answer.error["message"]


def test_a_report_of_a_round_that_is_over_is_answered_with_what_is_to_be_done_now(silos):
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), NARROW)
    prepare = replace(made(silos[0], (run, told)), stage=Stage.PREPARE, round=0, base="")
    assert silos[0].say(run, prepare) == told[0]


def test_a_report_from_another_model_is_a_conflict_naming_both(silos, round_one):
    wrong = digest_of(b"another model")
    answer = silos[0].post(exchange_path(round_one[0]), encode(replace(made(silos[0], round_one), base=wrong)))
    assert answer.status == 409
    assert wrong in answer.error["message"]
    assert round_one[1][0].model.digest in answer.error["message"]


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (update(float("nan")), "'update.w' holds nan at element 0"),
        (update(float("-inf")), "'update.w' holds -inf"),
        (update(1.0, width=4), "'update.w' has shape [4], expected [3]"),
        (update(1.0, b=np.zeros(1, np.float32)), "'update.b' was not asked for"),
        (update(1.0, w=np.zeros(3, np.float64)), "'update.w' is F64, expected F32"),
        (update(1.0)[:-1], "the file at byte"),
    ],
    ids=["nan", "inf", "shape", "extra", "dtype", "cut"],
)
def test_a_wrong_payload_is_refused_naming_silo_round_and_tensor(silos, round_one, payload, named):
    report = replace(made(silos[0], round_one), payload=blob_of(payload))
    answer = silos[0].post(exchange_path(round_one[0]), encode(report))
    assert (answer.status, answer.error["code"]) == (422, "tensor")
    assert named in answer.error["message"]
    assert "train round 1: silo 'cleveland'" in answer.error["message"]


def test_a_missing_tensor_is_named(silos, round_one):
    report = replace(made(silos[0], round_one), payload=blob_of(evaluated()))
    answer = silos[0].post(exchange_path(round_one[0]), encode(report))
    assert "tensor 'update.w' is missing" in answer.error["message"]


def test_a_run_goes_on_after_all_kinds_of_wrong_reports(silos, round_one):
    run, told = round_one
    report = made(silos[0], round_one)
    for wrong in (replace(report, round=9), replace(report, base=""), replace(report, payload=blob_of(b"junk" * 9))):
        assert silos[0].post(exchange_path(run), encode(wrong)).status >= 400
    assert all(isinstance(end, End) and end.outcome is Outcome.FINISHED for end in finish(silos, run, told, NARROW))


def test_a_silo_that_is_revoked_while_it_sends_is_not_listened_to(coordinator):
    silo = coordinator.enrolled("lausanne")
    plan = plan_of(("lausanne",), seed=next_seed())
    with Client(coordinator.access) as client:
        run = client.submit(plan, key=next(KEYS)).id
        body = encode(Join(plan.digest))
        connection = begun(silo, "POST", exchange_path(run), len(body), body)
        connection.sendall(body[:10])
        time.sleep(0.3)
        client.revoke("lausanne")
        connection.sendall(body[10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        connection.close()
        assert [one.presence.value for one in client.run(run).silos] == ["invited"]
        client.stop(run)
