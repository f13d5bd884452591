"""Administrators make and sign a roster by commands alone; a steward pins it by its digest."""

import json
from pathlib import Path

import pytest
from tests.coordinator.running import Running

from septum.adapters.identity.keys import make_private_key
from septum.client import Client

pytestmark = pytest.mark.served

SOUTH = "ed25519:" + "a" * 64


@pytest.fixture
def keys(septum, home):
    """Two administrators' keys, and a silo's directory with its own."""
    made = {name: septum("roster", "key", f"{name}.key", "--json").envelope["data"] for name in ("ann", "ben")}
    Path("north").mkdir(mode=0o700)
    make_private_key(Path("north/silo.key"))
    Path("north/silo.toml").write_text('[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n')
    made["north"] = septum("silo", "key", "--dir", "north", "--json").envelope["data"]
    return made


@pytest.fixture
def new(septum, keys):
    def call(*more, out="r1.json", threshold=2):
        admins = ["--admin", "ann=ann.key", "--admin", f"ben={keys['ben']['key']}"]
        silos = ["--silo", f"north={keys['north']['key']}"]
        what = ["--federation", "heart", "--threshold", threshold, *admins, *silos, *more]
        return septum("roster", "new", "--out", out, *what, "--json")

    return call


@pytest.fixture
def first(septum, new):
    assert new().code == 0
    for name in ("ann", "ben"):
        assert septum("roster", "sign", "r1.json", "--key", f"{name}.key").code == 0
    return septum("roster", "show", "r1.json", "--json").envelope["data"]


def test_a_key_is_made_once_and_then_shown(septum, keys):
    again = septum("roster", "key", "ann.key", "--json").envelope["data"]
    assert (again["made"], again["key"]) == (False, keys["ann"]["key"])
    shown = septum("roster", "key", "ann.key").out
    assert keys["ann"]["key"] in shown
    assert f"fingerprint  {keys['ann']['fingerprint']}" in shown
    assert len(keys["ann"]["fingerprint"].split()) == 8


def test_a_roster_counts_once_enough_have_signed(septum, new, keys):
    assert new().envelope["data"]["counts"] is False
    signed = septum("roster", "sign", "r1.json", "--key", "ann.key", "--json").envelope["data"]
    assert (signed["signed_by"], signed["counts"]) == (["ann"], False)
    done = septum("roster", "show", "r1.json", "--json")
    assert (done.code, done.envelope["error"]["code"]) == (5, "auth")
    assert septum("roster", "sign", "r1.json", "--key", "ben.key", "--json").envelope["data"]["counts"] is True
    done = septum("roster", "show", "r1.json")
    assert done.code == 0
    assert "signed by    ann, ben: 2 of 2 needed from roster 1" in done.out
    assert keys["north"]["fingerprint"] in done.out


def test_a_steward_pins_a_roster_by_its_digest_and_by_nothing_else(septum, first):
    offered = septum("silo", "roster", "diff", "r1.json", "--dir", "north").out
    assert "first roster of 'heart'" in offered
    assert first["digest"] in offered
    wrong = septum("silo", "roster", "approve", "r1.json", "--dir", "north", "--digest", "sha256:" + "0" * 64, "--json")
    assert (wrong.code, wrong.envelope["error"]["code"]) == (1, "conflict")
    assert septum("silo", "roster", "show", "--dir", "north", "--json").envelope["data"]["pinned"] is None
    done = septum("silo", "roster", "approve", "r1.json", "--dir", "north", "--digest", first["digest"], "--json")
    assert done.envelope["data"]["pinned"] is True
    shown = septum("silo", "roster", "show", "--dir", "north", "--json").envelope["data"]["pinned"]
    assert {key: shown[key] for key in ("digest", "serial", "silos")} == {
        key: first[key] for key in ("digest", "serial", "silos")
    }


def test_the_next_roster_is_made_from_the_one_before(septum, first):
    septum("silo", "roster", "approve", "r1.json", "--dir", "north", "--digest", first["digest"])
    added = septum("roster", "add-silo", "r1.json", "--out", "r2.json", "--silo", f"south={SOUTH}", "--json")
    assert added.envelope["data"]["changes"] == [f"silo added: south, key {fingerprint_of(septum, 'r2.json', 'south')}"]
    early = septum("silo", "roster", "diff", "r2.json", "--dir", "north", "--json")
    assert "has 0 of the 2 signatures" in early.envelope["error"]["message"]
    for name in ("ann", "ben"):
        septum("roster", "sign", "r2.json", "--key", f"{name}.key")
    found = septum("silo", "roster", "diff", "r2.json", "--dir", "north", "--json").envelope["data"]
    assert (found["serial"], found["pinned"], len(found["changes"])) == (2, False, 1)
    gone = septum("roster", "remove-silo", "r2.json", "--out", "r3.json", "--silo", "south", "--json").envelope["data"]
    assert (gone["serial"], gone["changes"]) == (3, ["silo removed: south"])


def fingerprint_of(septum, file, silo):
    line = next(line for line in septum("roster", "show", file).out.splitlines() if line.split()[1:2] == [silo])
    return " ".join(line.split()[2:])


def test_those_who_hand_over_sign_beside_those_who_take_over(septum, first):
    septum("roster", "key", "cid.key")
    changed = septum(
        "roster", "change-admins", "r1.json", "--out", "r2.json", "--remove", "ann", "--admin", "cid=cid.key", "--json"
    ).envelope["data"]
    assert changed["threshold"] == 2
    refused = septum("roster", "sign", "r2.json", "--key", "ann.key", "--json")
    assert "--previous" in refused.envelope["error"]["hint"]
    for name in ("ann", "ben", "cid"):
        assert septum("roster", "sign", "r2.json", "--key", f"{name}.key", "--previous", "r1.json").code == 0
    done = septum("roster", "show", "r2.json", "--previous", "r1.json", "--json")
    assert (done.code, done.envelope["data"]["counts"], done.envelope["data"]["signed_by"]) == (0, True, ["ben", "cid"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add-silo", "r1.json", "-o", "r2.json", "--silo", f"north={SOUTH}"], "'north' is in the roster already"),
        (["add-silo", "r1.json", "-o", "r2.json", "--silo", f"x={SOUTH}", "--new-key"], "'x' is not in the roster"),
        (["add-silo", "r1.json", "-o", "r2.json", "--silo", "south=ed25519:zz"], "is no public key"),
        (["add-silo", "r1.json", "-o", "r2.json", "--silo", "south=no-such-file"], "no file that can be read"),
        (["remove-silo", "r1.json", "-o", "r2.json", "--silo", "nord"], "did you mean 'north'?"),
        (["remove-silo", "r1.json", "-o", "r2.json", "--silo", "north"], "1 to 1000 silos, not 0"),
        (["change-admins", "r1.json", "-o", "r2.json", "--remove", "ann"], "2 administrators would have to sign"),
        (["sign", "r1.json", "--key", "north/silo.key"], "is no administrator's of r1.json"),
        (["sign", "nothing.json", "--key", "ann.key"], "nothing.json cannot be read"),
        (["show", "ann.key"], "ann.key: this is not JSON"),
        (["add-silo", "r1.json", "-o", "r1.json", "--silo", f"south={SOUTH}"], "exists already and is not replaced"),
    ],
)
def test_what_is_wrong_is_named_and_no_file_is_written(septum, first, arguments, message):
    before = Path("r1.json").read_bytes()
    done = septum("roster", *arguments, "--json")
    assert message in done.envelope["error"]["message"]
    assert done.code != 0
    assert Path("r1.json").read_bytes() == before
    assert not Path("r2.json").exists()


def test_a_reformatted_roster_is_refused_by_name(septum, first):
    Path("r1.json").write_text(json.dumps(json.loads(Path("r1.json").read_text()), indent=1))
    done = septum("roster", "show", "r1.json", "--json")
    assert done.envelope["error"]["message"].startswith("r1.json: this roster was reformatted")


def test_a_directory_that_is_none_is_said(septum, home):
    for verb in (["show"], ["approve", "--digest", "x"]):
        assert "no silo's directory" in septum("silo", "roster", *verb, "--dir", "nowhere").err


def test_a_roster_is_pushed_fetched_and_approved(septum, new, home, monkeypatch):
    running = Running(home / "coordinator")
    try:
        monkeypatch.setenv("SEPTUM_OPERATOR_FILE", str(running.config.data_dir / "operator.json"))
        with Client(running.access) as client:
            token = client.invite("south").token
        assert septum("silo", "enroll", "--url", running.url, "--token", token, "--dir", "south").code == 0
        assert septum("silo", "roster", "fetch", "--dir", "south", "--json").envelope["data"]["digest"] is None
        south = septum("silo", "key", "--dir", "south", "--json").envelope["data"]["key"]
        assert "no roster was handed to this coordinator" in septum("roster", "list").out
        assert new("--silo", f"south={south}", threshold=1).code == 0
        assert septum("roster", "push", "r1.json").code == 5
        septum("roster", "sign", "r1.json", "--key", "ann.key")
        digest = septum("roster", "push", "r1.json", "--json").envelope["data"]["digest"]
        (listed,) = septum("roster", "list", "--json").envelope["data"]["rosters"]
        assert (listed["digest"], listed["signed_by"], sorted(listed["silos"])) == (digest, ["ann"], ["north", "south"])
        assert f"fingerprint   {listed['silos']['south']}" in septum("silo", "show", "south").out
        fetched = septum("silo", "roster", "fetch", "--dir", "south", "--json").envelope["data"]
        assert (fetched["digest"], fetched["pinned"]) == (digest, False)
        assert (
            septum("silo", "roster", "show", "--dir", "south", "--json").envelope["data"]["pending"]["digest"] == digest
        )
        assert septum("silo", "roster", "approve", "--dir", "south", "--digest", digest).code == 0
        assert septum("silo", "roster", "fetch", "--dir", "south", "--json").envelope["data"]["digest"] is None
    finally:
        running.stop()
