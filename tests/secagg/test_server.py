"""What the coordinator notices, of whom, and what it cannot notice."""

from dataclasses import replace

import pytest
from tests.secagg.attempts import (
    PLACE,
    TERMS,
    federation,
    masked,
    masked_vector,
    play,
    same,
    shared,
    signed,
    signer_of,
    summed,
    transcript_of,
)

from septum.errors import SecAggError
from septum.secagg.context import Terms, key_context, roster_digest
from septum.secagg.messages import signed_advert
from septum.secagg.server import (
    Transcript,
    check_advert,
    check_reveal,
    check_signature,
    inconsistent,
    unmasking,
)
from septum.secagg.shamir import PRIME, SHARE_BYTES
from septum.secagg.silo import Advert, Reveal


def changed(share: bytes) -> bytes:
    return ((int.from_bytes(share, "big") + 1) % PRIME).to_bytes(SHARE_BYTES, "big")


def lying(reveal: Reveal, *, seeds: str = "", keys: str = "") -> Reveal:
    """The same with the shares of these silos changed."""
    return Reveal(
        {n: changed(s) if n in seeds else s for n, s in reveal.seeds.items()},
        {n: changed(s) if n in keys else s for n, s in reveal.keys.items()},
    )


# --- early checks --------------------------------------------------------------------------------------------------


def test_an_advert_is_checked_as_the_silos_will_check_it():
    fed = federation(3, real=True)
    roster = roster_digest(fed.keys)
    check_advert("a", fed.adverts["a"], fed.keys["a"], PLACE, roster, fed.primitives)
    forged = signer_of("b").sign(
        signed_advert(key_context(PLACE, roster), "a", fed.adverts["a"].encryption, fed.adverts["a"].masking)
    )
    for wrong in (fed.adverts["b"], replace(fed.adverts["a"], signature=forged)):
        with pytest.raises(SecAggError, match="the advert of 'a' is not signed"):
            check_advert("a", wrong, fed.keys["a"], PLACE, roster, fed.primitives)
    with pytest.raises(SecAggError, match="the advert of 'a' is not signed"):
        check_advert("a", fed.adverts["a"], fed.keys["a"], replace(PLACE, attempt=1), roster, fed.primitives)


def test_a_signature_counts_if_it_is_a_survivors_over_these_survivors_and_terms():
    fed = federation(4, real=True)
    sent = shared(fed, fed.names)
    done = masked(sent, fed.names)
    _, signatures = signed(done, "abc", "abc")
    transcript = transcript_of(fed, sent, "abcd", "abc")
    for name, signature in signatures.items():
        check_signature(transcript, name, fed.keys[name], signature, fed.primitives)
    with pytest.raises(SecAggError, match="'d' signed, but is no survivor"):
        check_signature(transcript, "d", fed.keys["d"], signatures["a"], fed.primitives)
    _, over_all = signed(done, "abcd", "a")
    _, other_terms = signed(masked(sent, fed.names, replace(TERMS, model="x")), "abc", "a")
    for wrong in (over_all["a"], other_terms["a"], signatures["b"], b""):
        with pytest.raises(SecAggError, match="'a' did not sign these survivors"):
            check_signature(transcript, "a", fed.keys["a"], wrong, fed.primitives)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"survivors": ("a", "b", "c", "e")}, "U3"),
        ({"survivors": ("a", "b", "b", "c")}, "U3"),
        ({"bundled": ("a", "b", "c", "d", "z")}, "U2"),
        ({"silos": ("a", "b", "c")}, "U1"),
        ({"survivors": ("a", "b")}, "2 survivors, 3 are needed"),
    ],
)
def test_lists_that_are_not_within_each_other_make_no_transcript(changes, what):
    fed = federation(4)
    facts = {"adverts": fed.adverts, "bundled": tuple("abcd"), "survivors": tuple("abc"), "silos": fed.names, **changes}
    with pytest.raises(SecAggError, match=what):
        Transcript(PLACE, TERMS, "sha256:00", **facts)


def test_a_reveal_has_exactly_the_shares_that_it_has_to_have():
    attempt = play(federation(4), {"d": 1})
    right = attempt.reveals["a"]
    check_reveal(attempt.transcript, "a", right)
    share = right.seeds["a"]
    for seeds, keys, match in (
        ({"a": share, "b": share}, right.keys, "too many or too few seeds: c"),
        ({**right.seeds, "z": share}, right.keys, "too many or too few seeds: z"),
        (right.seeds, {}, "too many or too few keys: d"),
        ({**right.seeds, "d": share}, {}, "too many or too few seeds: d"),
    ):
        with pytest.raises(SecAggError, match=f"'a' revealed shares of {match}"):
            check_reveal(attempt.transcript, "a", Reveal(seeds, keys))
    with pytest.raises(SecAggError, match="'d' revealed shares, but is no survivor"):
        check_reveal(attempt.transcript, "d", right)


@pytest.mark.parametrize("share", [b"", bytes(32), bytes(34), b"\xff" * 33, PRIME.to_bytes(33, "big")])
def test_a_share_that_is_no_element_of_the_field_makes_no_reveal(share):
    with pytest.raises(SecAggError, match="the share of the seed of 'a'"):
        Reveal({"a": share}, {})


# --- unmasking -----------------------------------------------------------------------------------------------------


def test_unmasking_takes_reveals_from_survivors_only():
    attempt = play(federation(4), {"d": 1})
    with pytest.raises(SecAggError, match="'d' revealed shares, but is no survivor"):
        unmasking(attempt.transcript, {**attempt.reveals, "d": attempt.reveals["a"]}, attempt.fed.primitives)


def test_a_wrong_share_of_a_key_is_noticed_by_the_advertised_key_even_without_spare_shares():
    attempt = play(federation(4, real=True), {"d": 1})
    assert len(attempt.reveals) == attempt.fed.threshold
    reveals = {**attempt.reveals, "b": lying(attempt.reveals["b"], keys="d")}
    with pytest.raises(SecAggError, match="'d'"):
        unmasking(attempt.transcript, reveals, attempt.fed.primitives)


def test_a_key_that_its_silo_shared_wrongly_is_noticed_too():
    fed = federation(4)
    liar = replace(fed.states["d"], shares=federation(4, seed=b"z").states["d"].shares)
    attempt = play(replace(fed, states={**fed.states, "d": liar}), {"d": 1})
    with pytest.raises(SecAggError, match="shares of the key of 'd' make another key than it advertised"):
        unmasking(attempt.transcript, attempt.reveals, fed.primitives)


def test_without_spare_shares_a_wrong_share_of_a_seed_makes_noise_which_nobody_notices():
    """Documented: the sum is then as good as random, and nothing more is known to anybody."""
    attempt = play(federation(4), {"d": 1})
    reveals = {**attempt.reveals, "b": lying(attempt.reveals["b"], seeds="a")}
    masks = unmasking(attempt.transcript, reveals, attempt.fed.primitives)
    total = summed(attempt.uploads[name] for name in attempt.transcript.survivors)
    assert not same(masked_vector(masks, attempt.fed.primitives, total), attempt.plain)
    assert inconsistent(attempt.transcript, reveals, attempt.fed.primitives) == ()


def test_one_spare_share_shows_a_wrong_one_but_not_whose():
    attempt = play(federation(4))
    reveals = {**attempt.reveals, "b": lying(attempt.reveals["b"], seeds="a")}
    with pytest.raises(SecAggError, match="do not fit together: of the secret of 'a' it is unknown which"):
        unmasking(attempt.transcript, reveals, attempt.fed.primitives)
    assert inconsistent(attempt.transcript, reveals, attempt.fed.primitives) == ()


@pytest.mark.parametrize("lie", [{"seeds": "a"}, {"seeds": "abcdef"}, {"keys": "g"}, {"seeds": "cf", "keys": "g"}])
def test_two_spare_shares_show_whose_is_wrong_and_without_it_the_sum_is_right(lie):
    fed = federation(12)
    attempt = play(fed, {"g": 1})
    assert len(attempt.reveals) == fed.threshold + 2
    reveals = {**attempt.reveals, "b": lying(attempt.reveals["b"], **lie)}
    with pytest.raises(SecAggError, match=r"do not fit together: .* those held by 'b'$"):
        unmasking(attempt.transcript, reveals, fed.primitives)
    assert inconsistent(attempt.transcript, reveals, fed.primitives) == ("b",)
    honest = {name: reveal for name, reveal in reveals.items() if name != "b"}
    masks = unmasking(attempt.transcript, honest, fed.primitives)
    total = summed(attempt.uploads[name] for name in attempt.transcript.survivors)
    assert same(masked_vector(masks, fed.primitives, total), attempt.plain)


def test_who_is_inconsistent_is_asked_of_well_formed_reveals_only():
    attempt = play(federation(5))
    with pytest.raises(SecAggError, match="'a' revealed shares of too many or too few seeds"):
        inconsistent(attempt.transcript, {**attempt.reveals, "a": Reveal({}, {})}, attempt.fed.primitives)


def test_a_silo_that_gave_one_other_a_wrong_share_is_named_beside_it():
    """Who of the two lied cannot be told: the message names the secret's owner and the share's holder."""
    fed = federation(9)
    shares = fed.states["d"].shares
    cheating = replace(fed.states["d"], shares={**shares, "f": changed(shares["f"][:33]) + shares["f"][33:]})
    attempt = play(replace(fed, states={**fed.states, "d": cheating}))
    with pytest.raises(SecAggError, match="of the secret of 'd' those held by 'f'"):
        unmasking(attempt.transcript, attempt.reveals, fed.primitives)
    assert inconsistent(attempt.transcript, attempt.reveals, fed.primitives) == ("f",)


def test_the_removed_masks_are_a_self_mask_a_survivor_and_a_pair_mask_for_each_that_dropped():
    attempt = play(federation(7), {"c": 1, "f": 1})
    masks = unmasking(attempt.transcript, attempt.reveals, attempt.fed.primitives)
    assert len(masks) == 5 + 2 * 5
    assert len({mask.key for mask in masks}) == len(masks)


# --- the name of a sum ---------------------------------------------------------------------------------------------


def test_a_sum_has_one_name_for_all_who_took_part_and_another_one_where_anything_differs():
    fed = federation(5)
    sent = shared(fed, fed.names)
    done = masked(sent, "abcd")
    states, _ = signed(done, "abcd", "abcd")
    transcript = transcript_of(fed, sent, "abcd", "abcd")
    assert {state.sum for state in states.values()} == {transcript.sum}
    assert {state.sum for state in done.states.values()} == {""}
    others = [
        replace(transcript, place=replace(PLACE, attempt=9)),
        replace(transcript, terms=Terms("x", TERMS.plan, TERMS.layout)),
        replace(transcript, roster="sha256:00"),
        replace(transcript, adverts={**transcript.adverts, "a": Advert(bytes(32), b"1" * 32, bytes(64))}),
        replace(transcript, bundled=tuple("abcde"), survivors=tuple("abce")),
    ]
    assert len({one.sum for one in others} | {transcript.sum}) == 6
