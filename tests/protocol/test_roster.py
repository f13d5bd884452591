"""Laws of rosters, with real signatures: whatever is missing, repeated, changed or old is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.identity.roster_keys import make_roster, public_text, sign, verify
from septum.errors import AuthError, ConfigError, ConflictError, MessageError, SeptumError
from septum.protocol.roster import (
    MAX_SIGNATURES,
    Roster,
    Signature,
    SignedRoster,
    check_first,
    check_next,
    check_silos,
    diff,
    fingerprint,
    read_roster,
    signers,
    write_roster,
)

NAMES = ("ann", "ben", "cid", "dee", "eve")
SILOS = {"cleveland": "ed25519:" + "c" * 64, "hungary": "ed25519:" + "d" * 64}


@cache
def key_of(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))


def keys_of(names) -> dict[str, str]:
    return {name: public_text(key_of(name)) for name in names}


def unsigned(threshold: int = 2, names=NAMES[:3], **changed) -> SignedRoster:
    given = {"federation": "heart", "serial": 1, "threshold": threshold, "administrators": keys_of(names), **changed}
    return SignedRoster(Roster(silos=given.pop("silos", SILOS), **given))


def signed_by(signed: SignedRoster, names) -> SignedRoster:
    for name in names:
        signed = sign(signed, key_of(name))
    return signed


def after(pinned: Roster, **changed) -> SignedRoster:
    return SignedRoster(replace(pinned, serial=pinned.serial + 1, previous=pinned.digest, **changed))


FIRST = signed_by(unsigned(), ["ann", "ben"])

groups = st.integers(1, 5).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(NAMES[:n])))


@given(groups, st.lists(st.sampled_from((*NAMES, "stranger"))))
def test_a_roster_counts_exactly_when_enough_distinct_administrators_signed(group, names):
    threshold, administrators = group
    made = signed_by(unsigned(threshold, administrators), names)
    enough = len(set(names) & set(administrators)) >= threshold
    if enough:
        check_first(made, verify)
    else:
        with pytest.raises(AuthError):
            check_first(made, verify)


@given(groups, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_the_next_roster_needs_the_administrators_before_and_its_own(group, new, names):
    threshold, administrators = group
    pinned = unsigned(threshold, administrators).roster
    new = sorted(new) or ["ann"]
    following = signed_by(after(pinned, administrators=keys_of(new), threshold=len(new)), names)
    enough = len(names & set(administrators)) >= threshold and names >= set(new)
    if enough:
        check_next(pinned, following, verify)
    else:
        with pytest.raises(AuthError):
            check_next(pinned, following, verify)


def test_one_signature_repeated_in_the_document_counts_once():
    one = sign(unsigned(), key_of("ann")).signatures[0]
    repeated = SignedRoster(unsigned().roster, (one, one, one))
    assert read_roster(write_roster(repeated)) == repeated
    assert signers(repeated, repeated.roster, verify) == ("ann",)
    with pytest.raises(
        AuthError,
        match=r"roster 1 has 1 \(ann\) of the 2 signatures needed from the administrators of roster 1: ann, ben, cid",
    ):
        check_first(repeated, verify)


def test_a_signature_under_anothers_key_counts_for_nobody():
    ann, ben = (signed_by(unsigned(), [name]).signatures[0] for name in ("ann", "ben"))
    swapped = SignedRoster(unsigned().roster, (Signature(ann.key, ben.value), Signature(ben.key, ann.value)))
    assert signers(swapped, swapped.roster, verify) == ()


@given(st.data())
def test_any_changed_byte_of_the_document_invalidates_it(data):
    document = bytearray(write_roster(FIRST))
    at = data.draw(st.integers(0, len(document) - 1))
    document[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != document[at]))
    with pytest.raises(SeptumError) as refused:
        check_first(read_roster(bytes(document)), verify)
    assert refused.value.code in ("message", "version", "auth")


@pytest.mark.parametrize("change", [lambda d: b" " + d, lambda d: d[:-1], lambda d: d.replace(b":1,", b": 1,", 1)])
def test_a_reformatted_document_is_refused(change):
    with pytest.raises(MessageError):
        read_roster(change(write_roster(FIRST)))


@given(st.integers(2, 6), st.data())
def test_a_roster_that_is_not_the_very_next_is_refused_although_it_is_signed(length, data):
    chain = [FIRST]
    for _ in range(length):
        chain.append(signed_by(after(chain[-1].roster), ["ben", "ann"]))
    at = data.draw(st.integers(0, length))
    for serial, one in enumerate(chain):
        if serial == at + 1:
            check_next(chain[at].roster, one, verify)
        else:
            with pytest.raises(ConflictError, match="not newer" if serial <= at else "is missing in between"):
                check_next(chain[at].roster, one, verify)


def test_a_fork_with_the_right_serial_is_refused():
    other = signed_by(unsigned(silos={"evil": "ed25519:" + "e" * 64}), ["ann", "ben"]).roster
    with pytest.raises(ConflictError, match="roster 2 follows sha256:"):
        check_next(FIRST.roster, signed_by(after(other), ["ann", "ben"]), verify)


def test_a_roster_of_another_federation_is_refused():
    with pytest.raises(ConflictError, match="of the federation 'lung', pinned is roster 1 of 'heart'"):
        check_next(FIRST.roster, signed_by(after(FIRST.roster, federation="lung"), ["ann", "ben"]), verify)


def test_the_coordinator_cannot_add_a_silo_to_a_signed_roster():
    roster = replace(FIRST.roster, silos={**SILOS, "sybil": "ed25519:" + "5" * 64})
    with pytest.raises(AuthError, match="has 0 of the 2 signatures"):
        check_first(SignedRoster(roster, FIRST.signatures), verify)


def test_a_signature_for_one_roster_is_none_for_another_and_none_for_a_request():
    following = SignedRoster(after(FIRST.roster).roster, FIRST.signatures)
    assert signers(following, FIRST.roster, verify) == ()
    assert FIRST.roster.signed_bytes.startswith(b"septum-roster-v1\0")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"threshold": 0}, "0 administrators would have to sign"),
        ({"threshold": 4}, "4 administrators would have to sign, there are 3"),
        ({"serial": 0}, "the serial is 0"),
        ({"serial": 2}, "every roster but the first names the one before"),
        ({"previous": "sha256:" + "0" * 64}, "every roster but the first"),
        ({"serial": 2, "previous": "sha256:x"}, "is no digest of a roster"),
        ({"federation": "Heart\n"}, "cannot be the federation's name"),
        ({"administrators": {}}, "1 to 100 administrators, not 0"),
        ({"administrators": {"Ann!": "ed25519:" + "a" * 64}, "threshold": 1}, "'Ann!' cannot be an administrator's"),
        ({"silos": {}}, "1 to 1000 silos, not 0"),
        ({"silos": {f"s{n}": f"ed25519:{n:064x}" for n in range(1001)}}, "1 to 1000 silos, not 1001"),
        ({"silos": {"St Mary": "ed25519:" + "a" * 64}}, "'St Mary' is no name for a silo"),
        ({"silos": {"mary": "ed25519:" + "A" * 64}}, "is no public key"),
        ({"silos": {"mary": "ed25519:" + "a" * 64, "nell": "ed25519:" + "a" * 64}}, "silo 'mary' and silo 'nell'"),
        ({"silos": keys_of(["ann"])}, "administrator 'ann' and silo 'ann' have the same key"),
    ],
)
def test_a_roster_that_makes_no_sense_cannot_exist_and_the_error_names_what_is_wrong(changed, message):
    with pytest.raises(ConfigError) as refused:
        unsigned(**changed)
    assert message in refused.value.message


def test_too_many_signatures_are_refused_before_any_is_checked():
    one = FIRST.signatures[0]
    with pytest.raises(ConfigError, match="201 signatures; at most 200"):
        SignedRoster(FIRST.roster, (one,) * (MAX_SIGNATURES + 1))


def test_the_largest_roster_fits_into_its_limit():
    administrators = {f"{'a' * 60}{n:03}": f"ed25519:{n:064x}" for n in range(100)}
    silos = {f"{'s' * 59}{n:04}": f"ed25519:{n + 100:064x}" for n in range(1000)}
    largest = SignedRoster(
        Roster("f" * 64, 1, 100, administrators, silos),
        tuple(Signature(key, "0" * 128) for key in (*administrators.values(), *list(silos.values())[:100])),
    )
    assert read_roster(write_roster(largest)) == largest


def test_a_diff_says_in_words_what_changes():
    old = FIRST.roster
    new = after(
        old,
        threshold=1,
        administrators=keys_of(["ann", "ben", "dee"]),
        silos={"cleveland": "ed25519:" + "1" * 64, "swiss": "ed25519:" + "2" * 64},
    ).roster
    dee, cid = (keys_of([name])[name] for name in ("dee", "cid"))
    assert cid != dee
    assert diff(old, new) == (
        "have to sign: 2 of 3 -> 1 of 3",
        "administrator removed: cid",
        f"administrator added: dee, key {fingerprint(dee)}",
        "silo removed: hungary",
        f"silo added: swiss, key {fingerprint('ed25519:' + '2' * 64)}",
        f"silo has another key: cleveland, {fingerprint(SILOS['cleveland'])} -> {fingerprint('ed25519:' + '1' * 64)}",
    )
    assert diff(old, old) == ()


def test_the_first_roster_is_shown_in_full():
    lines = diff(None, FIRST.roster)
    assert lines[:2] == ("first roster of 'heart'", "have to sign: 2 of 3")
    assert [line.partition(",")[0] for line in lines[2:]] == [
        *(f"administrator added: {name}" for name in NAMES[:3]),
        "silo added: cleveland",
        "silo added: hungary",
    ]


@pytest.mark.parametrize(
    ("silos", "name", "key", "reason"),
    [
        (["cleveland", "hungary"], "cleveland", SILOS["cleveland"], None),
        (["cleveland", "sybil"], "cleveland", SILOS["cleveland"], "roster 1 does not have the silo sybil"),
        (["cleveland"], "cleveland", SILOS["hungary"], "roster 1 has another key for this silo, cleveland"),
        (["swiss"], "swiss", SILOS["hungary"], "roster 1 does not have this silo, swiss"),
    ],
)
def test_silos_outside_the_roster_are_a_reason_to_refuse(silos, name, key, reason):
    assert check_silos(FIRST.roster, silos, name, key) == reason


def test_one_function_makes_a_roster_that_counts():
    made = make_roster("demo", {"ann": key_of("ann"), "ben": key_of("ben")}, SILOS)
    check_first(made, verify)
    assert (made.roster.threshold, made.roster.silos) == (2, SILOS)
