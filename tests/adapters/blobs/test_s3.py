"""Are blobs in S3 there for the next machine, whole, and is it said in one sentence when S3 does not do its part?

Against moto's server over HTTP; what is slow, broken, missing or changed is really so.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest
from tests.s3_server import ALONE, KEYS_A_PAGE, Dropped, Front, Refused, Spoilt, opened

from septum.adapters.blobs import s3_bucket
from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.s3 import S3Blobs, key_of
from septum.adapters.blobs.s3_bucket import PART_BYTES, S3Place
from septum.adapters.blobs.s3_cache import MARK, begin, refuse_cache
from septum.adapters.blobs.s3_sizes import HOLDS_S, S3Sizes
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import FileKey
from septum.errors import ConfigError, DigestError, NotFoundError, StorageError
from septum.ports.blobs import AwayError
from septum.protocol.plan import digest_of
from septum.testing.network import Line, NetworkProxy, Passage

pytestmark = pytest.mark.processes

BIG = bytes(range(256)) * (PART_BYTES // 128) + b"end"  # two parts and three bytes


def is_volatile(area):
    return area.startswith("spool-")


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def front(s3):
    with Front(s3.url) as front:
        yield front


@pytest.fixture
def bucket(s3, stack):
    """As it is behind the front."""
    return stack.enter_context(opened(s3.place()))


@pytest.fixture
def machine(bucket, front, stack, tmp_path):
    """Makes a machine of its own: a store whose requests pass the front. Opened as a coordinator does."""

    def make(name="first", place=None, keys=None):
        mine = stack.enter_context(opened(place or replace(bucket.place, endpoint=front.url)))
        folder = tmp_path / name
        local = DirectoryBlobs(folder, keys=keys)
        begin(folder, local, mine, is_volatile)
        front.asked.clear()
        return S3Blobs(local, mine, is_volatile)

    return make


def keys(bucket):
    return [key for key, _ in bucket.sizes() if not key.startswith("septum-")]


def read(blobs, area, digest):
    with blobs.open(area, digest) as opened:
        return b"".join(opened.chunks())


def uploads(bucket):
    client = bucket._client  # what its methods hide is looked at
    found = client.list_multipart_uploads(Bucket=bucket.place.bucket, Prefix=bucket.place.prefix)
    return found.get("Uploads", [])


def every_third(asked):
    return Refused(503, "SlowDown") if asked.number % 3 == 2 else None


# --- what is kept where ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"abc", BIG], ids=["empty", "small", "in parts"])
def test_what_is_durable_is_there_for_another_machine(machine, data):
    first = machine()
    digest = first.put("models", data, durable=True)
    second = machine("second")
    assert second.size_bytes("models", digest) == len(data)
    assert read(second, "models", digest) == data
    assert second.get("models", digest) == data


def test_what_is_shared_for_good_is_there_for_another_machine_and_payloads_are_not(machine, bucket):
    first = machine()
    payload = first.put("spool-r1", b"payload", durable=False)
    first.append("spool-r1", digest_of(b"sent"), [b"sent"], sender="north")
    assert keys(bucket) == []
    first.share("spool-r1", payload, "silo-models-r1")
    second = machine("second")
    assert second.get("silo-models-r1", payload) == b"payload"
    with pytest.raises(NotFoundError):
        second.get("spool-r1", payload)


def test_nobody_asks_s3_for_payloads_nor_twice_for_a_model(machine, front):
    first = machine()
    digest = first.put("models", b"model", durable=True)
    second = machine("second")
    second.append("spool-r1", digest_of(b"sent"), [b"sent"], sender="north")
    for call in (second.get, partial(read, second), second.size_bytes):
        with pytest.raises(NotFoundError):
            call("spool-r1", digest)
    second.discard("spool-r1", [digest_of(b"sent")])
    second.drop("spool-r1")
    assert front.asked == []
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: second.get("models", digest), range(24))) == {b"model"}
    assert [one.method for one in front.asked] == ["GET"]


def test_thousands_of_sizes_are_asked_for_at_once(machine, front):
    first = machine()
    digests = [first.put("models", b"%d" % number, durable=True) for number in range(12)]
    second = machine("second")
    assert [second.size_bytes("models", digest) for digest in digests] == [1] * 10 + [2] * 2
    pages = -(-12 // KEYS_A_PAGE)
    assert [one.method for one in front.asked] == ["GET"] * pages
    second.discard("models", digests[:11])
    with pytest.raises(NotFoundError):
        second.size_bytes("models", digests[0])
    assert second.size_bytes("models", digests[11]) == 2


def test_sizes_are_listed_anew_after_a_while(bucket):
    now = [0.0]
    sizes = S3Sizes(bucket, lambda: now[0])
    assert sizes.of("models", "models/a") is None
    bucket.put("models/a", b"abc")
    now[0] = HOLDS_S - 1
    assert sizes.of("models", "models/a") is None
    now[0] = HOLDS_S
    assert sizes.of("models", "models/a") == 3


def test_what_is_discarded_or_dropped_is_gone_from_s3_however_much_it_is(machine, bucket, monkeypatch):
    monkeypatch.setattr(s3_bucket, "KEYS_A_REQUEST", 3)
    first = machine()
    digests = [first.put("models", b"%d" % number, durable=True) for number in range(8)]
    other = first.put("optimizer-r1", b"state", durable=True)
    first.discard("models", digests[:7])
    assert keys(bucket) == [key_of("models", digests[7]), key_of("optimizer-r1", other)]
    for number in range(8):
        first.put("optimizer-r1", b"%d" % number, durable=True)  # the server lists five at one time
    first.drop("optimizer-r1")
    assert keys(bucket) == [key_of("models", digests[7])]
    with pytest.raises(NotFoundError):
        first.get("optimizer-r1", other)


def test_memory_does_not_grow_with_the_blob(machine, bucket):
    first, chunk = machine(place=bucket.place), bytes(64 * 1024)
    tracemalloc.start()
    try:
        digest = first.put("models", (chunk for _ in range(96 * 16)), durable=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert first.size_bytes("models", digest) == 96 * 2**20
    assert peak < (s3_bucket.PARTS_AT_ONCE + 1) * PART_BYTES + 4 * 2**20


KEYS = Keys(FileKey(bytes(range(32))))


@pytest.mark.parametrize("data", [b"abc", BIG], ids=["small", "in parts"])
def test_sealed_files_are_sealed_objects_and_another_machine_with_the_keys_reads_them(machine, bucket, data):
    digest = machine(keys=KEYS).put("models", data, durable=True)
    sealed = bucket.get(key_of("models", digest))
    assert len(sealed) > len(data)
    assert data[:1000] not in sealed
    second = machine("second", keys=KEYS)
    assert read(second, "models", digest) == data
    bucket.put(key_of("models", digest), sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises((DigestError, StorageError)):
        machine("third", keys=KEYS).get("models", digest)


# --- S3 that is slow, broken, wrong ------------------------------------------------------------------------------


def test_every_third_call_may_fail(machine, front, bucket):
    first = machine()
    front.meddle = every_third
    digests = [first.put("models", data, durable=True) for data in (b"abc", BIG, b"def")]
    second = machine("second")
    assert [second.get("models", digest) for digest in digests] == [b"abc", BIG, b"def"]
    second.discard("models", digests)
    assert keys(bucket) == []
    assert any(every_third(one) for one in front.asked)


def test_a_download_that_is_cut_goes_on_where_it_was_cut(machine, front):
    digest = machine().put("models", BIG, durable=True)
    second = machine("second")
    front.meddle = lambda _: Dropped(after=5_000_000)
    assert read(second, "models", digest) == BIG
    assert len(front.asked) == -(-len(BIG) // 5_000_000)


def test_a_slow_line_is_waited_for(bucket, stack, tmp_path, s3):
    proxy = stack.enter_context(NetworkProxy(int(s3.url.rpartition(":")[2]), Line(latency_s=0.1, bytes_per_s=2**23)))
    mine = stack.enter_context(opened(replace(bucket.place, endpoint=f"http://127.0.0.1:{proxy.port}")))
    blobs = S3Blobs(DirectoryBlobs(tmp_path / "blobs"), mine)
    digest = blobs.put("models", BIG, durable=True)
    assert dict(bucket.sizes()) == {key_of("models", digest): len(BIG)}


def test_a_line_on_which_nothing_comes_back_is_given_up(bucket, stack, tmp_path, s3, monkeypatch):
    monkeypatch.setattr(s3_bucket, "SILENCE_S", 0.3)
    monkeypatch.setattr(s3_bucket, "TRIES", 2)
    monkeypatch.setattr(s3_bucket, "QUICK_S", 0.3)
    proxy = stack.enter_context(NetworkProxy(int(s3.url.rpartition(":")[2])))
    mine = stack.enter_context(opened(replace(bucket.place, endpoint=f"http://127.0.0.1:{proxy.port}")))
    blobs = S3Blobs(DirectoryBlobs(tmp_path / "blobs"), mine)
    proxy.become(Line(passage=Passage.HALF_OPEN))
    with pytest.raises(AwayError, match=rf"could not store models/.* in {bucket.place.url}: .*[Tt]imeout") as caught:
        blobs.put("models", b"abc", durable=True)
    assert caught.value.hint.startswith(f"aws s3 ls {bucket.place.url}/ --endpoint-url http://127.0.0.1:")
    with pytest.raises(AwayError):  # there is room, but what would be put there
        blobs.free_bytes()
    proxy.heal()
    assert blobs.free_bytes() > 0
    assert blobs.put("models", b"abc", durable=True) == digest_of(b"abc")


def test_what_s3_does_not_take_is_not_stored_here_either(machine, front):
    first = machine()
    front.meddle = lambda _: Refused(403, "AccessDenied")
    with pytest.raises(StorageError, match="AccessDenied, as the test wants") as caught:
        first.put("models", b"abc", durable=True)
    assert "s3:PutObject" in caught.value.hint
    front.meddle = lambda _: None
    for ask in (first.get, partial(read, first), first.size_bytes):
        with pytest.raises(NotFoundError):
            ask("models", digest_of(b"abc"))


def test_what_cannot_be_removed_from_s3_stays_here(machine, front):
    first = machine()
    digest = first.put("models", b"abc", durable=True)
    front.meddle = lambda _: Refused(403, "AccessDenied")
    for forget in (lambda: first.discard("models", [digest]), lambda: first.drop("models")):
        with pytest.raises(AwayError):
            forget()
        assert first.get("models", digest) == b"abc"


def test_s3_that_is_away_is_no_reason_to_say_that_a_blob_is_lost(machine, front, monkeypatch):
    monkeypatch.setattr(s3_bucket, "TRIES", 1)
    digest = machine().put("models", b"abc", durable=True)
    second = machine("second")
    front.meddle = lambda _: Refused(500)
    for ask in (second.get, partial(read, second), second.size_bytes):
        with pytest.raises(AwayError):
            ask("models", digest)
    front.meddle = lambda _: None
    assert second.get("models", digest) == b"abc"


def test_bytes_that_arrive_changed_are_refused_by_s3(machine, front, bucket):
    first = machine()
    front.meddle = lambda asked: Spoilt() if asked.body else None
    with pytest.raises(AwayError, match="BadDigest"):
        first.put("models", b"abc", durable=True)
    assert keys(bucket) == []


@pytest.mark.parametrize("data", [b"abd", b"ab", b"abc "], ids=["changed", "shorter", "longer"])
def test_an_object_that_has_changed_is_never_read(machine, bucket, data, tmp_path):
    digest = machine().put("models", b"abc", durable=True)
    bucket.put(key_of("models", digest), data)
    second = machine("second")
    for ask in (second.get, partial(read, second)):
        with pytest.raises(DigestError, match=f"{bucket.place.url}/models/.* has changed"):
            ask("models", digest)
    assert [path.name for path in (tmp_path / "second").rglob("*") if path.is_file()] == [MARK]


def test_an_object_that_is_missing_is_not_found(machine, bucket):
    digest = machine().put("models", b"abc", durable=True)
    bucket.remove([key_of("models", digest)])
    second = machine("second")
    for ask in (second.get, partial(read, second), second.size_bytes):
        with pytest.raises(NotFoundError, match=digest):
            ask("models", digest)


def test_a_file_that_rotted_here_is_fetched_again(machine):
    first = machine()
    digest = first.put("models", b"abc", durable=True)
    first._local.stored_file("models", digest).write_bytes(b"abd")
    assert first.get("models", digest) == b"abc"
    assert read(first, "models", digest) == b"abc"


# --- parts -------------------------------------------------------------------------------------------------------


def test_an_upload_whose_part_fails_leaves_nothing(machine, front, bucket):
    first = machine()
    front.meddle = lambda asked: Refused(403, "AccessDenied") if "partNumber=2" in asked.target else None
    with pytest.raises(AwayError, match="could not store part 2 of models/"):
        first.put("models", BIG, durable=True)
    assert (keys(bucket), uploads(bucket)) == ([], [])
    front.meddle = lambda _: None
    first.put("models", BIG, durable=True)
    assert dict(bucket.sizes("models/")) == {key_of("models", digest_of(BIG)): len(BIG)}


KILLED = """
import sys
from pathlib import Path
from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.s3 import S3Blobs
from septum.adapters.blobs.s3_bucket import Bucket, S3Place
blobs = S3Blobs(DirectoryBlobs(Path(sys.argv[1])), Bucket(S3Place(*sys.argv[2:])))
data = bytes(range(256)) * int(sys.stdin.readline())
print(blobs.put("models", data, durable=True), flush=True)
"""


@pytest.mark.parametrize(
    ("size", "at"), [(1, "PUT"), (2**17, "POST .*uploads"), (2**17, "partNumber=3"), (2**17, "POST .*uploadId")]
)
def test_a_kill_while_something_is_put_leaves_it_whole_or_not_there(machine, front, bucket, tmp_path, size, at):
    place = replace(bucket.place, endpoint=front.url)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "first"), place.bucket, place.prefix, place.endpoint]
    machine()
    with subprocess.Popen([*command, place.region], stdin=subprocess.PIPE, env=ALONE, text=True) as process:

        def kill(asked):
            if re.search(at, f"{asked.method} {asked.target}"):
                process.kill()
                process.wait()

        front.meddle = kill  # it is done all the same, and nobody hears of it
        process.communicate(f"{size}\n")
        assert process.returncode == -9
    front.settle()
    front.meddle = lambda _: None
    data = bytes(range(256)) * size
    for name in ("first", "second"):  # started again, or another one in its place
        blobs = machine(name)
        assert uploads(bucket) == []
        try:
            assert blobs.get("models", digest_of(data)) == data
        except NotFoundError:
            assert at in ("POST .*uploads", "partNumber=3")
    assert blobs.put("models", data, durable=True) == digest_of(data)
    assert dict(bucket.sizes("models/")) == {key_of("models", digest_of(data)): len(data)}


# --- whose cache it is -------------------------------------------------------------------------------------------


def test_started_again_a_machine_keeps_what_it_has(machine, front):
    blobs = machine()
    digest, payload = blobs.put("models", b"abc", durable=True), blobs.put("spool-r1", b"p", durable=False)
    again = machine()
    assert (again.get("models", digest), again.get("spool-r1", payload)) == (b"abc", b"p")
    assert front.asked == []


def test_what_another_machine_discarded_meanwhile_is_not_there_any_more(machine):
    first = machine()
    digest, payload = first.put("models", b"abc", durable=True), first.put("spool-r1", b"p", durable=False)
    kept = first.put("models", b"kept", durable=True)
    machine("second").discard("models", [digest])
    back = machine()
    with pytest.raises(NotFoundError):
        back.size_bytes("models", digest)
    with pytest.raises(NotFoundError):  # of a run that may have ended meanwhile
        back.get("spool-r1", payload)
    assert back.get("models", kept) == b"kept"


def test_a_directory_that_was_there_before_s3_is_moved_there(machine, tmp_path, bucket):
    local = DirectoryBlobs(tmp_path / "first")
    digest, payload = local.put("models", b"abc", durable=True), local.put("spool-r1", b"p", durable=False)
    first = machine()
    assert keys(bucket) == [key_of("models", digest)]
    assert first.get("spool-r1", payload) == b"p"
    assert machine("second").get("models", digest) == b"abc"


def test_a_place_that_lost_everything_gets_it_again_from_a_machine_that_has_it(machine, bucket):
    digest = machine().put("models", b"abc", durable=True)
    bucket.remove([key for key, _ in bucket.sizes()])
    assert machine().get("models", digest) == b"abc"
    assert keys(bucket) == [key_of("models", digest)]


def test_a_cache_belongs_to_one_place(machine, bucket, front, tmp_path):
    machine()
    other = replace(bucket.place, endpoint=front.url, prefix="other")
    with pytest.raises(ConfigError, match=f"holds a part of what is in {bucket.place.url}") as caught:
        machine(place=other)
    assert caught.value.hint.startswith(f"aws s3 sync {bucket.place.url} s3://{other.bucket}/other; then rm ")
    with pytest.raises(ConfigError, match=f"are in {bucket.place.url}, and there is no") as caught:
        refuse_cache(tmp_path / "first")
    assert f"aws s3 sync {bucket.place.url} {tmp_path / 'first'}" in caught.value.hint
    refuse_cache(tmp_path / "never")


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (404, "NoSuchBucket", "bucket = ..."),
        (403, "AccessDenied", "s3:ListBucket"),
        (403, "InvalidAccessKeyId", "aws sts get-caller-identity"),
        (403, "SignatureDoesNotMatch", "aws sts get-caller-identity"),
        (400, "AuthorizationHeaderMalformed", "region = ..."),
    ],
)
def test_wrong_settings_are_refused_when_it_begins(machine, front, status, code, hint):
    front.meddle = lambda _: Refused(status, code)
    with pytest.raises(ConfigError, match=rf"could not list what is there in s3://.*: {code}") as caught:
        machine()
    assert hint in caught.value.hint


def test_a_bucket_that_is_not_there_is_refused_when_it_begins(machine, s3):
    with pytest.raises(ConfigError, match="in s3://septum-blabs: NoSuchBucket"):
        machine(place=S3Place("septum-blabs", endpoint=s3.url, region="eu-central-1"))


def test_without_the_right_to_write_it_does_not_begin(machine, front):
    front.meddle = lambda asked: Refused(403, "AccessDenied") if asked.method == "PUT" else None
    with pytest.raises(ConfigError, match="could not store septum-cache in s3://"):
        machine()


def test_without_credentials_it_does_not_begin(bucket, tmp_path):
    with opened(bucket.place), pytest.MonkeyPatch.context() as patch:
        for name in ALONE:
            if "KEY" in name:
                patch.delenv(name)
        s3_bucket._session.cache_clear()
        mine = s3_bucket.Bucket(bucket.place)
        with pytest.raises(ConfigError, match="no credentials were found") as caught:
            begin(tmp_path, DirectoryBlobs(tmp_path), mine, is_volatile)
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint
        mine.close()
    s3_bucket._session.cache_clear()


def test_s3_that_is_away_for_a_moment_is_no_wrong_setting(machine, front, monkeypatch):
    monkeypatch.setattr(s3_bucket, "TRIES", 1)
    front.meddle = lambda _: Refused(503, "SlowDown")
    with pytest.raises(AwayError, match="SlowDown"):
        machine()
