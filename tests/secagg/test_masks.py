"""A masked vector has the same bits however it is cut, and the mask is the keystream and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from septum.adapters.identity.masking_primitives import openssl
from septum.errors import SecAggError
from septum.secagg.masks import CHUNK_BYTES, Mask, Masker

REAL = openssl()
ONE, OTHER = Mask(b"1" * 32, 1), Mask(b"2" * 32, -1)


def keystream(key: bytes, size: int) -> bytes:
    buffer = bytearray(size)
    REAL.keystream(key)(memoryview(buffer))
    return bytes(buffer)


def test_a_mask_is_16_bytes_a_wide_sum_then_4_a_word_little_endian():
    stream, other = (keystream(mask.key, 2 * 16 + 3 * 4) for mask in (ONE, OTHER))
    wide, words = np.array([[5, 0], [2**64 - 1, 2**64 - 1]], np.uint64), np.array([0, 1, 2**32 - 1], np.uint32)
    plain = [int(low) | int(high) << 64 for low, high in wide], words.tolist()
    masker = Masker((ONE, OTHER), REAL)
    masker.wide(wide)
    masker.words(words)

    def number(source, at, size):
        return int.from_bytes(source[at : at + size], "little")

    expected = [
        (value + number(stream, 16 * at, 16) - number(other, 16 * at, 16)) % 2**128 for at, value in enumerate(plain[0])
    ]
    assert [int(low) | int(high) << 64 for low, high in wide] == expected
    at = range(32, 44, 4)
    shifts = [number(stream, start, 4) - number(other, start, 4) for start in at]
    assert words.tolist() == [(value + shift) % 2**32 for value, shift in zip(plain[1], shifts, strict=True)]


@given(st.lists(st.integers(0, 3 * CHUNK_BYTES // 4), max_size=4), st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_where_blocks_begin_and_end_makes_no_difference(cuts, wide_sums):
    words = 2 * CHUNK_BYTES // 4 + 1001
    whole, cut = np.zeros(words, np.uint32), np.zeros(words, np.uint32)
    for vector, places in ((whole, []), (cut, sorted(min(at, words) for at in cuts))):
        masker = Masker((ONE, OTHER), REAL)
        masker.wide(np.zeros((wide_sums, 2), np.uint64))
        for start, end in zip([0, *places], [*places, words], strict=True):
            masker.words(vector[start:end])
    assert np.array_equal(whole, cut)


def test_more_wide_sums_than_fit_one_chunk_are_masked_in_one_stream():
    count = CHUNK_BYTES // 16 + 3
    wide = np.zeros((count, 2), np.uint64)
    Masker((ONE,), REAL).wide(wide)
    assert wide.astype("<u8").tobytes() == keystream(ONE.key, 16 * count)


def test_a_mask_and_its_opposite_cancel():
    words, wide = np.arange(100, dtype=np.uint32), np.arange(20, dtype=np.uint64).reshape(10, 2)
    for mask in (ONE, Mask(ONE.key, -1)):
        masker = Masker((mask,), REAL)
        masker.wide(wide)
        masker.words(words)
    assert words.tolist() == list(range(100))
    assert wide.ravel().tolist() == list(range(20))


def test_wide_sums_come_first_and_once():
    masker = Masker((ONE,), REAL)
    masker.wide(np.zeros((0, 2), np.uint64))
    with pytest.raises(SecAggError, match="first in a masked vector, and once"):
        masker.wide(np.zeros((1, 2), np.uint64))
    masker = Masker((ONE,), REAL)
    masker.words(np.zeros(1, np.uint32))
    with pytest.raises(SecAggError, match="first in a masked vector, and once"):
        masker.wide(np.zeros((1, 2), np.uint64))


def test_other_types_and_shapes_are_refused():
    masker = Masker((ONE,), REAL)
    for wrong in (np.zeros(2, np.int32), np.zeros((2, 2), np.uint32)):
        with pytest.raises(SecAggError, match="words of 32 bits"):
            masker.words(wrong)
    for wrong in (np.zeros(2, np.uint64), np.zeros((2, 2), np.int64), np.zeros((2, 1), np.uint64)):
        with pytest.raises(SecAggError, match=r"\(k, 2\) uint64"):
            masker.wide(wrong)


@pytest.mark.parametrize(("key", "sign"), [(b"k" * 31, 1), (b"k" * 32, 0), (b"k" * 32, 2)])
def test_a_mask_has_a_whole_key_and_a_sign(key, sign):
    with pytest.raises(SecAggError, match="32 bytes and a sign"):
        Mask(key, sign)


def test_a_vector_of_every_other_coordinate_is_masked_too():
    """A block may be a view with gaps."""
    spread, dense = np.zeros(2000, np.uint32), np.zeros(1000, np.uint32)
    Masker((ONE,), REAL).words(spread[::2])
    Masker((ONE,), REAL).words(dense)
    assert np.array_equal(spread[::2], dense)
    assert not spread[1::2].any()
