"""What must every BlobStore do? Subclass `BlobStoreContract`, name it `Test...`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from septum.errors import ConfigError, DigestError, NotFoundError, TooLargeError
from septum.ports.blobs import BlobStore
from septum.protocol.plan import digest_of

BIG = bytes(range(256)) * 12_289  # 3 MiB and one row: more than any buffer, and no multiple of one
ABSENT = digest_of(b"never stored")


class BlobStoreContract(ABC):
    """The contract of `ports.blobs.BlobStore`, as tests."""

    @abstractmethod
    def make(self, directory: Path) -> AbstractContextManager[BlobStore]:
        """A new, empty store. It may keep its files in `directory`; what it needs is closed on exit."""

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[BlobStore]:
        """The store under test."""
        with self.make(tmp_path) as blobs:
            yield blobs

    @pytest.mark.parametrize("durable", [False, True])
    @pytest.mark.parametrize("data", [b"", b"abc", BIG], ids=["empty", "small", "big"])
    def test_bytes_come_back_by_their_digest(self, blobs: BlobStore, data: bytes, durable: bool) -> None:
        """Of any size."""
        digest = blobs.put("models", data, durable=durable)
        assert digest == digest_of(data)
        assert blobs.get("models", digest) == data
        assert blobs.path("models", digest).read_bytes() == data
        assert blobs.size_bytes("models", digest) == len(data)

    @pytest.mark.parametrize("size", [1, 65_536, 1_048_575, 1_048_577, len(BIG)])
    def test_a_stream_in_chunks_of_any_size_is_the_same_blob(self, blobs: BlobStore, size: int) -> None:
        """However a network cuts it."""
        whole = BIG if size > 1 else BIG[:3000]
        chunks = (whole[start : start + size] for start in range(0, len(whole), size))
        digest = blobs.put("models", chunks, durable=False)
        assert digest == digest_of(whole)
        assert blobs.get("models", digest) == whole

    def test_chunks_of_mixed_sizes_keep_their_order(self, blobs: BlobStore) -> None:
        """A small one before a large one, an empty one between."""
        chunks = [b"a", BIG, b"", b"b", b"c" * 70_000, BIG[:5]]
        digest = blobs.put("models", iter(chunks), durable=False)
        assert blobs.get("models", digest) == b"".join(chunks)

    def test_an_announced_digest_is_checked(self, blobs: BlobStore) -> None:
        """The right one passes."""
        assert blobs.put("models", b"abc", durable=False, digest=digest_of(b"abc")) == digest_of(b"abc")

    @pytest.mark.parametrize("data", [b"abd", [b"ab", b"d"]])
    def test_a_wrong_digest_is_refused_and_nothing_is_stored(self, blobs: BlobStore, data: bytes | list[bytes]) -> None:
        """Neither under the announced name nor under the real one."""
        with pytest.raises(DigestError, match=digest_of(b"abd")):
            blobs.put("models", data, durable=False, digest=digest_of(b"abc"))
        self._nothing_of(blobs, b"abc", b"abd")

    @pytest.mark.parametrize("data", [b"abcd", [b"ab", b"cd"]])
    def test_more_bytes_than_the_limit_are_refused(self, blobs: BlobStore, data: bytes | list[bytes]) -> None:
        """Exactly the limit is allowed."""
        with pytest.raises(TooLargeError, match="3"):
            blobs.put("models", data, durable=False, limit=3)
        self._nothing_of(blobs, b"abcd", b"abc")
        assert blobs.put("models", data, durable=False, limit=4) == digest_of(b"abcd")

    def test_an_endless_stream_is_cut_at_the_limit(self, blobs: BlobStore) -> None:
        """It is not read to an end that never comes."""
        taken = 0

        def endless() -> Iterator[bytes]:
            nonlocal taken
            while True:
                taken += 1
                yield b"x" * 65_536

        with pytest.raises(TooLargeError):
            blobs.put("models", endless(), durable=False, limit=1_000_000)
        assert taken * 65_536 < 4 * 1_000_000

    def test_a_cut_upload_leaves_nothing_and_its_error_passes_through(self, blobs: BlobStore) -> None:
        """What the caller's own stream raises is the caller's."""

        def cut() -> Iterator[bytes]:
            yield BIG
            raise ConnectionResetError("the silo went away")

        with pytest.raises(ConnectionResetError, match="went away"):
            blobs.put("models", cut(), durable=True)
        self._nothing_of(blobs, BIG)

    def _nothing_of(self, blobs: BlobStore, *blobs_data: bytes) -> None:
        for data in blobs_data:
            with pytest.raises(NotFoundError):
                blobs.size_bytes("models", digest_of(data))

    def test_putting_the_same_bytes_again_changes_nothing(self, blobs: BlobStore) -> None:
        """Also when one of the two is durable."""
        digests = {blobs.put("models", b"abc", durable=durable) for durable in (False, True, False)}
        assert digests == {digest_of(b"abc")}
        assert blobs.get("models", digest_of(b"abc")) == b"abc"

    def test_areas_are_apart(self, blobs: BlobStore) -> None:
        """What is in one is not in another, and dropping one leaves the other."""
        digest = blobs.put("models", b"abc", durable=False)
        with pytest.raises(NotFoundError):
            blobs.get("run-1", digest)
        blobs.put("run-1", b"abc", durable=False)
        blobs.drop("run-1")
        assert blobs.get("models", digest) == b"abc"
        with pytest.raises(NotFoundError):
            blobs.path("run-1", digest)

    def test_a_dropped_area_can_be_filled_again(self, blobs: BlobStore) -> None:
        """Dropping is not for ever, and an area that is not there can be dropped."""
        blobs.drop("run-1")
        digest = blobs.put("run-1", b"abc", durable=True)
        blobs.drop("run-1")
        blobs.put("run-1", b"abc", durable=True)
        assert blobs.get("run-1", digest) == b"abc"

    def test_discarded_blobs_are_gone_and_the_others_stay(self, blobs: BlobStore) -> None:
        """Those that are not there are ignored."""
        first, second = (blobs.put("run-1", data, durable=False) for data in (b"1", b"2"))
        blobs.path("run-1", first)
        blobs.discard("run-1", [first, ABSENT])
        blobs.discard("run-2", [first])
        assert blobs.get("run-1", second) == b"2"
        for ask in (blobs.get, blobs.path, blobs.size_bytes):
            with pytest.raises(NotFoundError, match=first):
                ask("run-1", first)

    @pytest.mark.parametrize("area", ["", ".", "..", ".incoming", "a/b", "../models", "/etc", "a\0b", "a" * 200])
    def test_no_area_leads_out_of_the_store(self, blobs: BlobStore, area: str) -> None:
        """In no method."""
        for ask in (
            lambda: blobs.put(area, b"abc", durable=False),
            lambda: blobs.get(area, ABSENT),
            lambda: blobs.path(area, ABSENT),
            lambda: blobs.size_bytes(area, ABSENT),
            lambda: blobs.discard(area, []),
            lambda: blobs.drop(area),
        ):
            with pytest.raises(ConfigError):
                ask()

    @pytest.mark.parametrize(
        "digest", ["", "abc", "blake3:../../x", "blake3:" + "A" * 64, ABSENT + "\n", "sha256:" + "0" * 64]
    )
    def test_no_digest_leads_out_of_the_store(self, blobs: BlobStore, digest: str) -> None:
        """In no method."""
        for ask in (
            lambda: blobs.get("models", digest),
            lambda: blobs.path("models", digest),
            lambda: blobs.size_bytes("models", digest),
            lambda: blobs.discard("models", [digest]),
        ):
            with pytest.raises(DigestError):
                ask()

    def test_many_threads_may_put_the_same_and_different_bytes(self, blobs: BlobStore) -> None:
        """Also while an area is dropped beside them."""

        def put(number: int) -> str:
            blobs.drop("other")
            blobs.put("other", b"other", durable=False)
            return blobs.put("models", b"%d" % (number % 10), durable=number % 2 == 0)

        with ThreadPoolExecutor(8) as pool:
            digests = set(pool.map(put, range(200)))
        assert digests == {digest_of(b"%d" % number) for number in range(10)}
        for digest in digests:
            assert digest_of(blobs.get("models", digest)) == digest
