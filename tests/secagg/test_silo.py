"""What a silo refuses: whatever is malformed, missing, repeated, changed, foreign or of another attempt."""

from contextlib import suppress
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.secagg.attempts import (
    PLACE,
    TERMS,
    bundle_for,
    federation,
    listed,
    masked,
    play,
    refused,
    shared,
    signed,
    signer_of,
)

from septum.errors import SecAggError
from septum.secagg.context import key_context, roster_digest
from septum.secagg.messages import signed_advert, signed_survivors
from septum.secagg.shamir import PRIME, SHARE_BYTES
from septum.secagg.silo import Advert, Adverts, Bundle, Party, Reveal, Signatures, Survivors, step

LISTS = ["".join(some) for size in (5, 6, 7) for some in combinations("abcdefg", size)]
OTHER_PLACES = [
    replace(PLACE, run="run-2"), replace(PLACE, stage="statistics"), replace(PLACE, round=4), replace(PLACE, attempt=1),
]  # fmt: skip


# --- the party -----------------------------------------------------------------------------------------------------


def test_a_party_is_one_of_the_plan_with_a_quorum_of_at_least_the_threshold():
    keys = federation(4).keys
    with pytest.raises(SecAggError, match="'z' is not one of the 4 silos"):
        Party("z", keys, 3, PLACE)
    with pytest.raises(SecAggError, match="a quorum of 2 of 4 silos; 3 is the least"):
        Party("a", keys, 2, PLACE)
    with pytest.raises(SecAggError, match="a quorum of 5 of 4 silos"):
        Party("a", keys, 5, PLACE)
    with pytest.raises(SecAggError, match="the same key"):
        Party("a", {**keys, "b": keys["a"]}, 3, PLACE)
    with pytest.raises(SecAggError, match="the key of 'b' has 31 bytes"):
        Party("a", {**keys, "b": keys["b"][:31]}, 3, PLACE)


@pytest.mark.parametrize("silos", [0, 1, 201])
def test_secure_aggregation_is_for_2_to_200_silos(silos):
    keys = {f"s{at:03}": at.to_bytes(32, "big") for at in range(silos)}
    with pytest.raises(SecAggError, match=f"2 to 200 silos, not {silos}"):
        Party("s000", keys, 1, PLACE)


# --- R1: the list of adverts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["encryption", "masking", "signature"])
@pytest.mark.parametrize("size", [0, 31, 33, 63, 65])
def test_an_advert_of_another_size_cannot_exist(part, size):
    advert = federation(2).adverts["a"]
    with pytest.raises(SecAggError, match=f"of an advert has {size} bytes"):
        replace(advert, **{part: bytes(size)})


@pytest.mark.parametrize("part", ["encryption", "masking"])
def test_a_key_has_one_way_to_be_written(part):
    """X25519 ignores the highest bit and reduces what is not below 2^255 - 19: copies would look like other keys."""
    advert = federation(2, real=True).adverts["a"]
    key = getattr(advert, part)
    for copy in (key[:31] + bytes([key[31] | 128]), (2**255 - 19 + 9).to_bytes(32, "little")):
        with pytest.raises(SecAggError, match=f"the {part} key of an advert is written in another way"):
            replace(advert, **{part: copy})
    assert replace(advert, **{part: (2**255 - 20).to_bytes(32, "little")})


def test_a_list_with_a_stranger_is_refused():
    fed = federation(4)
    refused(fed.states["a"], listed(fed, z=federation(4, seed=b"z").adverts["b"]), "do not belong there: 'z'")


def test_a_list_with_another_own_entry_or_none_is_refused():
    fed = federation(4)
    for attempt in (listed(fed, a=federation(4, seed=b"z").adverts["a"]), Adverts({n: fed.adverts[n] for n in "bcd"})):
        refused(fed.states["a"], attempt, "another entry for 'a' than this silo's own")


def test_keys_that_their_silo_did_not_sign_are_refused():
    """Swapped by the coordinator, who has no silo's key: unsigned, self-signed, or signed by another silo."""
    fed = federation(4, real=True)
    theirs, mine = fed.adverts["b"], federation(4, real=True).adverts["c"]
    bound = key_context(PLACE, roster_digest(fed.keys))
    message = signed_advert(bound, "b", mine.encryption, mine.masking)
    forged = [
        replace(theirs, masking=mine.masking),
        replace(theirs, encryption=mine.encryption),
        replace(mine, signature=bytes(64)),
        replace(mine, signature=signer_of("mallory").sign(message)),
        replace(mine, signature=signer_of("c").sign(message)),
        mine,
        replace(theirs, encryption=theirs.masking, masking=theirs.encryption),
    ]
    for advert in forged:
        refused(fed.states["a"], listed(fed, b=advert), "the advert of 'b' is not signed by it for this attempt")


@pytest.mark.parametrize("place", OTHER_PLACES)
def test_an_advert_of_another_attempt_is_refused(place):
    fed, other = federation(4, real=True), federation(4, real=True, place=place)
    refused(fed.states["a"], listed(fed, b=other.adverts["b"]), "the advert of 'b' is not signed")


def test_an_advert_under_another_roster_is_refused():
    fed, other = federation(4), federation(5)
    refused(fed.states["a"], listed(fed, b=other.adverts["b"]), "the advert of 'b' is not signed")


def test_a_key_that_is_listed_twice_is_refused():
    fed = federation(4, real=True)
    refused(fed.states["a"], listed(fed, b=fed.adverts["c"]), "the adverts of 'b' and 'c' have the same key")
    twice = replace(fed.adverts["b"], masking=fed.adverts["b"].encryption)
    refused(fed.states["a"], listed(fed, b=twice), "the adverts of 'b' and 'b' have the same key")
    refused(fed.states["a"], listed(fed, b=replace(fed.adverts["b"], masking=fed.adverts["a"].masking)), "same key")


def test_a_point_of_low_order_is_refused_though_its_silo_signed_it():
    """With it the shared secret would be zero for everybody, and the pairwise mask known."""
    fed = federation(4, real=True)
    bound = key_context(PLACE, roster_digest(fed.keys))
    theirs = fed.adverts["b"]
    for encryption, masking, what in (
        (theirs.encryption, bytes(32), "masking"),
        (b"\1" + bytes(31), theirs.masking, "encryption"),
    ):
        signature = signer_of("b").sign(signed_advert(bound, "b", encryption, masking))
        advert = Advert(encryption, masking, signature)
        refused(fed.states["a"], listed(fed, b=advert), f"the {what} key of 'b' cannot be used: .*low order")


def test_a_list_below_the_quorum_is_refused_where_the_quorum_is_above_the_threshold():
    fed = federation(4, quorum=4)
    refused(fed.states["a"], Adverts({n: fed.adverts[n] for n in "abc"}), "3 silos of 4, and 'a' sums over 4 at least")


def test_a_second_list_is_refused_and_the_first_still_holds():
    fed = federation(4)
    state, sealed = step(fed.states["a"], listed(fed))
    refused(state, Adverts({n: fed.adverts[n] for n in "abc"}), "a second list of adverts under the same keys")
    assert step(state, listed(fed)) == (state, sealed)


# --- R2: sealed shares ---------------------------------------------------------------------------------------------


def sealed_for_a(fed):
    sent = shared(fed, fed.names)
    return sent, bundle_for(sent, "a", fed.names)


def test_every_changed_truncated_or_redirected_ciphertext_is_refused():
    fed = federation(4, real=True)
    sent, bundle = sealed_for_a(fed)
    right = bundle.sealed["b"]
    wrong = [
        b"", right[:-1], right + b"\0", bytes(len(right)),
        *(right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :] for at in (0, 40, len(right) - 1)),
        bundle.sealed["c"],  # from another
        sent.sealed["b"]["c"],  # for another
        sent.sealed["a"]["b"],  # one's own, sent back: there is one key a direction
    ]  # fmt: skip
    for ciphertext in wrong:
        changed = Bundle({**bundle.sealed, "b": ciphertext}, TERMS)
        refused(sent.states["a"], changed, "what 'b' sealed for 'a' does not hold")
    assert step(sent.states["a"], bundle)


def test_shares_sealed_under_another_list_of_adverts_do_not_open():
    """A coordinator that shows silos different lists U1 is found out before anything is uploaded."""
    fed = federation(4, real=True)
    everybody, fewer = shared(fed, fed.names), shared(fed, "abc")
    mixed = Bundle(
        {"b": fewer.sealed["b"]["a"], "c": everybody.sealed["c"]["a"], "d": everybody.sealed["d"]["a"]}, TERMS
    )
    refused(everybody.states["a"], mixed, "what 'b' sealed for 'a' does not hold")


def test_shares_of_an_earlier_attempt_do_not_open():
    fed, earlier = federation(4, real=True), federation(4, real=True, place=OTHER_PLACES[3])
    sent, bundle = sealed_for_a(fed)
    replayed = shared(earlier, earlier.names).sealed["b"]["a"]
    refused(sent.states["a"], Bundle({**bundle.sealed, "b": replayed}, TERMS), "what 'b' sealed for 'a' does not hold")


def test_what_a_peer_sealed_has_to_be_two_elements_of_the_field():
    fed = federation(4)
    for shares in (
        b"", bytes(SHARE_BYTES), bytes(2 * SHARE_BYTES - 1), bytes(2 * SHARE_BYTES + 1),
        PRIME.to_bytes(SHARE_BYTES, "big") + bytes(SHARE_BYTES), bytes(SHARE_BYTES) + b"\xff" * SHARE_BYTES,
    ):  # fmt: skip
        liar = replace(fed.states["b"], shares={**fed.states["b"].shares, "a": shares})
        sent = shared(replace(fed, states={**fed.states, "b": liar}), fed.names)
        refused(sent.states["a"], bundle_for(sent, "a", fed.names), "what 'b' sealed for 'a' does not hold")


def test_sealed_shares_come_from_other_silos_of_the_list_only():
    fed = federation(5)
    sent = shared(fed, "abcd")
    bundle = bundle_for(sent, "a", "abcd")
    for stranger in ("a", "e", "z"):
        refused(sent.states["a"], Bundle({**bundle.sealed, stranger: b""}, TERMS), f"belong there: '{stranger}'")


def test_sealed_shares_of_too_few_are_refused():
    fed = federation(4, quorum=4)
    sent = shared(fed, fed.names)
    refused(sent.states["a"], bundle_for(sent, "a", "abc"), "3 silos of 4, and 'a' sums over 4 at least")


def test_other_shares_or_terms_are_refused_once_there_are_masks():
    """Two masked vectors under one attempt's keys would show the difference of two updates."""
    fed = federation(4)
    sent, bundle = sealed_for_a(fed)
    state, masks = step(sent.states["a"], bundle)
    for terms in (replace(TERMS, model="x"), replace(TERMS, plan="x"), replace(TERMS, layout="x")):
        refused(state, Bundle(bundle.sealed, terms), "other sealed shares or terms")
    refused(state, bundle_for(sent, "a", "abc"), "other sealed shares or terms")
    assert step(state, bundle) == (state, masks)


# --- R3: survivors -------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting():
    """Five of five silos have masked, the fifth was never bundled for: U2 is a to d."""
    fed = federation(5)
    return masked(shared(fed, fed.names), "abcd")


def test_survivors_have_to_be_silos_whose_shares_came_each_once_with_oneself_and_enough(waiting):
    state = waiting.states["a"]
    refused(state, Survivors(("a", "b", "c", "d", "e")), "do not belong there: 'e'")
    refused(state, Survivors(("a", "b", "c", "z")), "do not belong there: 'z'")
    refused(state, Survivors(("a", "b", "c", "c", "d")), "has a silo twice")
    refused(state, Survivors(("a", "b", "c")), "3 silos of 5, and 'a' sums over 4 at least")
    refused(state, Survivors(()), "0 silos of 5")
    assert step(state, Survivors(("a", "b", "c", "d")))


def test_survivors_without_oneself_are_refused():
    fed = federation(5)
    state = masked(shared(fed, fed.names), fed.names).states["a"]
    refused(state, Survivors(("b", "c", "d", "e")), "without 'a'")


def test_a_silo_signs_one_list_of_survivors():
    fed = federation(4)
    state, signature = step(masked(shared(fed, fed.names), fed.names).states["a"], Survivors(("a", "b", "c", "d")))
    refused(state, Survivors(("a", "b", "c")), "a second list of survivors")
    assert step(state, Survivors(("d", "c", "b", "a"))) == (state, signature)  # the same set


# --- R4: signatures ------------------------------------------------------------------------------------------------


def test_signatures_have_to_be_over_the_same_survivors_by_survivors():
    fed = federation(4, real=True)
    done = masked(shared(fed, fed.names), fed.names)
    states, signatures = signed(done, "abcd", "abcd")
    _, fewer = signed(done, "abc", "abc")
    message = signed_survivors(done.states["a"].masked.context, ("a", "b", "c", "d"))
    assert signer_of("b").sign(message) == signatures["b"]
    for forged in (
        fewer["b"], bytes(64), b"", signatures["b"][:63], signatures["b"] + b"\0", signatures["c"],
        signer_of("mallory").sign(message),
    ):  # fmt: skip
        three = {**{name: signatures[name] for name in "ac"}, "b": forged}
        refused(states["a"], Signatures(three), "'b' did not sign the survivors and terms")
        two = {**three, "d": bytes(64)}
        refused(states["a"], Signatures(two), "'b', 'd' did not sign the survivors and terms")
    refused(states["a"], Signatures({**signatures, "z": bytes(64)}), "do not belong there: 'z'")
    refused(states["a"], Signatures({n: signatures[n] for n in "ab"}), "2 silos signed .* 3 have to")


@pytest.mark.parametrize("forged", [b"", bytes(64), "another's"], ids=["empty", "zeros", "another's"])
def test_a_signature_that_is_none_hinders_nobody_where_the_others_are_enough(forged):
    fed = federation(4, real=True)
    states, signatures = signed(masked(shared(fed, fed.names), fed.names), "abcd", "abcd")
    _, reveal = step(states["a"], Signatures({**signatures, "b": signatures["c"] if forged == "another's" else forged}))
    assert reveal == step(states["a"], Signatures(signatures))[1]


def test_one_who_is_no_survivor_does_not_count_as_a_signer():
    fed = federation(4)
    done = masked(shared(fed, fed.names), fed.names)
    states, signatures = signed(done, "abc", "abc")
    refused(states["a"], Signatures({**signatures, "d": bytes(64)}), "do not belong there: 'd'")


@pytest.mark.parametrize("place", OTHER_PLACES)
def test_signatures_of_another_attempt_do_not_count(place):
    fed, other = federation(4, real=True), federation(4, real=True, place=place)
    states, signatures = signed(masked(shared(fed, fed.names), fed.names), "abcd", "abcd")
    _, theirs = signed(masked(shared(other, other.names), other.names), "abcd", "abcd")
    three = {name: signatures[name] for name in "ac"}
    refused(states["a"], Signatures({**three, "b": theirs["b"]}), "'b' did not sign")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_coordinator_that_shows_two_lists_gets_shares_for_one_at_most(data):
    """Seven silos, of which two collude and sign everything; the others sign what they were shown."""
    fed = federation(7)
    done = masked(shared(fed, fed.names), fed.names)
    first, second = data.draw(st.lists(st.sampled_from(LISTS), min_size=2, max_size=2, unique=True))
    shown = {name: data.draw(st.sampled_from((first, second)), name) for name in "cdefg"}
    released = set()
    for survivors in (first, second):
        honest = [name for name in survivors if shown.get(name) == survivors]
        states, signatures = signed(done, survivors, [*honest, *(set(survivors) & set("ab"))])
        for name in honest:
            with suppress(SecAggError):
                step(states[name], Signatures(signatures))
                released.add(survivors)
    assert len(released) <= 1


def test_a_reveal_has_a_seed_share_or_a_key_share_of_each_never_both():
    attempt = play(federation(7), {"c": 1, "f": 1})
    for reveal in attempt.reveals.values():
        assert sorted(reveal.seeds) == ["a", "b", "d", "e", "g"]
        assert sorted(reveal.keys) == ["c", "f"]
    with pytest.raises(SecAggError, match="a seed share and a key share of the same silo: c"):
        Reveal({"c": bytes(33)}, {"c": bytes(33)})


def test_a_silo_reveals_once_and_again_the_same():
    fed = federation(4)
    states, signatures = signed(masked(shared(fed, fed.names), fed.names), "abcd", "abcd")
    state, reveal = step(states["a"], Signatures(signatures))
    assert step(state, Signatures(signatures)) == (state, reveal)


def test_a_silo_reveals_the_same_to_other_signatures_of_the_same_list_if_they_hold_too():
    """A coordinator that was killed meanwhile may have others the second time; what is revealed is the same."""
    fed = federation(4)
    states, signatures = signed(masked(shared(fed, fed.names), fed.names), "abcd", "abcd")
    state, reveal = step(states["a"], Signatures(signatures))
    assert step(state, Signatures({name: signatures[name] for name in "abc"})) == (state, reveal)
    refused(state, Signatures({name: signatures[name] for name in "ab"}), "2 silos signed")
    assert step(state, Signatures({**signatures, "b": signatures["c"]})) == (state, reveal)  # three others hold
    refused(state, Signatures({**signatures, "b": signatures["c"], "c": signatures["b"]}), "'b', 'c' did not sign")
