"""Does the coordinator speak to a silo of the version before in that version, and say what to do about any other?

The coordinator here speaks septum-protocol 2 and 1, where in 1 a silo's poll says `runs` instead of `serving`.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.support import (
    NO_ROSTERS,
    apps_of,
    audit_of,
    engine,
    feed_of,
    fleet_of,
    plan_of,
    registered_of,
    telling_of,
)

from septum.adapters.identity.http_signatures import Ed25519Signer, content_digest
from septum.adapters.identity.keys import public_bytes
from septum.coordinator.driver import Pace
from septum.coordinator.enrolment import Enrolment
from septum.coordinator.silo_api import SiloApi, SiloApiParts
from septum.coordinator.silos import Silos
from septum.protocol.codec import encode
from septum.protocol.messages import Poll, Wait
from septum.protocol.plan import digest_of
from septum.protocol.versions import Dialect, Wire
from septum.testing.fakes import MemoryRegistry

POLL = "/silo/v1/poll"


def upgrade(body):
    return {"serving" if name == "runs" else name: value for name, value in body.items()}


def downgrade(body):
    return {**body, "greeting": "as in version 1"}


TWO = Wire("septum-protocol", 2, {1: Dialect(upgrade, downgrade)}, "upgrade {older}")


@asynccontextmanager
async def api_of(wire):
    async with engine(pace=Pace(hold_s=0.05)) as e:
        key, registry = Ed25519PrivateKey.generate(), MemoryRegistry()
        registry.invite("hungary", b"hash", expires_at=e.clock.unix() + 1)
        registry.enroll("hungary", b"hash", public_bytes(key), at=e.clock.unix())
        silos = Silos(registry, e.driver.performer, e.clock, e.driver.held.silos, feed_of(e))
        await silos.load()
        enrolment = Enrolment(silos, e.service, e.clock, name="septum", url="https://localhost:8443", ca_digest=None)
        api = SiloApi(
            SiloApiParts(
                e.service,
                silos,
                fleet_of(e, registry),
                enrolment,
                apps_of(e),
                NO_ROSTERS,
                registered_of(e),
                e.clock,
                None,
                1 << 20,
                *telling_of(e),
                audit_of(e),
                wire=wire,
            )
        )

        async def ask(method, path, body=b"", version=None):
            digest = content_digest(body) if method == "POST" else ""
            headers = dict(Ed25519Signer("hungary", key, now=e.clock.unix).headers(method, path, digest))
            if version is not None:
                headers["septum-protocol"] = version
            scope = {
                "type": "http",
                "method": method,
                "path": path,
                "raw_path": path.encode(),
                "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            }
            sent = []

            async def receive():
                return {"type": "http.request", "body": body, "more_body": False}

            async def send(message):
                sent.append(message)

            await api(scope, receive, send)
            data = b"".join(message.get("body", b"") for message in sent[1:])
            return sent[0]["status"], dict(sent[0]["headers"]), json.loads(data)

        yield e, ask
        api.close()


pytestmark = [pytest.mark.anyio, pytest.mark.served]


async def test_a_silo_of_the_version_before_is_answered_in_that_version():
    async with api_of(TWO) as (e, ask):
        run = await e.service.submit(plan_of(("hungary",)), "k")
        status, headers, told = await ask("POST", POLL, b'{"kind":"poll","runs":[],"septum-protocol":1}', "1")
        assert (status, told["septum-protocol"], told["kind"], told["run"]) == (200, 1, "invitation", run.id)
        assert told["greeting"] == "as in version 1"
        assert headers[b"septum-protocol"] == b"2"  # it may be upgraded when its silo likes
        served = json.dumps({"kind": "poll", "runs": [run.id], "septum-protocol": 1}).encode()
        assert (await ask("POST", POLL, served, "1"))[2]["kind"] == "wait"


async def test_silos_of_both_versions_are_told_the_same_each_in_its_own():
    async with api_of(TWO) as (e, ask):
        await e.service.submit(plan_of(("hungary",)), "k")
        old = (await ask("POST", POLL, b'{"kind":"poll","runs":[],"septum-protocol":1}', "1"))[2]
        new = (await ask("POST", POLL, encode(Poll(), TWO), "2"))[2]
        assert (old["septum-protocol"], new["septum-protocol"]) == (1, 2)
        assert old["plan"] == new["plan"]
        assert "greeting" not in new


@pytest.mark.parametrize(("version", "behind"), [(3, "the coordinator"), (0, "the silo")])
@pytest.mark.parametrize("in_header", [True, False], ids=["header", "body"])
async def test_another_version_is_refused_with_both_numbers_and_who_is_to_upgrade(version, behind, in_header):
    async with api_of(TWO) as (_, ask):
        body = encode(Poll(), Wire("septum-protocol", version))
        status, _, said = await ask("POST", POLL, body, str(version) if in_header else None)
        assert (status, said["error"]["code"]) == (400, "version")
        assert said["error"]["message"] == f"the silo speaks septum-protocol {version}, the coordinator 2 and 1 only"
        assert said["error"]["hint"] == f"upgrade {behind}"


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_a_blob_of_another_version_is_refused_before_it_is_read(method):
    async with api_of(TWO) as (_, ask):
        path = f"/silo/v1/runs/r-1/blobs/{digest_of(b'blob')}"
        status, headers, said = await ask(method, path, b"blob", "3")
        assert (status, said["error"]["code"]) == (400, "version")
        assert headers[b"septum-protocol"] == b"2"
        assert (await ask(method, path, b"blob", "1"))[2]["error"]["code"] == "not_found"  # no such run


async def test_a_version_that_a_proxy_took_away_is_read_from_the_message():
    async with api_of(TWO) as (_, ask):
        assert (await ask("POST", POLL, encode(Poll(), TWO)))[2]["kind"] == "wait"
        for strange in ("", "x", "1" * 5000, "-1"):
            status, _, _ = await ask("POST", POLL, encode(Poll(), TWO), strange)
            assert status in (200, 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/silo/v1/ca"),
        ("GET", "/silo/v1/nowhere"),
        ("POST", "/silo/v1/enroll"),
        ("POST", POLL),
        ("POST", "/silo/v1/runs/r-nope/exchange"),
        ("PUT", "/silo/v1/runs/r-nope/blobs/blake3:0"),
        ("GET", "/silo/v1/runs/r-nope/blobs/blake3:0"),
    ],
)
def test_every_answer_to_a_silo_carries_the_version(coordinator, method, path):
    answer = coordinator.ask(method, path, b"" if method != "GET" else None)
    assert answer.headers["septum-protocol"] == "1", answer


def test_a_good_answer_carries_the_version_too(silos):
    answer = silos[0].post(POLL, encode(Poll()))  # held as long as any poll
    assert answer.status == 200
    assert json.loads(answer.body) == {"kind": "wait", "septum-protocol": 1} == json.loads(encode(Wait()))
    assert answer.headers["septum-protocol"] == "1"
