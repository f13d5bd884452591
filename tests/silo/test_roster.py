"""A silo's roster files: what does not hold never replaces what is pinned, and nothing is pinned without a word."""

from __future__ import annotations

import stat
import subprocess
import sys
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity.roster_keys import make_roster, sign
from septum.errors import AuthError, ConfigError, ConflictError, NotFoundError, SeptumError
from septum.protocol.roster import SignedRoster, write_roster
from septum.silo.roster import Rosters

ANN, BEN, EVE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
SILOS = {"cleveland": "ed25519:" + "c" * 64, "hungary": "ed25519:" + "d" * 64}
FIRST = make_roster("heart", {"ann": ANN, "ben": BEN}, SILOS)


def after(before: SignedRoster, *keys: Ed25519PrivateKey, **changed) -> SignedRoster:
    roster = before.roster
    signed = SignedRoster(replace(roster, serial=roster.serial + 1, previous=roster.digest, **changed))
    for key in keys or (ANN, BEN):
        signed = sign(signed, key)
    return signed


SECOND = after(FIRST, silos={**SILOS, "swiss": "ed25519:" + "e" * 64})
THIRD = after(SECOND)


@pytest.fixture
def rosters(tmp_path):
    return Rosters(tmp_path)


@pytest.fixture
def pinned(rosters):
    rosters.propose(write_roster(FIRST))
    rosters.approve(FIRST.roster.digest)
    return rosters


def everything(tmp_path):
    return {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_the_first_roster_waits_for_the_steward_even_where_the_chain_is_trusted(rosters):
    assert rosters.pinned() is None
    found = rosters.propose(write_roster(FIRST), chain=True)
    assert (found.pinned, found.changes[0]) == (False, "first roster of 'heart'")
    assert rosters.pinned() is None
    assert rosters.pending() == FIRST


def test_what_the_steward_names_by_its_digest_is_pinned(rosters):
    rosters.propose(write_roster(FIRST))
    assert rosters.approve(FIRST.roster.digest).pinned
    assert (rosters.pinned(), rosters.pending()) == (FIRST.roster, None)


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:" + "0" * 64, FIRST.roster.digest[:-1]])
def test_another_digest_than_the_pending_one_pins_nothing(rosters, digest):
    rosters.propose(write_roster(FIRST))
    with pytest.raises(ConflictError, match="was approved"):
        rosters.approve(digest)
    assert rosters.pinned() is None


def test_with_nothing_pending_there_is_nothing_to_approve(pinned):
    with pytest.raises(NotFoundError, match="no roster is pending"):
        pinned.approve(FIRST.roster.digest)


def test_files_are_the_owners_alone_and_history_is_kept(pinned, tmp_path):
    pinned.propose(write_roster(SECOND), chain=True)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()} == {0o700}
    history = sorted((tmp_path / "roster" / "history").iterdir())
    assert [path.read_bytes() for path in history] == [write_roster(FIRST), write_roster(SECOND)]


def test_without_the_chain_the_next_one_waits_too(pinned):
    assert not pinned.propose(write_roster(SECOND)).pinned
    assert pinned.pinned() == FIRST.roster
    assert pinned.approve(SECOND.roster.digest).changes[0].startswith("silo added: swiss")
    assert pinned.pinned() == SECOND.roster


def test_a_signed_chain_is_pinned_at_once_where_the_policy_says_so(pinned):
    assert pinned.propose(write_roster(SECOND), chain=True).pinned
    assert pinned.pinned() == SECOND.roster


WRONG = {
    "too few signed": (after(FIRST, ANN), AuthError),
    "signed by a stranger": (after(FIRST, EVE, ANN), AuthError),
    "made by the coordinator": (make_roster("heart", {"ann": EVE}, SILOS), ConflictError),
    "a step is missing": (THIRD, ConflictError),
    "of another chain": (
        after(make_roster("heart", {"ann": ANN, "ben": BEN}, {"x": "ed25519:" + "1" * 64})),
        ConflictError,
    ),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("chain", [False, True])
def test_a_wrong_roster_changes_no_file(pinned, tmp_path, case, chain):
    signed, error = WRONG[case]
    before = everything(tmp_path)
    with pytest.raises(error):
        pinned.propose(write_roster(signed), chain=chain)
    with pytest.raises(error):
        pinned.approve(signed.roster.digest, write_roster(signed))
    assert everything(tmp_path) == before


def test_an_older_roster_that_is_sent_again_is_refused(pinned):
    pinned.propose(write_roster(SECOND), chain=True)
    with pytest.raises(ConflictError, match="roster 1 is not newer"):
        pinned.propose(write_roster(FIRST), chain=True)
    assert pinned.pinned() == SECOND.roster


def test_a_pending_file_that_was_changed_meanwhile_is_not_approved(pinned, tmp_path):
    pinned.propose(write_roster(SECOND))
    (tmp_path / "roster" / "pending.json").write_bytes(write_roster(after(FIRST, ANN)))
    with pytest.raises(SeptumError):
        pinned.approve(SECOND.roster.digest)
    assert pinned.pinned() == FIRST.roster


def test_a_damaged_pinned_roster_is_an_error_and_never_no_roster(pinned, tmp_path):
    path = tmp_path / "roster" / "current.json"
    path.write_bytes(path.read_bytes().replace(b"cleveland", b"clevelane"))
    with pytest.raises(ConfigError, match=r"current\.json was damaged or changed") as refused:
        pinned.pinned()
    assert "history" in refused.value.hint
    with pytest.raises(ConfigError):
        pinned.propose(write_roster(make_roster("evil", {"eve": EVE}, SILOS)))


def test_a_pin_that_was_cut_short_leaves_the_old_one_and_can_be_repeated(pinned, tmp_path):
    pinned.propose(write_roster(SECOND))
    (tmp_path / "roster" / "history" / "0000000002.json").write_bytes(write_roster(SECOND))  # and then the power went
    assert pinned.pinned() == FIRST.roster
    assert pinned.approve(SECOND.roster.digest).pinned
    assert pinned.pinned() == SECOND.roster


def test_a_silo_that_was_away_takes_one_roster_after_another(pinned):
    shelf = {0: THIRD, 1: FIRST, 2: SECOND, 3: THIRD}
    asked = []

    def ask(serial):
        asked.append(serial)
        return write_roster(shelf[serial]) if serial in shelf else None

    assert pinned.fetch(ask, chain=True).signed == THIRD
    assert (asked, pinned.pinned()) == ([2, 3, 4], THIRD.roster)
    assert pinned.fetch(ask, chain=True) is None


def test_a_fetch_without_the_chain_stops_at_the_first_that_waits(pinned):
    found = pinned.fetch(lambda serial: write_roster({2: SECOND, 3: THIRD}[serial]))
    assert (found.signed, found.pinned, pinned.pinned()) == (SECOND, False, FIRST.roster)


def test_a_new_silo_is_offered_the_newest_one(rosters):
    found = rosters.fetch(lambda serial: write_roster(THIRD) if serial == 0 else None, chain=True)
    assert (found.signed, found.pinned) == (THIRD, False)
    assert rosters.approve(THIRD.roster.digest).pinned


def test_a_coordinator_that_sends_the_same_one_for_ever_is_noticed(pinned):
    with pytest.raises(ConflictError, match="sent the pinned one again"):
        pinned.fetch(lambda _: write_roster(FIRST), chain=True)


@pytest.mark.processes
def test_rosters_load_no_numpy():
    program = "import sys; import septum.silo.roster; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "septum.silo.roster" in loaded
    assert not {"numpy", "httpx", "sqlalchemy"} & set(loaded)
