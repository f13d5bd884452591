"""Any t shares restore a secret, fewer say nothing about it."""

import itertools
import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import SecAggError
from septum.secagg.shamir import PRIME, SHARE_BYTES, Weights, join, split

secrets = st.binary(min_size=32, max_size=32)


def numbers(*values):
    """A generator that draws these elements."""
    drawn = b"".join(value.to_bytes(SHARE_BYTES, "big") for value in values)

    def random(size):
        nonlocal drawn
        taken, drawn = drawn[:size], drawn[size:]
        return taken

    return random


def test_shares_are_the_values_of_the_polynomial():
    """7 + 5x + 3x^2 at 1, 2 and 10; the highest power is drawn first."""
    shares = split((7).to_bytes(32, "big"), 3, (1, 2, 10), numbers(3, 5))
    assert {x: int.from_bytes(share, "big") for x, share in shares.items()} == {1: 15, 2: 29, 10: 357}


@given(secrets, st.data())
def test_any_threshold_of_the_shares_restores_the_secret(secret, data):
    xs = data.draw(st.lists(st.integers(1, 200), min_size=1, max_size=12, unique=True))
    threshold = data.draw(st.integers(1, len(xs)))
    shares = split(secret, threshold, xs, os.urandom)
    chosen = data.draw(st.permutations(xs))[:threshold]
    assert join({x: shares[x] for x in chosen}, threshold) == secret
    assert Weights(tuple(chosen)).join({x: shares[x] for x in chosen}) == secret


def test_more_shares_than_needed_restore_it_too():
    shares = split(b"s" * 32, 3, range(1, 8), os.urandom)
    assert join(shares, 3) == b"s" * 32


@pytest.mark.parametrize("threshold", [2, 3, 5])
def test_no_subset_below_the_threshold_restores_it(threshold):
    secret = b"s" * 32
    shares = split(secret, threshold, range(1, 8), os.urandom)
    for few in itertools.combinations(shares, threshold - 1):
        assert Weights(few).value([int.from_bytes(shares[x], "big") for x in few]) != int.from_bytes(secret, "big")
        with pytest.raises(SecAggError, match=f"{threshold - 1} shares, a secret needs {threshold}"):
            join({x: shares[x] for x in few}, threshold)


@given(secrets, secrets)
def test_fewer_shares_fit_every_secret_equally(secret, other):
    """For each other secret there is exactly one third share that makes it, so two shares of three exclude none."""
    shares = split(secret, 3, (1, 2, 3), os.urandom)
    one, two = (int.from_bytes(shares[x], "big") for x in (1, 2))
    third = Weights((0, 1, 2), at=3).value([int.from_bytes(other, "big"), one, two])
    assert join({1: shares[1], 2: shares[2], 3: third.to_bytes(SHARE_BYTES, "big")}, 3) == other


def test_coefficients_are_uniform_a_draw_beyond_the_last_whole_multiple_is_drawn_again():
    accepted = 2**264 // PRIME * PRIME
    shares = split(bytes(32), 2, (1, 2), numbers(accepted, 2**264 - 1, accepted - 1))
    assert int.from_bytes(shares[1], "big") == PRIME - 1
    assert 2**264 - accepted < 2**264 // 200  # which happens seldom
    assert int.from_bytes(split(bytes(32), 2, (1, 2), numbers(PRIME + 5))[1], "big") == 5


def test_two_splits_of_one_secret_have_no_share_in_common():
    first, second = (split(b"s" * 32, 2, range(1, 6), os.urandom) for _ in range(2))
    assert not set(first.values()) & set(second.values())


def test_the_modulus_is_prime():
    """Miller and Rabin; a composite passes one base with a probability of at most 1/4."""
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 42):
        value = pow(base, odd, PRIME)
        assert value == 1 or PRIME - 1 in [pow(value, 2**power, PRIME) for power in range(twos)]


def test_a_forged_share_makes_another_secret_or_none():
    shares = split(b"s" * 32, 2, (1, 2, 3), os.urandom)
    changed = (int.from_bytes(shares[1], "big") ^ 1).to_bytes(SHARE_BYTES, "big")
    with suppress(SecAggError):
        assert join({1: changed, 2: shares[2]}, 2) != b"s" * 32
    above = Weights((0, 2), at=1).value([2**256 + 1, int.from_bytes(shares[2], "big")])
    with pytest.raises(SecAggError, match="these shares make no secret of 32 bytes"):
        join({1: above.to_bytes(SHARE_BYTES, "big"), 2: shares[2]}, 2)


@pytest.mark.parametrize(
    ("secret", "threshold", "xs"),
    [
        (bytes(31), 1, (1, 2)), (bytes(33), 1, (1, 2)), (bytes(32), 1, (1, 1)), (bytes(32), 1, (0, 1)),
        (bytes(32), 1, (PRIME,)), (bytes(32), 0, (1, 2)), (bytes(32), 3, (1, 2)),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_is_refused(secret, threshold, xs):
    with pytest.raises(SecAggError):
        split(secret, threshold, xs, os.urandom)


@pytest.mark.parametrize("xs", [(), (1, 1)])
def test_a_secret_is_joined_at_different_places(xs):
    with pytest.raises(SecAggError, match="different numbers"):
        Weights(xs)
