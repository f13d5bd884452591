"""Every key is for one purpose, one place and one pair, and is made from all of its secret."""

import pytest

from septum.adapters.identity.masking_primitives import openssl
from septum.secagg.derivation import pair_mask, sealed_data, sealing_key, self_mask

REAL = openssl()
SECRET, PLACE = bytes(range(32)), b"p" * 32

MADE = {
    "sealing": lambda secret, place, one, other: sealing_key(REAL, secret, place, one, other),
    "pair": lambda secret, place, one, other: pair_mask(REAL, secret, place, one, other).key,
    "self": lambda secret, place, one, _: self_mask(REAL, secret, place, one, 1).key,
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_no_secret_is_folded_changing_any_byte_of_it_changes_the_key(made):
    """Seeds of 28 to 32 bits have been brute-forced elsewhere."""
    changed = [SECRET[:at] + bytes([SECRET[at] ^ bit]) + SECRET[at + 1 :] for at in range(32) for bit in (1, 128)]
    assert len({made(one, PLACE, "a", "b") for one in (SECRET, *changed)}) == 65


def test_no_key_is_for_two_purposes_places_or_silos():
    keys = {
        made(SECRET, place, one, other)
        for made in MADE.values()
        for place in (PLACE, b"q" * 32)
        for one, other in (("a", "b"), ("a", "c"), ("d", "b"), ("ab", ""), ("", "ab"))
    }
    # a self mask does not know of a second silo: of five pairs there are four first ones; the last two pairs are one
    assert len(keys) == 2 * (5 + 4 + 4)


def test_two_silos_have_one_pair_mask_but_a_sealing_key_in_each_direction():
    assert pair_mask(REAL, SECRET, PLACE, "a", "b").key == pair_mask(REAL, SECRET, PLACE, "b", "a").key
    assert (pair_mask(REAL, SECRET, PLACE, "a", "b").sign, pair_mask(REAL, SECRET, PLACE, "b", "a").sign) == (1, -1)
    assert sealing_key(REAL, SECRET, PLACE, "a", "b") != sealing_key(REAL, SECRET, PLACE, "b", "a")


def test_sealed_data_says_where_from_and_where_to():
    said = {sealed_data(place, *pair) for place in (PLACE, b"q" * 32) for pair in (("a", "b"), ("b", "a"), ("ab", ""))}
    assert len(said) == 6
