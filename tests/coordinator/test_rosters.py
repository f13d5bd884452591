"""The coordinator passes rosters on: what administrators signed reaches silos to the byte, and nothing else does."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.coordinator.running import Running

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.identity.roster_keys import make_roster, public_text, sign
from septum.adapters.store.open import open_store
from septum.client import Client
from septum.coordinator.backup import back_up
from septum.coordinator.restore import restore
from septum.coordinator.rosters import Rosters
from septum.errors import AuthError, ConflictError, ForbiddenError, MessageError, NotFoundError
from septum.protocol.roster import SignedRoster, fingerprint, write_roster
from septum.silo.roster import Rosters as SiloRosters

pytestmark = pytest.mark.served

ANN, BEN, EVE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
SILOS = {"cleveland": "ed25519:" + "c" * 64}
FIRST = make_roster("heart", {"ann": ANN, "ben": BEN}, SILOS)


def after(before: SignedRoster, *keys: Ed25519PrivateKey) -> SignedRoster:
    signed = SignedRoster(replace(before.roster, serial=before.roster.serial + 1, previous=before.roster.digest))
    for key in keys:
        signed = sign(signed, key)
    return signed


SECOND = after(FIRST, ANN, BEN)


@pytest.fixture
def rosters(tmp_path):
    return Rosters(tmp_path)


def test_every_roster_that_was_handed_in_can_be_had_by_its_serial(rosters):
    assert (rosters.get(), rosters.get(1)) == (None, None)
    rosters.put(write_roster(FIRST))
    rosters.put(write_roster(SECOND))
    assert rosters.get() == rosters.get(2) == write_roster(SECOND)
    assert rosters.get(1) == write_roster(FIRST)
    assert rosters.get(3) is None


def test_the_newest_may_come_again_with_more_signatures(rosters):
    alone = sign(SignedRoster(replace(FIRST.roster, threshold=1)), ANN)
    rosters.put(write_roster(alone))
    rosters.put(write_roster(sign(alone, BEN)))
    assert rosters.get() == write_roster(sign(alone, BEN))


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (write_roster(after(FIRST, ANN)), AuthError),
        (write_roster(after(FIRST, EVE, ANN)), AuthError),
        (write_roster(after(SECOND, ANN, BEN)), ConflictError),
        (write_roster(make_roster("heart", {"eve": EVE}, SILOS)), ConflictError),
        (write_roster(SECOND)[:-1], MessageError),
        (b"", MessageError),
        (b"\x80" * 100, MessageError),
    ],
)
def test_what_may_not_follow_is_refused_and_changes_nothing(rosters, document, error):
    rosters.put(write_roster(FIRST))
    with pytest.raises(error):
        rosters.put(document)
    assert (rosters.get(), rosters.get(2)) == (write_roster(FIRST), None)


def test_a_roster_survives_a_restart_and_lies_for_the_owner_alone(rosters, tmp_path):
    rosters.put(write_roster(FIRST))
    assert Rosters(tmp_path).get() == write_roster(FIRST)
    (path,) = (tmp_path / "roster").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_backup_has_the_rosters(tmp_path):
    with open_store(tmp_path / "data"):
        rosters = Rosters(tmp_path / "data")
        rosters.put(write_roster(FIRST))
        rosters.put(write_roster(SECOND))
        made = back_up(tmp_path / "data", tmp_path / "backup", 1.0)
    assert {"roster/0000000001.json", "roster/0000000002.json"} <= made.files.keys()
    restore(tmp_path / "backup", tmp_path / "restored")
    assert Rosters(tmp_path / "restored").get() == write_roster(SECOND)


@pytest.fixture
def own(tmp_path):
    running = Running(tmp_path / "coordinator")
    yield running
    running.stop()


def test_a_roster_goes_from_its_administrators_through_the_coordinator_into_a_silo(own, tmp_path):
    silo = own.enrolled("cleveland")
    channel = HttpsChannel(own.url, Ed25519Signer(silo.name, silo.key), ca_file=Path(own.access.ca_file))
    pinned = SiloRosters(tmp_path)
    with Client(own.access) as client:
        with pytest.raises(NotFoundError, match="no roster was handed to this coordinator"):
            client.roster()
        assert pinned.fetch(channel.roster) is None
        client.put_roster(write_roster(FIRST))
        assert client.roster() == write_roster(FIRST)
        found = pinned.fetch(channel.roster, chain=True)
        assert not found.pinned
        pinned.approve(found.digest)
        with pytest.raises(ForbiddenError, match="roster 2 has 1"):
            client.put_roster(write_roster(after(FIRST, ANN)))
        client.put_roster(write_roster(SECOND))
    assert pinned.fetch(channel.roster, chain=True).pinned
    assert pinned.pinned() == SECOND.roster
    channel.close()


def test_what_each_roster_changed_and_who_signed_it_can_be_read_a_page_at_a_time(own):
    silo = own.enrolled("cleveland")
    with Client(own.access) as client:
        assert client.rosters() == ()
        larger = replace(after(FIRST).roster, silos={**SILOS, "hungary": "ed25519:" + "d" * 64})
        second = sign(sign(SignedRoster(larger), ANN), BEN)
        for one in (FIRST, second):
            client.put_roster(write_roster(one))
        newest, first = client.rosters()
        assert [newest] == list(client.rosters(limit=1))
        assert [first] == list(client.rosters(before=2))
        (view,) = client.silos()
    assert (first.serial, newest.serial, newest.previous) == (1, 2, FIRST.roster.digest)
    assert (newest.digest, newest.federation, newest.threshold) == (second.roster.digest, "heart", 2)
    assert (first.signed_by, first.signed_before) == (("ann", "ben"), ())
    assert newest.signed_before == ("ann", "ben")
    assert first.silos == {name: fingerprint(key) for name, key in SILOS.items()}
    assert first.changes[0] == "first roster of 'heart'"
    assert newest.changes == (f"silo added: hungary, key {newest.silos['hungary']}",)
    assert view.fingerprint == fingerprint(public_text(silo.key))


def test_a_coordinator_that_swaps_the_file_is_not_believed(own, tmp_path):
    silo = own.enrolled("cleveland")
    channel = HttpsChannel(own.url, Ed25519Signer(silo.name, silo.key), ca_file=Path(own.access.ca_file))
    pinned = SiloRosters(tmp_path)
    pinned.approve(FIRST.roster.digest, write_roster(FIRST))
    folder = own.config.data_dir / "roster"
    folder.mkdir()
    for forged in (after(FIRST, EVE), after(FIRST, ANN), FIRST):
        (folder / "0000000002.json").write_bytes(write_roster(forged))
        with pytest.raises((AuthError, ConflictError)):
            pinned.fetch(channel.roster, chain=True)
        assert pinned.pinned() == FIRST.roster
    channel.close()


def test_who_asks_and_what_for_is_checked(own):
    silo = own.enrolled("cleveland")
    for path in ("/silo/v1/roster", "/silo/v1/roster/1"):
        assert own.ask("GET", path).status == 401
        assert (silo.get(path).status, silo.get(path).body) == (200, b"")
    for serial in ("0", "01", "-1", "x", "1" * 30, "%20", "1/2", ".."):
        assert silo.get(f"/silo/v1/roster/{serial}").status == 404, serial


def test_an_oversized_roster_is_refused_before_it_is_read(own):
    token = {"authorization": f"Bearer {own.access.token}"}
    answer = own.ask("PUT", "/api/v1/roster", b"x" * 300_000, token)
    assert (answer.status, answer.error["code"]) == (413, "too_large")
