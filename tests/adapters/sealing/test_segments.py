"""A sealed file is its bytes again, from any byte to any other; any change of it is found, and none shows them."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.sealing.segments import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    FileKey,
    Sealing,
    is_sealed,
    kept_bytes,
    open_sealed,
    reopened,
)
from septum.errors import DigestError, TensorError

KEY = FileKey(secrets.token_bytes(32))
WHERE = Path("models/ab/abcd")
STEP = SEGMENT_BYTES + 28
SIZES = [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES + 5, 9 * SEGMENT_BYTES]
PATTERN = secrets.token_bytes(10 * SEGMENT_BYTES)


def digest(data):
    return hashlib.sha256(data).digest()  # any 32 bytes will do here


def memory_file():
    return os.memfd_create("sealed")


def content(descriptor):
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def sealed(data, piece=1 << 20):
    descriptor = memory_file()
    sealing = Sealing(descriptor, KEY)
    for start in range(0, len(data), piece):
        sealing.add(memoryview(data)[start : start + piece])
    sealing.finish(digest(data))
    return descriptor


def opened(descriptor, data):
    return open_sealed(descriptor, KEY, digest(data), WHERE).source


def read(source, start, stop):
    buffer = bytearray(stop - start)
    source.read(start, memoryview(buffer))
    return bytes(buffer)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_its_bytes_again(size):
    data = PATTERN[:size]
    source = opened(sealed(data), data)
    assert source.size_bytes == size
    assert read(source, 0, size) == data


@given(
    size=st.integers(0, 5 * SEGMENT_BYTES),
    pieces=st.lists(st.integers(1, 3 * SEGMENT_BYTES), max_size=8),
    reads=st.lists(st.tuples(st.integers(0, 5 * SEGMENT_BYTES), st.integers(0, 2 * SEGMENT_BYTES)), max_size=8),
)
def test_however_it_is_written_any_part_of_it_is_read(size, pieces, reads):
    data, descriptor = PATTERN[:size], memory_file()
    sealing, at = Sealing(descriptor, KEY), 0
    for piece in [*pieces, size]:
        sealing.add(memoryview(data)[at : at + piece])
        at = min(size, at + piece)
    assert sealing.size_bytes == size
    sealing.finish(digest(data))
    source = opened(descriptor, data)
    for start, count in reads:
        start, stop = min(start, size), min(start + count, size)
        assert read(source, start, stop) == data[start:stop]
    with pytest.raises(TensorError):
        read(source, size, size + 1)
    os.close(descriptor)


def test_what_is_in_memory_is_read_without_waiting_and_the_same(tmp_path):
    data, path = PATTERN[: 3 * SEGMENT_BYTES + 5], tmp_path / "file"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    sealing = Sealing(descriptor, KEY)
    sealing.add(memoryview(data))
    sealing.finish(digest(data))
    blob, buffer = open_sealed(descriptor, KEY, digest(data), WHERE), bytearray(SEGMENT_BYTES)
    for start in (0, 5, 2 * SEGMENT_BYTES, 2 * SEGMENT_BYTES + 5):
        if blob.read_now(start, memoryview(buffer)):
            assert bytes(buffer) == data[start : start + SEGMENT_BYTES]
        assert read(blob.source, start, start + SEGMENT_BYTES) == data[start : start + SEGMENT_BYTES]
    os.pwrite(descriptor, b"xx", HEADER_BYTES + 100)
    with pytest.raises(DigestError):
        blob.source.read(0, memoryview(buffer))
    os.close(descriptor)


def everything_of(descriptor, data):
    source = opened(descriptor, data)
    return read(source, 0, source.size_bytes)


@given(place=st.integers(0, 2**40), bit=st.integers(0, 7), size=st.sampled_from(SIZES[:6]))
def test_a_bit_that_flips_anywhere_is_found(place, bit, size):
    data = PATTERN[:size]
    descriptor = sealed(data)
    place %= os.fstat(descriptor).st_size
    byte = os.pread(descriptor, 1, place)[0]
    os.pwrite(descriptor, bytes([byte ^ (1 << bit)]), place)
    with pytest.raises(DigestError):
        everything_of(descriptor, data)
    os.close(descriptor)


@given(cut=st.integers(1, 2**40), size=st.sampled_from(SIZES[:6]))
def test_a_file_that_was_cut_anywhere_does_not_open(cut, size):
    data = PATTERN[:size]
    descriptor = sealed(data)
    os.ftruncate(descriptor, os.fstat(descriptor).st_size - 1 - cut % os.fstat(descriptor).st_size)
    with pytest.raises(DigestError, match=r"models/ab/abcd has rotted"):
        opened(descriptor, data)
    os.close(descriptor)


@given(segments=st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(lambda order: order != [0, 1, 2, 3]))
def test_segments_in_another_order_are_found(segments):
    data = PATTERN[: 4 * SEGMENT_BYTES]
    descriptor = sealed(data)
    before = [os.pread(descriptor, STEP, HEADER_BYTES + number * STEP) for number in range(4)]
    for place, number in enumerate(segments):
        os.pwrite(descriptor, before[number], HEADER_BYTES + place * STEP)
    with pytest.raises(DigestError):
        everything_of(descriptor, data)
    os.close(descriptor)


def test_a_segment_of_another_file_of_the_same_bytes_is_found():
    data = PATTERN[: 2 * SEGMENT_BYTES]
    one, other = sealed(data), sealed(data)
    os.pwrite(one, os.pread(other, STEP, HEADER_BYTES), HEADER_BYTES)
    with pytest.raises(DigestError):
        everything_of(one, data)


def test_a_file_in_the_place_of_another_one_is_found():
    with pytest.raises(DigestError, match="has rotted"):
        opened(sealed(b"the model of round 1"), b"the model of round 2")


def test_the_same_bytes_are_never_sealed_to_the_same_file_and_nothing_of_them_shows():
    data = PATTERN[:1024] * 1024
    one, other = content(sealed(data)), content(sealed(data))
    assert is_sealed(sealed(b""))
    chunks = [{one[at : at + 16] for at in range(HEADER_BYTES, len(one) - 16, 16)} for one in (one, other)]
    assert not chunks[0] & chunks[1]
    assert PATTERN[:16] not in one


def test_under_another_key_a_file_does_not_open_and_both_are_named():
    descriptor = sealed(b"abc")
    other = FileKey(bytes(32))
    with pytest.raises(DigestError, match=f"key {KEY.id.hex()[:16]}, .* are under {other.id.hex()[:16]}"):
        open_sealed(descriptor, other, digest(b"abc"), WHERE)


# --- uploads that were cut -----------------------------------------------------------------------------------------


@given(cuts=st.lists(st.integers(0, 4 * SEGMENT_BYTES), max_size=4), again=st.booleans())
def test_a_file_goes_on_where_it_was_paused_as_often_as_that_is(cuts, again):
    data, descriptor = PATTERN[: 4 * SEGMENT_BYTES], memory_file()
    sealing, at = Sealing(descriptor, KEY), 0
    for cut in sorted(cuts):
        sealing.add(memoryview(data)[at:cut])
        sealing.pause()
        assert kept_bytes(descriptor) == cut
        assert PATTERN[:16] not in content(descriptor)
        with pytest.raises(DigestError):
            opened(descriptor, data[:cut])  # it is not finished
        taken, at = bytearray(), cut
        sealing = reopened(descriptor, KEY, WHERE, taken.extend if again else None)
        assert bytes(taken) == (data[:cut] if again else b"")
    sealing.add(memoryview(data)[at:])
    sealing.finish(digest(data))
    assert everything_of(descriptor, data) == data
    os.close(descriptor)


@given(lost=st.integers(0, 3 * STEP))
def test_after_a_kill_whole_segments_are_kept(lost):
    data, descriptor = PATTERN[: 3 * SEGMENT_BYTES], memory_file()
    Sealing(descriptor, KEY).add(memoryview(data))
    os.ftruncate(descriptor, os.fstat(descriptor).st_size - lost)
    kept = (3 * STEP - lost) // STEP * SEGMENT_BYTES
    assert kept_bytes(descriptor) == kept
    taken = bytearray()
    sealing = reopened(descriptor, KEY, WHERE, taken.extend)
    assert bytes(taken) == data[:kept]
    sealing.add(memoryview(data)[kept:])
    sealing.finish(digest(data))
    assert everything_of(descriptor, data) == data
    os.close(descriptor)


def test_a_tail_that_was_changed_is_found():
    descriptor = memory_file()
    sealing = Sealing(descriptor, KEY)
    sealing.add(memoryview(b"abc"))
    sealing.pause()
    os.pwrite(descriptor, b"x", HEADER_BYTES + 13)
    with pytest.raises(DigestError):
        reopened(descriptor, KEY, WHERE, None)


def test_no_segment_is_ever_sealed_with_the_nonce_of_one_before():
    descriptor = memory_file()
    sealing, seen = Sealing(descriptor, KEY), set()
    for _ in range(3):
        sealing.add(memoryview(PATTERN[:5]))
        sealing.pause()
        seen.add(os.pread(descriptor, 12, HEADER_BYTES))
        sealing = reopened(descriptor, KEY, WHERE, None)
    sealing.finish(digest(PATTERN[:5] * 3))
    seen.add(os.pread(descriptor, 12, HEADER_BYTES))
    assert len(seen) == 4


def test_a_key_shows_itself_in_no_error():
    assert str(KEY.key) not in repr(KEY)
