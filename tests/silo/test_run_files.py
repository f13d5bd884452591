"""Which files of a run stay, and which go?"""

import threading
from pathlib import Path

from septum.adapters.channel.blob_files import part_of
from septum.protocol.messages import Blob
from septum.protocol.plan import digest_of
from septum.silo.run_files import LARGE_BYTES, RunFiles

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
