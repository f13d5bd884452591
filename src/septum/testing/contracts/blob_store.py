"""What must every BlobStore do? Subclass `BlobStoreContract`, name it `Test...`, and define `make`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from septum.errors import ConfigError, ConflictError, DigestError, NotFoundError, TensorError, TooLargeError
from septum.ports.blobs import KEPT_OF_SENDER, BlobStore, OffsetError
from septum.protocol.plan import digest_of

BIG = bytes(range(256)) * 12_289  # 3 MiB and one row: more than any buffer, and no multiple of one
ABSENT = digest_of(b"never stored")
HALF = len(BIG) // 2


def cut(*chunks: bytes) -> Iterator[bytes]:
    """A stream that breaks after these chunks."""
    yield from chunks
    raise ConnectionResetError("the silo went away")


def _read(blobs: BlobStore, area: str, digest: str) -> bytes:
    with blobs.open(area, digest) as opened:
        return b"".join(opened.chunks())


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
        assert _read(blobs, "models", digest) == data
        assert blobs.size_bytes("models", digest) == len(data)

    @pytest.mark.parametrize("last", [False, True])
    @pytest.mark.parametrize("data", [b"", b"abc", BIG], ids=["empty", "small", "big"])
    def test_an_open_blob_is_read_anywhere(self, blobs: BlobStore, data: bytes, last: bool) -> None:
        """From any byte to any other, in any order, and no further than its end."""
        digest = blobs.put("models", data, durable=False)
        ends = sorted({0, 1, len(data) // 3, 262_143, 262_144, 1_048_576, 1_048_577, len(data) - 1, len(data)})
        spans = [(a, b) for a in ends for b in ends if 0 <= a <= b <= len(data)]
        with blobs.open("models", digest, last=last) as opened:
            assert opened.size_bytes == len(data)
            for start, stop in reversed(spans):
                assert b"".join(opened.chunks(start, stop, 65_536)) == data[start:stop]
            with pytest.raises(TensorError):
                opened.source.read(len(data), memoryview(bytearray(1)))

    def test_a_file_of_an_open_blob_has_its_bytes_as_they_are(self, blobs: BlobStore) -> None:
        """A server may send it by itself."""
        digest = blobs.put("models", BIG, durable=False)
        with blobs.open("models", digest) as opened:
            assert opened.file is None or opened.file.read_bytes() == BIG

    @pytest.mark.parametrize("data", [b"few", BIG], ids=["few", "many"])
    def test_who_reads_a_blob_reads_all_of_it_whatever_becomes_of_it(self, blobs: BlobStore, data: bytes) -> None:
        """It is stored again, discarded, and its area dropped, and another upload takes its place."""
        digest = blobs.put("run-1", data, durable=False)
        with blobs.open("run-1", digest) as opened:
            blobs.put("run-1", data, durable=False)
            blobs.discard("run-1", [digest])
            blobs.append("run-1", digest_of(data[::-1]), [data[::-1]], sender="north")
            blobs.drop("run-1")
            assert b"".join(opened.chunks()) == data

    def test_what_is_here_takes_room_until_it_is_dropped(self, blobs: BlobStore) -> None:
        """At least as much as the bytes are, and no longer than they are here."""
        empty = blobs.used_bytes()
        blobs.put("models", BIG, durable=False)
        assert blobs.used_bytes() >= empty + len(BIG)
        blobs.drop("models")
        assert blobs.used_bytes() < empty + len(BIG)

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
        with pytest.raises(ConnectionResetError, match="went away"):
            blobs.put("models", cut(BIG), durable=True)
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
            _read(blobs, "run-1", digest)

    @pytest.mark.parametrize("data", [b"few", BIG], ids=["few", "many"])
    def test_a_shared_blob_is_in_both_areas_and_each_forgets_its_own(self, blobs: BlobStore, data: bytes) -> None:
        """One that is discarded may give way to the next upload, but not in the other area."""
        digest, other = blobs.put("run-1", data, durable=False), data[::-1]
        for _ in range(2):
            blobs.share("run-1", digest, "kept-1")
        blobs.discard("run-1", [digest])
        self._nothing_of(blobs, data)
        blobs.append("run-1", digest_of(other), [other], sender="north")
        assert _read(blobs, "kept-1", digest) == data
        blobs.drop("run-1")
        assert blobs.get("kept-1", digest) == data
        blobs.discard("kept-1", [digest])
        with pytest.raises(NotFoundError):
            _read(blobs, "kept-1", digest)

    def test_what_is_not_there_cannot_be_shared(self, blobs: BlobStore) -> None:
        """And the other area does not have it then."""
        with pytest.raises(NotFoundError):
            blobs.share("run-1", ABSENT, "kept-1")
        with pytest.raises(NotFoundError):
            _read(blobs, "kept-1", ABSENT)

    def test_a_dropped_area_can_be_filled_again(self, blobs: BlobStore) -> None:
        """Dropping is not for ever, and an area that is not there can be dropped."""
        blobs.drop("run-1")
        digest = blobs.put("run-1", b"abc", durable=True)
        blobs.drop("run-1")
        blobs.put("run-1", b"abc", durable=True)
        assert blobs.get("run-1", digest) == b"abc"

    def test_an_area_tells_what_is_in_it_and_nothing_of_others(self, blobs: BlobStore) -> None:
        """In order; uploads that were cut are not there yet."""
        assert list(blobs.digests("models")) == []
        found = [blobs.put("models", b"%d" % number, durable=number % 2 == 0) for number in range(5)]
        blobs.put("models-r1", b"another", durable=True)
        with pytest.raises(ConnectionResetError):
            blobs.append("models", digest_of(BIG), cut(BIG[:HALF]), sender="north")
        assert list(blobs.digests("models")) == sorted(found)
        blobs.discard("models", found[:2])
        assert list(blobs.digests("models")) == sorted(found[2:])
        blobs.drop("models")
        assert list(blobs.digests("models")) == []

    def test_discarded_blobs_are_gone_and_the_others_stay(self, blobs: BlobStore) -> None:
        """Those that are not there are ignored."""
        first, second = (blobs.put("run-1", data, durable=False) for data in (b"1", b"2"))
        _read(blobs, "run-1", first)
        blobs.discard("run-1", [first, ABSENT])
        blobs.discard("run-2", [first])
        assert blobs.get("run-1", second) == b"2"
        for ask in (blobs.get, partial(_read, blobs), blobs.size_bytes):
            with pytest.raises(NotFoundError, match=first):
                ask("run-1", first)

    @pytest.mark.parametrize("area", ["", ".", "..", ".incoming", "a/b", "../models", "/etc", "a\0b", "a" * 200])
    def test_no_area_leads_out_of_the_store(self, blobs: BlobStore, area: str) -> None:
        """In no method."""
        for ask in (
            lambda: blobs.put(area, b"abc", durable=False),
            lambda: blobs.get(area, ABSENT),
            lambda: _read(blobs, area, ABSENT),
            lambda: blobs.size_bytes(area, ABSENT),
            lambda: blobs.append(area, ABSENT, [b"abc"], sender="north"),
            lambda: blobs.append("models", ABSENT, [b"abc"], sender=area),
            lambda: blobs.kept_bytes(area, ABSENT, sender="north"),
            lambda: blobs.kept_bytes("models", ABSENT, sender=area),
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
            lambda: _read(blobs, "models", digest),
            lambda: blobs.size_bytes("models", digest),
            lambda: blobs.append("models", digest, [b"abc"], sender="north"),
            lambda: blobs.kept_bytes("models", digest, sender="north"),
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

    # --- uploads that go on where they were cut ---

    def _cut_off(self, blobs: BlobStore, data: bytes, came: int, *, area: str = "run-1", sender: str = "north") -> None:
        with pytest.raises(ConnectionResetError, match="went away"):
            blobs.append(area, digest_of(data), cut(data[:came]), sender=sender)

    @pytest.mark.parametrize("data", [b"", b"abc", BIG], ids=["empty", "small", "big"])
    def test_a_blob_that_comes_at_once_is_stored(self, blobs: BlobStore, data: bytes) -> None:
        """Nothing is kept beside it."""
        blobs.append("run-1", digest_of(data), [data], sender="north")
        assert blobs.get("run-1", digest_of(data)) == data
        assert blobs.kept_bytes("run-1", digest_of(data), sender="north") == 0

    @pytest.mark.parametrize("came", [1, 1_048_575, HALF, len(BIG)])
    def test_a_cut_upload_goes_on_where_it_stopped(self, blobs: BlobStore, came: int) -> None:
        """However much came, also all of it."""
        self._cut_off(blobs, BIG, came)
        assert blobs.kept_bytes("run-1", digest_of(BIG), sender="north") == came
        with pytest.raises(NotFoundError):
            blobs.size_bytes("run-1", digest_of(BIG))
        blobs.append("run-1", digest_of(BIG), [BIG[came:]], sender="north", start=came)
        assert blobs.get("run-1", digest_of(BIG)) == BIG
        assert blobs.kept_bytes("run-1", digest_of(BIG), sender="north") == 0

    def test_an_upload_may_be_cut_again_and_again(self, blobs: BlobStore) -> None:
        """In pieces of any size."""
        digest, start = digest_of(BIG), 0
        for piece in (5, 70_000, 1_500_000):
            with pytest.raises(ConnectionResetError):
                blobs.append("run-1", digest, cut(BIG[start : start + piece]), sender="north", start=start)
            start += piece
            assert blobs.kept_bytes("run-1", digest, sender="north") == start
        blobs.append("run-1", digest, [BIG[start:]], sender="north", start=start)
        assert blobs.get("run-1", digest) == BIG

    @pytest.mark.parametrize("start", [HALF - 1, HALF + 1, len(BIG)])
    def test_another_offset_is_refused_with_the_right_one(self, blobs: BlobStore, start: int) -> None:
        """And what is here stays."""
        self._cut_off(blobs, BIG, HALF)
        with pytest.raises(OffsetError, match=str(HALF)) as caught:
            blobs.append("run-1", digest_of(BIG), [BIG[start:]], sender="north", start=start)
        assert caught.value.offset == HALF
        blobs.append("run-1", digest_of(BIG), [BIG[HALF:]], sender="north", start=HALF)

    def test_an_upload_from_the_start_takes_the_place_of_a_cut_one(self, blobs: BlobStore) -> None:
        """So sends who knows of no offsets."""
        self._cut_off(blobs, BIG, HALF)
        blobs.append("run-1", digest_of(BIG), [BIG], sender="north")
        assert blobs.get("run-1", digest_of(BIG)) == BIG

    def test_wrong_bytes_are_refused_and_not_kept(self, blobs: BlobStore) -> None:
        """Whether the first of them are wrong or the last."""
        with pytest.raises(ConnectionResetError):
            blobs.append("run-1", digest_of(BIG), cut(b"wrong"), sender="north")
        for data, start in ((BIG[5:], 5), (b"wrong", 0)):
            with pytest.raises(DigestError):
                blobs.append("run-1", digest_of(BIG), [data], sender="north", start=start)
            assert blobs.kept_bytes("run-1", digest_of(BIG), sender="north") == 0
        with pytest.raises(NotFoundError):
            blobs.size_bytes("run-1", digest_of(BIG))

    def test_what_is_kept_counts_against_the_limit(self, blobs: BlobStore) -> None:
        """Exactly the limit is allowed."""
        for limit in (len(BIG) - 1, len(BIG)):
            self._cut_off(blobs, BIG, HALF)
            if limit < len(BIG):
                with pytest.raises(TooLargeError, match=str(limit)):
                    blobs.append("run-1", digest_of(BIG), [BIG[HALF:]], sender="north", start=HALF, limit=limit)
                assert blobs.kept_bytes("run-1", digest_of(BIG), sender="north") == 0
            else:
                blobs.append("run-1", digest_of(BIG), [BIG[HALF:]], sender="north", start=HALF, limit=limit)

    def test_what_is_kept_belongs_to_area_digest_and_sender(self, blobs: BlobStore) -> None:
        """Nobody goes on where another stopped."""
        self._cut_off(blobs, BIG, HALF)
        for area, digest, sender in (
            ("run-2", digest_of(BIG), "north"),
            ("run-1", ABSENT, "north"),
            ("run-1", digest_of(BIG), "south"),
        ):
            assert blobs.kept_bytes(area, digest, sender=sender) == 0
            with pytest.raises(OffsetError):
                blobs.append(area, digest, [BIG[HALF:]], sender=sender, start=HALF)

    def test_of_a_senders_cut_uploads_only_the_newest_are_kept(self, blobs: BlobStore) -> None:
        """Another sender's are not touched."""
        self._cut_off(blobs, b"its own", 3, sender="south")
        sent = [b"%d: payload" % number for number in range(KEPT_OF_SENDER + 2)]
        for data in sent:
            self._cut_off(blobs, data, 4)
        kept = [blobs.kept_bytes("run-1", digest_of(data), sender="north") for data in sent]
        assert kept == [0, 0] + [4] * KEPT_OF_SENDER
        assert blobs.kept_bytes("run-1", digest_of(b"its own"), sender="south") == 3

    def test_what_is_kept_goes_with_its_area(self, blobs: BlobStore) -> None:
        """That of other areas stays."""
        self._cut_off(blobs, BIG, HALF)
        self._cut_off(blobs, BIG, HALF, area="run-2")
        blobs.drop("run-1")
        assert blobs.kept_bytes("run-1", digest_of(BIG), sender="north") == 0
        assert blobs.kept_bytes("run-2", digest_of(BIG), sender="north") == HALF

    @pytest.mark.parametrize("ends_well", [True, False])
    def test_an_upload_into_an_area_that_is_dropped_leaves_nothing(self, blobs: BlobStore, ends_well: bool) -> None:
        """Whether it is cut after that or not."""

        def chunks() -> Iterator[bytes]:
            yield BIG[:HALF]
            blobs.drop("run-1")
            yield BIG[HALF:]
            if not ends_well:
                raise ConnectionResetError("the silo went away")

        with pytest.raises(ConflictError if ends_well else ConnectionResetError):
            blobs.append("run-1", digest_of(BIG), chunks(), sender="north")
        assert blobs.kept_bytes("run-1", digest_of(BIG), sender="north") == 0
        with pytest.raises(NotFoundError):
            blobs.size_bytes("run-1", digest_of(BIG))

    def test_two_uploads_of_one_blob_at_once_do_not_mix(self, blobs: BlobStore) -> None:
        """The second is refused while the first goes on; another sender's goes its own way."""

        def chunks() -> Iterator[bytes]:
            yield BIG[:HALF]
            with pytest.raises(ConflictError):
                blobs.append("run-1", digest_of(BIG), [BIG], sender="north")
            blobs.append("run-1", digest_of(BIG), [BIG], sender="south")
            yield BIG[HALF:]

        blobs.append("run-1", digest_of(BIG), chunks(), sender="north")
        assert blobs.get("run-1", digest_of(BIG)) == BIG
