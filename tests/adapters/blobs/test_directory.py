"""Are blobs in a directory whole, private, durable when asked, and cheap in memory?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.adapters.blobs.cut import FOLDER
from septum.adapters.blobs.directory import INCOMING, DirectoryBlobs
from septum.adapters.blobs.writing import COLLECTED_BYTES, EARLY_BYTES, Digester, PlainFile, write
from septum.errors import DigestError, NotFoundError, SeptumError
from septum.protocol.plan import digest_of

MIB = 1024 * 1024


def files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_blob_lies_at_its_area_and_digest(tmp_path):
    digest = DirectoryBlobs(tmp_path).put("models", b"abc", durable=False)
    name = digest.removeprefix("blake3:")
    assert files(tmp_path) == [f"models/{name[:2]}/{name}"]


def test_rotten_bytes_are_never_returned(tmp_path):
    blobs = DirectoryBlobs(tmp_path)
    digest = blobs.put("models", b"abc", durable=False)
    blobs.stored_file("models", digest).write_bytes(b"abd")
    with pytest.raises(DigestError, match=f"{digest.removeprefix('blake3:')} has rotted"):
        blobs.get("models", digest)


def test_putting_the_right_bytes_again_mends_a_rotten_blob(tmp_path):
    blobs = DirectoryBlobs(tmp_path)
    digest = blobs.put("run-1", b"abc", durable=False)
    blobs.stored_file("run-1", digest).write_bytes(b"")  # what a power loss leaves of a blob that was not durable
    blobs.put("run-1", b"abc", durable=False)
    assert blobs.get("run-1", digest) == b"abc"


def test_nobody_else_may_read_blobs(tmp_path):
    before = os.umask(0)
    try:
        DirectoryBlobs(tmp_path / "blobs").put("models", b"abc", durable=True)
    finally:
        os.umask(before)
    paths = [tmp_path / "blobs", *(tmp_path / "blobs").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


def test_a_refused_or_cut_upload_leaves_no_file(tmp_path):
    blobs = DirectoryBlobs(tmp_path)
    with pytest.raises(DigestError):
        blobs.put("models", b"abc", durable=False, digest=digest_of(b"abd"))
    with pytest.raises(ZeroDivisionError):
        blobs.put("models", (b"x" * MIB * (1 // (2 - n)) for n in range(3)), durable=False)
    assert files(tmp_path) == []


def test_memory_does_not_grow_with_the_blob(tmp_path):
    blobs = DirectoryBlobs(tmp_path)
    chunk = bytes(64 * 1024)
    tracemalloc.start()
    try:
        digest = blobs.put("models", (chunk for _ in range(48 * 16)), durable=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert blobs.size_bytes("models", digest) == 48 * MIB
    assert peak < 4 * MIB


@pytest.mark.parametrize("durable", [False, True])
def test_durable_means_synced_before_and_after_it_gets_its_name(tmp_path, monkeypatch, durable):
    blobs = DirectoryBlobs(tmp_path)
    happened = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(fd):
        happened.append(Path(os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    def note_rename(source, target):
        rename(source, target)
        happened.append("renamed")

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    path = blobs.stored_file("models", blobs.put("models", b"abc", durable=durable))
    if not durable:
        assert happened == ["renamed"]
        return
    (written, renamed, *folders) = happened
    assert (written.parent, renamed) == (tmp_path / INCOMING, "renamed")
    assert folders == [path.parent, path.parents[1], tmp_path]
    happened.clear()
    blobs.put("models", b"abc", durable=True)
    assert happened[1:] == ["renamed", path.parent]  # the folders' own entries are there already
    blobs.drop("models")
    happened.clear()
    blobs.put("models", b"abc", durable=True)
    assert happened[2:] == [path.parent, path.parents[1], tmp_path]


KILLED = """
import os, signal, sys
from pathlib import Path
from septum.adapters.blobs.directory import DirectoryBlobs
blobs = DirectoryBlobs(Path(sys.argv[1]))
print(blobs.put("models", b"whole", durable=False), flush=True)
def stream():
    yield b"x" * (3 << 20)
    os.kill(os.getpid(), signal.SIGKILL)
blobs.put("models", stream(), durable=True)
"""


@pytest.mark.processes
def test_a_kill_in_the_middle_of_an_upload_leaves_what_was_put_before_and_nothing_else(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -9
    assert len(files(tmp_path)) == 2  # the blob, and the rest of the cut one
    blobs = DirectoryBlobs(tmp_path)
    assert blobs.get("models", done.stdout.strip()) == b"whole"
    assert len(files(tmp_path)) == 1


def test_a_drop_that_was_cut_short_is_finished_at_the_next_start(tmp_path):
    blobs = DirectoryBlobs(tmp_path)
    digest = blobs.put("run-1", b"abc", durable=False)
    (tmp_path / "run-1").rename(tmp_path / INCOMING / "drop-1")
    with pytest.raises(NotFoundError):
        DirectoryBlobs(tmp_path).get("run-1", digest)
    assert files(tmp_path) == []


FULL = """
import resource, sys
from pathlib import Path
from septum.adapters.blobs.directory import DirectoryBlobs
from septum.errors import SeptumError
blobs = DirectoryBlobs(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    blobs.put("models", b"x" * (3 << 20), durable=False)
except SeptumError as error:
    print(error.message, "|", error.hint)
print(blobs.get("models", blobs.put("models", b"small", durable=True)))
"""


@pytest.mark.processes
def test_when_no_more_can_be_written_the_error_says_where_and_no_piece_stays(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True)
    message, small = done.stdout.splitlines()
    assert message.startswith(f"could not store a blob in 'models' under {tmp_path}: File too large | df -h {tmp_path}")
    assert small == "b'small'"
    assert len(files(tmp_path)) == 1


def test_a_root_that_cannot_be_a_directory_is_named(tmp_path):
    (tmp_path / "blobs").write_text("")
    with pytest.raises(SeptumError, match=str(tmp_path / "blobs")):
        DirectoryBlobs(tmp_path / "blobs")


def test_a_root_that_vanished_is_an_error_and_not_an_endless_search(tmp_path):
    blobs = DirectoryBlobs(tmp_path / "blobs")
    shutil.rmtree(tmp_path / "blobs")
    with pytest.raises(SeptumError, match=str(tmp_path / "blobs")):
        blobs.put("models", b"abc", durable=False)


# --- uploads that were cut ---


def cut(*chunks):
    yield from chunks
    raise ConnectionResetError("cut")


def cut_off(blobs, data, came, area="run-1", sender="north"):
    with pytest.raises(ConnectionResetError):
        blobs.append(area, digest_of(data), cut(data[:came]), sender=sender)


DATA = bytes(range(256)) * 20_000  # 5 MB
HALF = len(DATA) // 2


def test_a_cut_upload_goes_on_after_a_restart(tmp_path):
    cut_off(DirectoryBlobs(tmp_path), DATA, HALF)
    blobs = DirectoryBlobs(tmp_path)
    assert blobs.kept_bytes("run-1", digest_of(DATA), sender="north") == HALF
    blobs.append("run-1", digest_of(DATA), [DATA[HALF:]], sender="north", start=HALF)
    assert blobs.get("run-1", digest_of(DATA)) == DATA
    assert len(files(tmp_path)) == 1


KILLED_APPENDING = """
import os, signal, sys
from pathlib import Path
from septum.adapters.blobs.directory import DirectoryBlobs
def stream():
    yield b"x" * (3 << 20)
    yield b"y" * (1 << 20)  # the one before is written when this is asked for
    os.kill(os.getpid(), signal.SIGKILL)
DirectoryBlobs(Path(sys.argv[1])).append("run-1", sys.argv[2], stream(), sender="north")
"""


@pytest.mark.processes
def test_a_kill_in_the_middle_of_an_upload_leaves_what_came(tmp_path):
    data = b"x" * (3 << 20) + b"y" * (2 << 20)
    command = [sys.executable, "-c", KILLED_APPENDING, str(tmp_path), digest_of(data)]
    assert subprocess.run(command, check=False).returncode == -9
    blobs = DirectoryBlobs(tmp_path)
    kept = blobs.kept_bytes("run-1", digest_of(data), sender="north")
    assert kept >= 3 << 20
    blobs.append("run-1", digest_of(data), [data[kept:]], sender="north", start=kept)
    assert blobs.get("run-1", digest_of(data)) == data


def test_a_part_whose_end_a_power_loss_took_is_found_out_and_goes(tmp_path):
    cut_off(DirectoryBlobs(tmp_path), DATA, HALF)
    (part,) = (path for path in tmp_path.rglob("*") if path.is_file())
    part.write_bytes(DATA[: HALF - 100] + bytes(100))  # as a file system does whose data came after its metadata
    blobs = DirectoryBlobs(tmp_path)
    with pytest.raises(DigestError):
        blobs.append("run-1", digest_of(DATA), [DATA[HALF:]], sender="north", start=HALF)
    assert files(tmp_path) == []


def test_the_bytes_that_came_before_are_digested_once(tmp_path, monkeypatch):
    blobs = DirectoryBlobs(tmp_path)
    cut_off(blobs, DATA, HALF)
    monkeypatch.setattr(os, "preadv", None)  # reading them back is what takes it
    blobs.append("run-1", digest_of(DATA), [DATA[HALF:]], sender="north", start=HALF)


def test_cut_uploads_are_kept_up_to_a_bound_and_the_oldest_go_first(tmp_path):
    blobs, senders = DirectoryBlobs(tmp_path, kept_bytes=3 * MIB), [f"silo-{number}" for number in range(5)]
    for sender in senders:
        cut_off(blobs, DATA, MIB, sender=sender)
    kept = [blobs.kept_bytes("run-1", digest_of(DATA), sender=sender) for sender in senders]
    assert kept == [0, 0, MIB, MIB, MIB]
    assert len(files(tmp_path)) == 3
    again = DirectoryBlobs(tmp_path, kept_bytes=2 * MIB)
    assert [again.kept_bytes("run-1", digest_of(DATA), sender=sender) for sender in senders[2:]] == [0, MIB, MIB]
    assert len(files(tmp_path)) == 2


@pytest.mark.processes
def test_an_upload_for_which_there_is_no_room_leaves_nothing_in_the_way(tmp_path):
    append = 'blobs.append("models", "blake3:" + "0" * 64, [b"x" * (3 << 20)], sender="north")'
    code = FULL.replace('blobs.put("models", b"x" * (3 << 20), durable=False)', append)
    assert append in code
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.startswith("could not store a blob in 'models'")
    assert len(files(tmp_path)) == 1  # the small one


def test_memory_does_not_grow_with_an_upload_that_goes_on_after_a_restart(tmp_path):
    chunk = bytes(64 * 1024)
    digest = DirectoryBlobs(tmp_path / "other").put("models", (chunk for _ in range(48 * 16)), durable=False)
    with pytest.raises(ConnectionResetError):
        DirectoryBlobs(tmp_path).append("run-1", digest, cut(*[chunk] * (24 * 16)), sender="north")
    blobs = DirectoryBlobs(tmp_path)
    tracemalloc.start()
    try:
        rest = (chunk for _ in range(24 * 16))
        blobs.append("run-1", digest, rest, sender="north", start=24 * MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert blobs.size_bytes("run-1", digest) == 48 * MIB
    assert peak < 4 * MIB


def test_a_dropped_area_leaves_no_folder_of_cut_uploads(tmp_path):
    blobs = DirectoryBlobs(tmp_path)
    cut_off(blobs, DATA, HALF)
    blobs.drop("run-1")
    assert [path.name for path in tmp_path.rglob("*") if path.name not in (INCOMING, FOLDER)] == []


# --- writing ---


@given(sizes=st.lists(st.sampled_from([0, 1, 1000, COLLECTED_BYTES - 1, COLLECTED_BYTES, MIB - 1, MIB, 2 * MIB + 7])))
def test_chunks_of_any_size_are_written_and_digested_in_their_order(tmp_path_factory, sizes):
    chunks = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    path, digester = tmp_path_factory.mktemp("write") / "file", Digester()
    with path.open("wb", buffering=0) as file:
        write(PlainFile(file.fileno()), iter(chunks), digester, limit=0, guard=nullcontext)
    data = b"".join(chunks)
    assert path.read_bytes() == data
    assert (digester.digest, digester.size_bytes) == (digest_of(data), len(data))


@pytest.mark.parametrize("durable", [True, False])
def test_what_has_to_be_on_the_disk_at_the_end_begins_to_go_there_before(tmp_path, monkeypatch, durable):
    begun, synced = [], []
    fsync = os.fsync
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, size, advice: begun.append((start, size, advice)))
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(len(begun)), fsync(fd)))
    blobs = DirectoryBlobs(tmp_path)
    synced.clear()
    blobs.put("models", (bytes(MIB) for _ in range(2 * EARLY_BYTES // MIB + 1)), durable=durable)
    expected = [(n * EARLY_BYTES, EARLY_BYTES, os.POSIX_FADV_DONTNEED) for n in range(2)]
    assert begun == (expected if durable else [])
    assert synced[:1] == ([2] if durable else [])


def test_what_is_fetched_while_its_area_is_dropped_is_not_there_afterwards(tmp_path):
    blobs = DirectoryBlobs(tmp_path)
    digest = digest_of(b"of a shredded run")

    def coming():
        yield b"of a "
        blobs.drop("models-r-1")
        yield b"shredded run"

    with pytest.raises(NotFoundError, match="there is no blob"):
        blobs.adopt("models-r-1", digest, coming())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    blobs.adopt("models-r-1", digest, [b"of a shredded run"])  # who uses the area again may
    assert blobs.get("models-r-1", digest) == b"of a shredded run"
