"""Packages over HTTPS: pushed by digest with an operator's token, fetched by enrolled silos alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.running import Running, Silo
from tests.sdk.packaging import app_folder, built

from septum.adapters.identity.app_signatures import Signed, sign
from septum.client import Client
from septum.protocol.codec import decode
from septum.protocol.messages import AppOffer, AppOffers

pytestmark = pytest.mark.served

ANN = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
NOWHERE = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"), max_blob_mb=1)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    return built(app_folder(folder / "app"), folder)


@pytest.fixture(scope="module")
def north(coordinator):
    return coordinator.enrolled("north")


def bearer(coordinator):
    return {"Authorization": f"Bearer {coordinator.access.token}"}


def push(coordinator, data, digest=None):
    digest = digest or f"sha256:{sha256(data).hexdigest()}"
    return coordinator.ask("PUT", f"/api/v1/apps/{digest}", data, bearer(coordinator))


@pytest.fixture
def pushed(coordinator, small):
    answer = push(coordinator, small.path.read_bytes())
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def signatures(package):
    return json.dumps([asdict(sign(Signed(package.name, package.version, package.digest), ANN))]).encode()


def test_a_package_is_pushed_by_its_digest_and_listed(coordinator, small, pushed):
    assert (pushed["name"], pushed["version"], pushed["digest"]) == ("small", "1.0.0", small.digest)
    items = json.loads(coordinator.ask("GET", "/api/v1/apps", None, bearer(coordinator)).body)["items"]
    assert [one["digest"] for one in items] == [small.digest]
    answer = coordinator.ask("GET", f"/api/v1/apps/{small.digest}", None, bearer(coordinator))
    assert json.loads(answer.body) == pushed
    file = coordinator.ask("GET", f"/api/v1/apps/{small.digest}/file", None, bearer(coordinator))
    assert file.body == small.path.read_bytes()


def test_what_is_wrong_with_a_push_is_said_and_nothing_is_kept(coordinator, small):
    before = coordinator.ask("GET", "/api/v1/apps", None, bearer(coordinator)).body
    data = small.path.read_bytes()
    for answer, status, code in (
        (push(coordinator, data, NOWHERE), 422, "digest"),
        (push(coordinator, data[:-1]), 422, "app"),
        (push(coordinator, b""), 422, "app"),
        (push(coordinator, bytes(2**20 + 1)), 413, "too_large"),
    ):
        assert (answer.status, answer.error["code"]) == (status, code), answer
    assert coordinator.ask("GET", "/api/v1/apps", None, bearer(coordinator)).body == before


def test_another_package_of_a_version_is_a_conflict(coordinator, small, pushed, tmp_path):
    app = app_folder(tmp_path / "app")
    (app / "app.py").write_text((app / "app.py").read_text() + "\n")
    answer = push(coordinator, built(app, tmp_path).path.read_bytes())
    assert (answer.status, answer.error["code"]) == (409, "conflict")
    assert pushed["digest"] == small.digest


def test_nobody_sees_or_pushes_packages_without_a_token(coordinator, small):
    where = f"/api/v1/apps/{small.digest}"
    for method, path in (("GET", "/api/v1/apps"), ("GET", where), ("GET", f"{where}/file"), ("PUT", where)):
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = coordinator.ask(method, path, small.path.read_bytes() if method == "PUT" else None, headers)
            assert answer.status == 401, (method, path)
    assert coordinator.ask("PUT", f"{where}/signatures", b"[]", {}).status == 401


def test_a_package_that_nobody_pushed_is_not_found(coordinator, north):
    for path in (f"/api/v1/apps/{NOWHERE}", f"/api/v1/apps/{NOWHERE}/file", "/api/v1/apps/nonsense"):
        answer = coordinator.ask("GET", path, None, bearer(coordinator))
        assert (answer.status, answer.error["code"]) == (404, "not_found"), path
    for path in (f"/silo/v1/apps/{NOWHERE}", f"/silo/v1/apps/blobs/blake3:{'0' * 64}", "/silo/v1/apps/nonsense"):
        assert north.get(path).status == 404, path


def test_signatures_are_kept_if_they_hold(coordinator, small, pushed, north):
    where = f"/api/v1/apps/{small.digest}/signatures"
    good = signatures(small)
    answer = coordinator.ask("PUT", where, good, bearer(coordinator))
    assert json.loads(answer.body)["signatures"] == good.decode()
    wrong = json.dumps([{**json.loads(good)[0], "signature": "0" * 128}]).encode()
    for data, statuses in ((wrong, {401, 403, 422}), (b"{", {400, 422}), (b" " * 70_000, {413})):
        assert coordinator.ask("PUT", where, data, bearer(coordinator)).status in statuses
    offer = decode(AppOffer, north.get(f"/silo/v1/apps/{small.digest}").body)
    assert offer.signatures == good.decode()
    assert pushed["digest"] == offer.digest


def test_an_enrolled_silo_is_told_and_fetches_a_package_or_what_is_left_of_it(coordinator, small, pushed, north):
    offers = decode(AppOffers, north.get("/silo/v1/apps").body).items
    assert [(one.digest, one.name, one.version) for one in offers] == [(small.digest, "small", "1.0.0")]
    path = f"/silo/v1/apps/blobs/{pushed['blob']['digest']}"
    whole = small.path.read_bytes()
    assert north.get(path).body == whole
    signed = north.signed("GET", path)
    rest = coordinator.ask("GET", path, None, {**signed, "Range": "bytes=100-"})
    assert (rest.status, rest.body) == (206, whole[100:])
    beyond = coordinator.ask("GET", path, None, {**north.signed("GET", path), "Range": f"bytes={len(whole)}-"})
    assert beyond.status == 416


def test_who_is_no_silo_of_this_coordinator_is_told_nothing(coordinator, small, pushed, north):
    stranger = Silo(coordinator, "stranger", Ed25519PrivateKey.generate())
    impostor = Silo(coordinator, "north", Ed25519PrivateKey.generate())
    gone = coordinator.enrolled("gone")
    assert gone.get("/silo/v1/apps").status == 200
    with Client(coordinator.access) as client:
        client.revoke("gone")
    for path in ("/silo/v1/apps", f"/silo/v1/apps/{small.digest}", f"/silo/v1/apps/blobs/{pushed['blob']['digest']}"):
        assert coordinator.ask("GET", path).status == 401
        assert coordinator.ask("GET", path, None, bearer(coordinator)).status == 401
        for silo in (stranger, impostor, gone):
            assert silo.get(path).status == 401, (silo.name, path)
        assert north.get(path).status == 200
