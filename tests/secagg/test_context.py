"""What everybody agrees on: no two different things have the same bytes."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.secagg.attempts import PLACE, TERMS, federation

from septum.secagg.context import Place, Terms, context, key_context, pack, roster_digest
from septum.secagg.messages import adverts_digest, signed_advert, signed_survivors

parts = st.lists(st.binary(max_size=6), max_size=4)
texts = st.text(max_size=4)
places = st.builds(Place, texts, texts, st.integers(0, 3), st.integers(0, 3))
terms = st.builds(Terms, texts, texts, texts)


@given(texts, parts, texts, parts)
@settings(max_examples=50)
def test_packing_is_injective(purpose, one, other_purpose, other):
    same = (purpose, one) == (other_purpose, other)
    assert (pack(purpose, *one) == pack(other_purpose, *other)) == same


def test_a_packed_message_is_the_domain_and_the_parts_each_after_its_length():
    assert pack("x", b"ab") == b"\0" * 7 + b"\x10septum-secagg-v1" + b"\0" * 7 + b"\1x" + b"\0" * 7 + b"\2ab"


@given(places, terms, places, terms)
def test_two_contexts_are_equal_only_for_the_same_place_and_terms(place, term, other_place, other_term):
    one, other = (context(p, t, "roster", b"u1") for p, t in ((place, term), (other_place, other_term)))
    assert (one == other) == ((place, term) == (other_place, other_term))
    keys = (key_context(p, "roster") for p in (place, other_place))
    assert len(set(keys)) == 1 + (place != other_place)


def test_roster_and_adverts_are_in_the_context():
    contexts = {context(PLACE, TERMS, roster, adverts) for roster in ("r", "s") for adverts in (b"u", b"v")}
    assert len(contexts | {key_context(PLACE, "r"), key_context(PLACE, "s")}) == 6


def test_the_roster_digest_is_over_who_has_which_key():
    keys = {"a": b"1" * 32, "b": b"2" * 32}
    swapped = {"a": b"2" * 32, "b": b"1" * 32}
    digests = {roster_digest(one) for one in (keys, swapped, {"a": keys["a"]}, {**keys, "c": b"3" * 32})}
    assert len(digests) == 4
    assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in digests)


def test_the_digest_of_the_adverts_is_over_every_name_and_key():
    adverts = federation(3).adverts
    changed = [
        {**adverts, "a": adverts["b"]},
        {**adverts, "a": replace(adverts["a"], masking=bytes(32))},
        {**adverts, "a": replace(adverts["a"], encryption=bytes(32))},
        {"a": adverts["a"], "b": adverts["b"]},
        {"a": adverts["a"], "b": adverts["b"], "d": adverts["c"]},
    ]
    assert len({adverts_digest(one) for one in (adverts, *changed)}) == 6
    assert adverts_digest(dict(reversed(adverts.items()))) == adverts_digest(adverts)


def test_what_is_signed_for_one_purpose_is_never_what_is_signed_for_another():
    assert signed_advert(b"c" * 32, "a", b"x", b"y") != signed_survivors(b"c" * 32, ("a", "x", "y"))
    assert signed_survivors(b"c" * 32, ("a", "b")) != signed_survivors(b"c" * 32, ("ab",))


def test_an_advert_is_signed_with_the_place_the_name_and_both_keys():
    parts = (b"c" * 32, "a", b"x" * 32, b"y" * 32)
    others = (b"d" * 32, "b", b"z" * 32, b"z" * 32)
    changed = [signed_advert(*parts[:at], others[at], *parts[at + 1 :]) for at in range(4)]
    assert len({signed_advert(*parts), *changed}) == 5
