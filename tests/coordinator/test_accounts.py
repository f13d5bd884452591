"""What silos say of themselves over TLS: kept, bounded, and shown to those who may see the silo."""

from __future__ import annotations

import threading
import time

import pytest
from tests.coordinator.running import Running
from tests.coordinator.support import engine, fleet_of
from tests.coordinator.visitors import operator, person

from septum.cli import fleet_views
from septum.client import Client
from septum.errors import ConnectionFailedError, NotFoundError
from septum.protocol.codec import encode
from septum.protocol.description import OfferedDataset, SiloDescription, Standing
from septum.protocol.messages import Poll, Wait
from septum.protocol.views import SiloStatus
from septum.testing.fakes import MemoryRegistry

pytestmark = pytest.mark.served

ACCOUNT = "/silo/v1/account"
SAID = SiloDescription(
    "0.2.0", "3.12.1", "Debian 12, x86_64", 8, 32_000, (), {"region": "north"}, (OfferedDataset("heart", ("age",)),)
)


def test_a_description_is_shown_and_outlives_the_coordinator(tmp_path):
    running = Running(tmp_path)
    try:
        silo = running.enrolled("aarau")
        with Client(running.access) as client:
            assert client.silo("aarau").description is None
            assert silo.post(ACCOUNT, encode(SAID)).status == 200
            detail = client.silo("aarau")
            assert detail.description == SAID
            assert abs(detail.described_at - time.time()) < 60
            (view,) = client.silos()
            assert (view.septum, view.labels, view.status) == ("0.2.0", {"region": "north"}, SiloStatus.ONLINE)
        running.stop()
        running = Running(tmp_path)
        with Client(running.access) as client:
            assert client.silo("aarau").description == SAID
    finally:
        running.stop()


def test_a_silo_that_never_describes_itself_works_as_before(coordinator):
    silo = coordinator.enrolled("older")
    assert silo.post("/silo/v1/poll", encode(Poll())).status == 200
    with Client(coordinator.access) as client:
        view = next(one for one in client.silos() if one.name == "older")
    assert (view.status, view.septum, view.labels) == (SiloStatus.ONLINE, "", {})


def test_a_paused_silo_is_shown_as_such_until_it_resumes(coordinator):
    silo = coordinator.enrolled("bern")
    assert silo.post(ACCOUNT, encode(Standing(paused=True, reason="new disks"))).status == 200
    with Client(coordinator.access) as client:
        detail = client.silo("bern")
        assert (detail.silo.status, detail.standing.reason) == (SiloStatus.PAUSED, "new disks")
        time.sleep(1.1)
        assert silo.post(ACCOUNT, encode(Standing())).status == 200
        assert client.silo("bern").silo.status is SiloStatus.ONLINE
        client.revoke("bern")
        assert client.silo("bern").silo.status is SiloStatus.REVOKED
    assert silo.post(ACCOUNT, encode(Standing())).status == 401


def test_a_budget_that_is_low_is_shown_and_outlives_the_coordinator(tmp_path):
    running = Running(tmp_path)
    try:
        silo = running.enrolled("chur")
        assert silo.post(ACCOUNT, encode(Standing(budget_low=("heart",)))).status == 200
        with Client(running.access) as client:
            assert client.silo("chur").silo.status is SiloStatus.ONLINE
        running.stop()
        running = Running(tmp_path)
        with Client(running.access) as client:
            detail = client.silo("chur")
            told = [
                entry for entry in operator(running).items("/activity") if entry["change"]["kind"] == "silo.budget_low"
            ]
        assert [(entry["change"]["silo"], entry["change"]["reason"]) for entry in told] == [("chur", "heart")]
        assert detail.standing == Standing(budget_low=("heart",))
        assert "budget        of privacy nearly spent: heart" in str(fleet_views.silo(detail).shown[0])
    finally:
        running.stop()


def test_a_poll_that_is_held_is_answered_when_the_silo_is_paused(coordinator):
    silo = coordinator.enrolled("davos")
    took_s = []

    def poll():
        began = time.monotonic()
        assert silo.post("/silo/v1/poll", encode(Poll())).status == 200
        took_s.append(time.monotonic() - began)

    held = threading.Thread(target=poll)
    held.start()
    time.sleep(0.5)
    assert silo.post(ACCOUNT, encode(Standing(paused=True))).status == 200
    held.join(10)
    assert took_s[0] < 2.0  # it is held for five seconds otherwise


@pytest.mark.parametrize("body", [encode(Wait()), encode(Poll()), b"{}", b"\x00", encode(SAID).replace(b"3.12.1", b"")])
def test_what_is_no_account_is_refused_and_nothing_is_kept(coordinator, body):
    name = f"chur-{abs(hash(body)) % 10**6}"
    assert coordinator.enrolled(name).post(ACCOUNT, body).status == 400
    with Client(coordinator.access) as client:
        assert client.silo(name).description is None


def test_an_account_without_a_signature_is_refused(coordinator):
    assert coordinator.ask("POST", ACCOUNT, encode(SAID)).status == 401


def test_a_silo_of_another_organisation_is_not_shown(coordinator):
    operator(coordinator).told("POST", "/organisations", {"name": "lakeside", "title": "Lakeside"})
    with Client(coordinator.access) as client:
        client.invite("luzern", "lakeside")
    theirs = person(coordinator, "vera", "viewer@lakeside", organisation="lakeside")
    assert theirs.ask("GET", "/silos/luzern").status == 200
    others = person(coordinator, "otto", "viewer@default")
    assert others.ask("GET", "/silos/luzern").status == 404
    assert others.ask("GET", "/silos/nowhere").status == 404
    assert coordinator.ask("GET", "/api/v1/silos/luzern").status == 401


@pytest.mark.anyio
async def test_what_is_known_is_not_written_again_and_changes_wait_their_turn():
    async with engine() as e:
        registry = MemoryRegistry()
        registry.invite("hungary", b"hash", expires_at=1.0)
        fleet = fleet_of(e, registry)
        await fleet.describe("hungary", SAID)
        for _ in range(3):
            await fleet.describe("hungary", SAID)
        await fleet.stand("hungary", Standing(paused=True))  # another matter
        with pytest.raises(ConnectionFailedError, match="too often"):
            await fleet.stand("hungary", Standing())
        assert fleet.of("hungary").standing.paused
        with pytest.raises(NotFoundError):
            await fleet.describe("nobody", SAID)
