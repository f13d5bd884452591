"""A masked vector passes for random bytes, by tests that a plain one fails one by one."""

import numpy as np
import pytest
from tests.attacks.uniform import UNLIKELY, looks, seen

from septum.adapters.identity.masking_primitives import openssl

pytestmark = pytest.mark.attacks


def test_a_plain_vector_is_told_by_each_of_the_three_tests():
    plain = seen()["plain"]
    assert plain.chance < UNLIKELY
    assert plain.compressed < 0.95
    assert plain.likeness > 100


def test_masked_vectors_are_told_by_none():
    assert [found.random for name, found in seen().items() if name != "plain"] == [True, True, True]


def test_even_one_constant_byte_in_four_is_found():
    words = np.frombuffer(openssl().random(400_000), "<u4").copy()
    plain = np.zeros(len(words), np.float32)
    plain[0] = 1
    assert looks(words, plain).random
    words |= np.uint32(0xFF000000)
    assert not looks(words, plain).random
