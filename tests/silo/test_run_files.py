"""Which files of a run stay, and which go?"""

import threading
from pathlib import Path

from septum.adapters.channel.blob_files import part_of
from septum.adapters.launch.payload_file import PayloadFile
from septum.adapters.leftovers import LARGE_BYTES, LEFTOVER
from septum.protocol.messages import Blob
from septum.protocol.plan import AppRef, Plan, digest_of
from septum.protocol.silo import SiloRun
from septum.silo.run_files import RunFiles

PLAN = Plan("small", AppRef("small", "1.0.0", f"sha256:{'0' * 64}"), {"rounds": 2}, ("a",), rounds=2)

OLD, NEW = (Blob(digest_of(data), len(data)) for data in (b"old", b"new"))


def test_what_has_come_of_a_model_stays_and_other_models_go(tmp_path):
    files = RunFiles(tmp_path / "run")
    files.make()
    files.model(OLD).write_bytes(b"old")
    part_of(files.model(OLD), OLD.digest).write_bytes(b"ol")
    path = files.model(NEW)
    part_of(path, NEW.digest).write_bytes(b"ne")
    assert files.model(NEW) == path
    assert [left.name for left in path.parent.iterdir()] == [part_of(path, NEW.digest).name]


def test_a_large_file_that_is_no_longer_needed_goes_without_anybody_waiting(tmp_path, monkeypatch):
    files = RunFiles(tmp_path / "run")
    files.make()
    old, go = files.model(OLD), threading.Event()
    old.write_bytes(bytes(LARGE_BYTES))
    unlink = Path.unlink

    def slowly(path, **given):
        assert go.wait(20)
        unlink(path, **given)

    monkeypatch.setattr(Path, "unlink", slowly)
    new = files.model(NEW)  # returns though the old one is still there
    assert (old.exists(), new.exists()) == (True, False)
    new.write_bytes(b"new")
    go.set()
    files.settle()
    assert [left.name for left in new.parent.iterdir()] == [new.name]


def large(path, letter):
    path.write_bytes(letter * LARGE_BYTES)
    return path


def no_longer_held(files, *jobs):
    """A session that holds none of the payloads of these jobs."""
    for number, job in enumerate(jobs):
        large(files.held(job), b"%d" % number)
    files.tidy(SiloRun("r1", "a", PLAN))


def test_a_payload_that_is_no_longer_needed_gives_way_to_the_next_one(tmp_path):
    files = RunFiles(tmp_path / "run")
    files.make()
    no_longer_held(files, "train-1")
    assert not files.held("train-1").exists()
    leftover = files.held(LEFTOVER)
    assert leftover.stat().st_size == LARGE_BYTES
    with PayloadFile(files.output("train-2")) as output:
        output.add(memoryview(b"n" * 1000))
        assert leftover.stat().st_size == LARGE_BYTES - 1000
        blob = output.blob()
    assert files.output("train-2").read_bytes() == b"n" * 1000
    assert blob == Blob(digest_of(b"n" * 1000), 1000)
    assert not leftover.exists()


def test_one_payload_at_most_is_left_and_it_stays_until_the_next_or_the_end(tmp_path):
    files = RunFiles(tmp_path / "run")
    files.make()
    no_longer_held(files, "train-1", "train-2")
    files.tidy(SiloRun("r1", "a", PLAN))
    for thread in files._removing:
        thread.join()
    assert [path.name for path in (files.folder / "held").iterdir()] == [LEFTOVER]
    files.settle()
    assert list((files.folder / "held").iterdir()) == []
