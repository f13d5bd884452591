"""Which files of a run stay, and which go?"""

from septum.adapters.channel.blob_files import part_of
from septum.protocol.messages import Blob
from septum.protocol.plan import digest_of
from septum.silo.run_files import RunFiles

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
