"""What is of a run is under its key alone; deleting what the key is made with closes it, and nothing else."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from tests.s3_server import opened as opened_bucket

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.earlier import seal_earlier
from septum.adapters.blobs.s3 import S3Blobs
from septum.adapters.sealing.keys import Keys, run_key
from septum.adapters.sealing.segments import MARK, FileKey, key_id_of
from septum.coordinator.areas import areas_of, is_spool
from septum.coordinator.run_keys import RunKeys
from septum.errors import DigestError, NotFoundError
from septum.protocol.plan import digest_of
from septum.testing.contracts.samples import ended_run
from septum.testing.fakes import MemoryRunStore

COMMON = FileKey(bytes(range(32)))
DATA = bytes(range(256)) * 2000
OTHER = DATA[::-1]


@pytest.fixture
def runs():
    store = MemoryRunStore()
    for name in ("r-1", "r-2"):
        store.create(ended_run(name), (), at=1.0)
    return store


def opened(root, runs, common=COMMON):
    """As after a start."""
    keys = RunKeys(runs, common).keys
    seal_earlier(root, keys)
    return DirectoryBlobs(root, keys=keys)


def key_of_file(blobs, area, digest):
    fd = os.open(blobs.stored_file(area, digest), os.O_RDONLY)
    try:
        return key_id_of(fd)
    finally:
        os.close(fd)


def run_keys(runs, *names):
    return [run_key(COMMON, name, runs.salt(name)).id for name in names]


def test_every_file_of_a_run_is_under_its_key_and_all_else_under_the_common_one(runs, tmp_path):
    blobs = opened(tmp_path, runs)
    mine, others = run_keys(runs, "r-1", "r-2")
    assert len({mine, others, COMMON.id}) == 3
    for area in areas_of("r-1"):
        assert key_of_file(blobs, area, blobs.put(area, DATA, durable=True)) == mine
        blobs.append(area, digest_of(OTHER), [OTHER], sender="north")
        assert key_of_file(blobs, area, digest_of(OTHER)) == mine
        assert (blobs.get(area, digest_of(DATA)), blobs.get(area, digest_of(OTHER))) == (DATA, OTHER)
    assert key_of_file(blobs, "models-r-2", blobs.put("models-r-2", DATA, durable=True)) == others
    for area in ("apps", "models-r-9"):  # of no run that anybody knows
        assert key_of_file(blobs, area, blobs.put(area, DATA, durable=True)) == COMMON.id


def test_with_the_common_key_alone_nothing_of_a_run_opens(runs, tmp_path):
    digest = opened(tmp_path, runs).put("models-r-1", DATA, durable=True)
    for keys in (Keys(COMMON), Keys(COMMON, lambda _: run_key(COMMON, "r-1", bytes(32)))):
        with pytest.raises(DigestError, match="under the key"):
            DirectoryBlobs(tmp_path, keys=keys).get("models-r-1", digest)


def test_what_is_shared_is_sealed_for_the_area_that_gets_it(runs, tmp_path):
    blobs = opened(tmp_path, runs)
    digest = blobs.put("models", DATA, durable=True)
    blobs.share("models", digest, "models-r-1")
    blobs.share("models-r-1", digest, "models-r-2")
    blobs.share("models-r-1", digest, "silo-models-r-1")
    areas = ("models-r-1", "models-r-2", "silo-models-r-1")
    assert [key_of_file(blobs, area, digest) for area in areas] == run_keys(runs, "r-1", "r-2", "r-1")
    assert [blobs.get(area, digest) for area in areas] == [DATA] * 3
    same = [blobs.stored_file(area, digest).stat().st_ino for area in areas]
    assert (same[0] == same[2], same[0] == same[1]) == (True, False)  # bytes are copied only where they have to be


@pytest.mark.parametrize("before", ["plain", "under the common key"])
def test_files_from_before_come_under_their_runs_keys_at_the_next_start(runs, tmp_path, before):
    old = DirectoryBlobs(tmp_path, keys=None if before == "plain" else Keys(COMMON))
    areas = (*areas_of("r-1"), "models-r-2", "apps")
    digests = {area: old.put(area, DATA + area.encode(), durable=True) for area in areas}
    rotten = old.stored_file("models-r-1", old.put("models-r-1", OTHER, durable=True))
    rotten.write_bytes(rotten.read_bytes()[:-1] + b"x")
    (tmp_path / ".sealed").touch()  # all were, under one key
    blobs = opened(tmp_path, runs)
    for area, digest in digests.items():
        wanted = COMMON.id if area == "apps" else run_keys(runs, area[-3:])[0]
        assert key_of_file(blobs, area, digest) == wanted
        assert blobs.get(area, digest) == DATA + area.encode()
    with pytest.raises(DigestError):
        blobs.get("models-r-1", digest_of(OTHER))
    assert not (tmp_path / ".sealed").exists()


def test_a_cut_upload_goes_on_under_its_runs_key_and_one_under_another_begins_anew(runs, tmp_path):
    def cut():
        yield DATA
        raise ConnectionResetError

    whole = DATA + OTHER
    with suppress(ConnectionResetError):
        DirectoryBlobs(tmp_path, keys=Keys(COMMON)).append("spool-r-1", digest_of(whole), cut(), sender="north")
    blobs = opened(tmp_path, runs)
    assert blobs.kept_bytes("spool-r-1", digest_of(whole), sender="north") == 0
    with suppress(ConnectionResetError):
        blobs.append("spool-r-1", digest_of(whole), cut(), sender="north")
    again = opened(tmp_path, runs)
    kept = again.kept_bytes("spool-r-1", digest_of(whole), sender="north")
    assert 0 < kept <= len(DATA)
    again.append("spool-r-1", digest_of(whole), [whole[kept:]], sender="north", start=kept)
    assert again.get("spool-r-1", digest_of(whole)) == whole
    assert key_of_file(again, "spool-r-1", digest_of(whole)) == run_keys(runs, "r-1")[0]


def test_after_a_shred_nothing_of_the_run_opens_or_is_stored_and_the_other_run_is_as_before(runs, tmp_path):
    made = RunKeys(runs, COMMON)
    blobs = DirectoryBlobs(tmp_path, keys=made.keys)
    for run in ("r-1", "r-2"):
        for area in areas_of(run):
            blobs.put(area, DATA, durable=True)
    runs.shred("r-1", by="ada", at=2.0)
    made.forget("r-1")
    for here in (blobs, opened(tmp_path, runs)):  # at once, and after a start
        for area in areas_of("r-1"):
            for ask in (
                lambda area=area, here=here: here.get(area, digest_of(DATA)),
                lambda area=area, here=here: here.size_bytes(area, digest_of(DATA)),
                lambda area=area, here=here: here.share(area, digest_of(DATA), "models-r-2"),
                lambda area=area, here=here: here.put(area, OTHER, durable=True),
                lambda area=area, here=here: here.append(area, digest_of(OTHER), [OTHER], sender="north"),
                lambda area=area, here=here: here.share("models-r-2", digest_of(DATA), area),
            ):
                with pytest.raises(NotFoundError, match="run r-1 was shredded by ada"):
                    ask()
        assert [here.get(area, digest_of(DATA)) for area in areas_of("r-2")] == [DATA] * 4
    for area in areas_of("r-1"):
        blobs.drop(area)
        with pytest.raises(NotFoundError):
            blobs.size_bytes(area, digest_of(DATA))


def test_a_key_that_was_being_made_while_it_was_deleted_is_not_kept(runs):
    made = RunKeys(runs, COMMON)

    class Slow:
        def salt(self, run_id):
            salt = runs.salt(run_id)
            runs.shred(run_id, by="ada", at=1.0)
            made.forget(run_id)
            return salt

    made._store = Slow()
    made.of("models-r-1")  # whoever had the salt already
    made._store = runs
    with pytest.raises(NotFoundError, match="was shredded"):
        made.of("models-r-1")


def test_a_key_is_made_once(runs, tmp_path):
    asked = []
    made = RunKeys(runs, COMMON)
    made._store = type("Counting", (), {"salt": lambda _, run: asked.append(run) or runs.salt(run)})()
    blobs = DirectoryBlobs(tmp_path, keys=made.keys)
    for number in range(20):
        blobs.get("models-r-1", blobs.put("models-r-1", b"%d" % number, durable=False))
        blobs.put("spool-r-1", b"%d" % number, durable=False)
    assert asked == ["r-1"]


def test_without_sealing_new_files_are_plain_and_sealed_ones_open(runs, tmp_path):
    digest = opened(tmp_path, runs).put("models-r-1", DATA, durable=True)
    blobs = opened(tmp_path, runs, FileKey(COMMON.key, seal_new=False))
    assert blobs.get("models-r-1", digest) == DATA
    other = blobs.put("models-r-1", OTHER, durable=True)
    assert not blobs.stored_file("models-r-1", other).read_bytes().startswith(MARK)


@pytest.mark.processes
def test_another_machine_that_takes_over_has_the_key_and_after_a_shred_opens_neither_its_cache_nor_s3(
    runs, s3, tmp_path
):
    with opened_bucket(s3.place()) as bucket:

        def machine(name):
            keys = RunKeys(runs, COMMON)  # the database is the same, and so is secrets.json
            return keys, S3Blobs(DirectoryBlobs(tmp_path / name, keys=keys.keys), bucket, is_spool)

        first_keys, first = machine("first")
        digests = {run: first.put(f"models-{run}", DATA, durable=True) for run in ("r-1", "r-2")}
        assert machine("second")[1].get("models-r-1", digests["r-1"]) == DATA
        copies = {key: b"".join(bucket.chunks(key)) for key, _ in bucket.sizes()}
        runs.shred("r-1", by="ada", at=2.0)
        first_keys.forget("r-1")
        _, second = machine("second")
        assert second._local.stored_file("models-r-1", digests["r-1"]).exists()
        for blobs in (first, second):
            with pytest.raises(NotFoundError, match="was shredded by ada"):
                blobs.get("models-r-1", digests["r-1"])
        for area in areas_of("r-1"):
            first.drop(area)
        assert {key for key, _ in bucket.sizes()} == {key for key in copies if key.startswith("models-r-2/")}
        for key, data in copies.items():
            bucket.put(key, data)  # an old version, say
        _, third = machine("third")
        with pytest.raises(NotFoundError):
            third.get("models-r-1", digests["r-1"])
        assert not third._local.stored_file("models-r-1", digests["r-1"]).exists()
        assert third.get("models-r-2", digests["r-2"]) == DATA


@pytest.mark.parametrize("chunks", [[DATA], [DATA[:5], DATA[5:20], DATA[20:]], [b"abc"]], ids=["whole", "cut", "tiny"])
def test_what_another_machine_keeps_in_the_clear_is_sealed_here(runs, tmp_path, chunks):
    """Objects that were in S3 before there was a key: the cache on this machine's disk is not in the clear."""
    blobs, whole = opened(tmp_path, runs), b"".join(chunks)
    for area, wanted in (("models-r-1", run_keys(runs, "r-1")[0]), ("apps", COMMON.id)):
        with pytest.raises(DigestError):
            blobs.adopt(area, digest_of(OTHER), chunks)
        blobs.adopt(area, digest_of(whole), chunks)
        assert key_of_file(blobs, area, digest_of(whole)) == wanted
        assert blobs.get(area, digest_of(whole)) == whole
    runs.shred("r-2", by="ada", at=2.0)
    with pytest.raises(NotFoundError, match="was shredded"):
        blobs.adopt("models-r-2", digest_of(whole), chunks)
    assert not blobs.stored_file("models-r-2", digest_of(whole)).exists()
    as_they_are = opened(tmp_path / "other", runs, FileKey(COMMON.key, seal_new=False))
    as_they_are.adopt("apps", digest_of(whole), chunks)
    assert key_of_file(as_they_are, "apps", digest_of(whole)) is None
