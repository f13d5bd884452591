"""A blob's bytes are compared with its digest while they are read, in whatever order that is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.coordinator.intact import check_blob, checked
from septum.errors import DigestError
from septum.ports.blobs import OpenBlob
from septum.protocol.plan import digest_of
from septum.protocol.sources import read_bytes, source_of
from septum.testing.fakes import MemoryBlobs

DATA = bytes(range(200))


def turned(place: int) -> bytes:
    return bytes(byte ^ (at == place) for at, byte in enumerate(DATA))


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)).map(sorted)), st.integers(0, 199))
def test_what_is_read_is_what_is_there_and_the_read_that_comes_to_the_end_says_whether_it_is_whole(pieces, place):
    whole, rotten = (checked(OpenBlob(source_of(data)), digest_of(DATA)) for data in (DATA, turned(place)))
    ended = False
    for start, end in [*pieces, (190, 200), (0, 200)]:
        assert read_bytes(whole, start, end - start) == DATA[start:end]
        if end == 200 and start < 200 and not ended:
            ended = True
            with pytest.raises(DigestError, match="has rotted"):
                read_bytes(rotten, start, end - start)
        else:
            read_bytes(rotten, start, end - start)


def test_who_reads_a_blob_through_is_told_where_it_is_and_what_to_do():
    blobs = MemoryBlobs()
    digest = blobs.put("apps", DATA, durable=True)
    check_blob(blobs, "apps", digest)
    blobs._areas["apps"][digest] = turned(7)
    with pytest.raises(
        DigestError, match=f"blob {digest} has rotted: its bytes have the digest {digest_of(turned(7))}"
    ):
        check_blob(blobs, "apps", digest)
