"""Do discarded blobs give way to the next uploads, and to nobody's harm?"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from septum.adapters.blobs import leftovers
from septum.adapters.blobs.directory import INCOMING, DirectoryBlobs
from septum.errors import NotFoundError
from septum.protocol.plan import digest_of

MIB = 1024 * 1024
OLD, NEW = b"o" * (3 * MIB), b"n" * (4 * MIB)
RUN = "run-1"


def left(root):
    return [path for path in (root / INCOMING).iterdir() if path.is_file()]


def pieces(data, see=lambda: None):
    for start in range(0, len(data), MIB):
        yield data[start : start + MIB]
        see()


def upload(blobs, data, see=lambda: None):
    blobs.append(RUN, digest_of(data), pieces(data, see), sender="a")
    return digest_of(data)


def discarded(root):
    blobs = DirectoryBlobs(root)
    blobs.discard(RUN, [upload(blobs, OLD)])
    return blobs


def test_a_discarded_blob_shrinks_while_the_next_one_comes_and_is_then_gone(tmp_path):
    blobs, sizes = discarded(tmp_path), []
    upload(blobs, NEW, lambda: sizes.append([path.stat().st_size for path in left(tmp_path)]))
    assert sizes == [[2 * MIB], [1 * MIB], [0], [0]]
    assert blobs.get(RUN, digest_of(NEW)) == NEW
    assert left(tmp_path) == []


def test_a_discarded_blob_is_not_there_any_more(tmp_path):
    blobs = discarded(tmp_path)
    with pytest.raises(NotFoundError):
        blobs.size_bytes(RUN, digest_of(OLD))


@pytest.mark.parametrize("when", ["before it is discarded", "after it was linked"])
def test_who_reads_a_discarded_blob_reads_all_of_it(tmp_path, when):
    blobs = DirectoryBlobs(tmp_path / "blobs")
    digest = upload(blobs, OLD)
    path, link = blobs.stored_file(RUN, digest), tmp_path / "link"
    if when == "after it was linked":  # as a backup does
        os.link(path, link)
        path = link
    with path.open("rb") as reader:
        blobs.discard(RUN, [digest])
        upload(blobs, NEW)
        assert reader.read() == OLD
    assert left(tmp_path / "blobs") == []


KILLED = """
import os, signal, sys
from pathlib import Path
from septum.adapters.blobs.directory import DirectoryBlobs
from septum.protocol.plan import digest_of
old, new = b"o" * (3 << 20), b"n" * (4 << 20)
blobs = DirectoryBlobs(Path(sys.argv[1]))
blobs.append("run-1", digest_of(old), [old], sender="a")
blobs.discard("run-1", [digest_of(old)])
def stream():
    for start in (0, 1 << 20):
        yield new[start:start + (1 << 20)]
    os.kill(os.getpid(), signal.SIGKILL)
blobs.append("run-1", digest_of(new), stream(), sender="a")
"""


@pytest.mark.processes
def test_after_a_kill_no_byte_of_the_old_blob_shows_in_the_new_one(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert [path.stat().st_size for path in left(tmp_path)] == [MIB]
    blobs = DirectoryBlobs(tmp_path)
    assert left(tmp_path) == []
    digest = digest_of(NEW)
    assert blobs.kept_bytes(RUN, digest, sender="a") == 2 * MIB
    blobs.append(RUN, digest, pieces(NEW[2 * MIB :]), sender="a", start=2 * MIB)
    assert blobs.get(RUN, digest) == NEW


@pytest.mark.parametrize(("area", "stay"), [(RUN, 0), ("run-2", 1)])
def test_what_is_left_of_a_run_goes_with_it(tmp_path, area, stay):
    blobs = discarded(tmp_path)
    blobs.drop(area)
    assert len(left(tmp_path)) == stay


def test_blobs_of_one_run_give_way_to_no_other(tmp_path):
    blobs = discarded(tmp_path)
    blobs.append("run-2", digest_of(NEW), pieces(NEW), sender="a")
    assert [path.stat().st_size for path in left(tmp_path)] == [3 * MIB]


def test_who_looks_for_room_finds_that_of_discarded_blobs(tmp_path):
    blobs = discarded(tmp_path)
    assert len(left(tmp_path)) == 1
    blobs.free_bytes()
    assert left(tmp_path) == []


def test_where_there_is_little_room_a_discarded_blob_goes_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers, "FREE_FOR_EACH", 2**50)
    discarded(tmp_path)
    assert left(tmp_path) == []


def test_a_small_blob_goes_at_once(tmp_path):
    blobs = DirectoryBlobs(tmp_path)
    blobs.discard(RUN, [blobs.put(RUN, b"abc", durable=False)])
    assert left(tmp_path) == []
