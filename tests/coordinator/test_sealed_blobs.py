"""Where a key is set, nothing that is trained or sent lies readable on the disk; a run ends with the same model."""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys

import pytest
from tests.coordinator.support import SILOS, adam_plan, engine, until, work
from tests.coordinator.test_backup import NOW, Coordinator

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.blobs.earlier import SEALED
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import MARK, FileKey
from septum.coordinator.areas import silo_models_area
from septum.coordinator.backup import Sources, back_up
from septum.coordinator.blob_place import BLOBS, open_blobs
from septum.coordinator.driver import Pace
from septum.coordinator.restore import restore
from septum.errors import DigestError, StorageError
from septum.protocol.plan import digest_of
from septum.testing.fakes import MemoryRunStore

KEY = FileKey(bytes(range(32)))
BIG = 30_000  # 120 KB: too much for a message
PATTERN = secrets.token_bytes(2**20)
WINDOW = 16


def readable(folder, *texts):
    """Files in which some bytes of one of these stand as they are: looked for at a few places of each."""
    found = []
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        pieces = (text[at : at + WINDOW] for text in texts for at in range(0, len(text) - WINDOW, 4096))
        found += [path.name for piece in pieces if piece in data]
    return found


def started(data_dir, key):
    """The blobs as a coordinator opens them when it starts."""
    with open_blobs(data_dir, None, Keys(key)) as place:
        return place.blobs


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.anyio
async def test_a_run_ends_with_the_same_model_and_nothing_of_it_is_readable_meanwhile(tmp_path):
    plan = adam_plan(rounds=3)
    async with engine() as e:
        expected = await e.finish(plan, width=BIG)
    store, blobs = MemoryRunStore(), DirectoryBlobs(tmp_path, keys=Keys(KEY))
    async with engine(store, blobs, pace=Pace(hold_s=0.05, flush_s=0.0, retry_s=0.05)) as e:
        run_id = (await e.service.submit(plan, "k")).id
        answers = await asyncio.gather(*(e.join(silo, run_id, plan) for silo in SILOS))
        for _ in range(2):
            told = {s: await e.asked(s, run_id, answer) for s, answer in zip(SILOS, answers, strict=True)}
            answers = await asyncio.gather(*(e.report(s, run_id, work(told[s], s, BIG)) for s in SILOS))
        told = await e.asked("hungary", run_id, await e.asked("hungary", run_id, answers[0]))
        made = work(told, "hungary", BIG)
        await e.report("hungary", run_id, made)
        await until(lambda: store.get(run_id).run.reports)
        model = b"".join([chunk async for chunk in chunks(e.service, run_id, store.get(run_id).run.model.digest)])
        areas = {path.relative_to(tmp_path).parts[0].partition("-r-")[0] for path in files(tmp_path)}
        assert {"models", "optimizer", "spool"} <= areas
        assert all(path.read_bytes().startswith(MARK) for path in files(tmp_path))
        assert readable(tmp_path, model, made[1]) == []
        await asyncio.gather(*(e.serve(silo, BIG) for silo in SILOS))
        assert (await e.service.run(run_id)).model == expected


async def chunks(service, run_id, digest):
    async with service.model(run_id, digest) as opened:
        for chunk in opened.chunks():
            yield chunk


KILLED = """
import os, signal, sys
from pathlib import Path
from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.sealing.keys import Keys
from septum.adapters.sealing.segments import FileKey
from septum.protocol.plan import digest_of
pattern = Path(sys.argv[2]).read_bytes()
blobs = DirectoryBlobs(Path(sys.argv[1]), keys=Keys(FileKey(bytes(range(32)))))
blobs.put("models", pattern, durable=True)
blobs.put("run-1", pattern[:5000], durable=False)
def cut(size):
    yield pattern[:size]
    raise ConnectionResetError
for size in (700_000, 3):
    try:
        blobs.append("run-1", digest_of(pattern[::-1]), cut(size), sender=f"silo-{size}")
    except ConnectionResetError:
        pass
def killing(size):
    yield pattern[:size]
    os.kill(os.getpid(), signal.SIGKILL)
blobs.append("run-1", digest_of(pattern), killing(900_000), sender="north")
"""


@pytest.mark.processes
def test_nothing_is_readable_after_a_kill_and_uploads_go_on(tmp_path):
    (tmp_path / "pattern").write_bytes(PATTERN)
    root = tmp_path / "blobs"
    done = subprocess.run([sys.executable, "-c", KILLED, root, tmp_path / "pattern"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert readable(tmp_path, PATTERN) == ["pattern"] * (len(PATTERN) // 4096)  # the search finds what is there
    assert readable(root, PATTERN) == []
    assert len(files(root)) == 5
    blobs = DirectoryBlobs(root, keys=Keys(KEY))
    assert blobs.get("models", digest_of(PATTERN)) == PATTERN
    kept = blobs.kept_bytes("run-1", digest_of(PATTERN), sender="north")
    assert 700_000 < kept <= 900_000  # whole segments
    blobs.append("run-1", digest_of(PATTERN), [PATTERN[kept:]], sender="north", start=kept)
    assert blobs.get("run-1", digest_of(PATTERN)) == PATTERN
    assert [blobs.kept_bytes("run-1", digest_of(PATTERN[::-1]), sender=f"silo-{n}") for n in (700_000, 3)] == [
        700_000,
        3,
    ]
    assert readable(root, PATTERN) == []


# --- what was there before -------------------------------------------------------------------------------------------


def plain_store(root):
    blobs = DirectoryBlobs(root)
    for area, data in (("models", PATTERN), ("apps", PATTERN[:5]), ("spool-r-1", PATTERN[:9000])):
        blobs.put(area, data, durable=True)
    blobs.share("spool-r-1", digest_of(PATTERN[:9000]), "silo-models-r-1")
    return blobs


def test_what_was_there_before_is_sealed_at_the_next_start_and_read_as_before(tmp_path):
    plain_store(tmp_path / BLOBS)
    assert readable(tmp_path, PATTERN)
    blobs = started(tmp_path, KEY)
    assert readable(tmp_path, PATTERN) == []
    assert all(path.read_bytes().startswith(MARK) for path in files(tmp_path))
    assert blobs.get("models", digest_of(PATTERN)) == PATTERN
    assert blobs.get("silo-models-r-1", digest_of(PATTERN[:9000])) == PATTERN[:9000]
    with blobs.open("models", digest_of(PATTERN)) as opened:
        assert opened.file is None


def test_the_next_starts_do_not_look_at_every_file_again(tmp_path):
    plain_store(tmp_path / BLOBS)
    started(tmp_path, KEY)
    assert (tmp_path / BLOBS / SEALED).exists()
    later = DirectoryBlobs(tmp_path / BLOBS).put("models", b"put there as it is", durable=True)
    blobs = started(tmp_path, KEY)
    assert blobs.stored_file("models", later).read_bytes() == b"put there as it is"
    assert blobs.get("models", later) == b"put there as it is"


def test_who_seals_no_more_reads_what_is_sealed_and_who_seals_again_seals_all(tmp_path):
    before = started(tmp_path, KEY).put("models", PATTERN, durable=True)
    blobs = started(tmp_path, FileKey(KEY.key, seal_new=False))
    assert blobs.get("models", before) == PATTERN
    meanwhile = blobs.put("models", PATTERN[::-1], durable=True)
    with blobs.open("models", meanwhile) as opened:
        assert opened.file.read_bytes() == PATTERN[::-1]
    assert started(tmp_path, KEY).get("models", meanwhile) == PATTERN[::-1]
    assert readable(tmp_path, PATTERN[::-1]) == []


def test_a_start_that_was_cut_goes_on_and_leaves_no_half_file(tmp_path, monkeypatch):
    plain_store(tmp_path / BLOBS)
    (tmp_path / BLOBS / ".sealing").write_bytes(b"half of one")
    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(StorageError, match="could not seal"):
        started(tmp_path, KEY)
    monkeypatch.undo()
    blobs = started(tmp_path, KEY)
    assert readable(tmp_path, PATTERN) == []
    assert blobs.get("models", digest_of(PATTERN)) == PATTERN
    assert not (tmp_path / BLOBS / ".sealing").exists()


def broken(_):
    raise OSError(28, "No space left on device")


def test_a_plain_file_that_has_rotted_stays_as_it_is_and_is_told(tmp_path, caplog):
    path = plain_store(tmp_path / BLOBS).stored_file("models", digest_of(PATTERN))
    path.write_bytes(b"rotten")
    with caplog.at_level("INFO"):
        blobs = started(tmp_path, KEY)
    assert "blob_is_rotten" in caplog.messages
    assert path.read_bytes() == b"rotten"
    with pytest.raises(DigestError, match="has rotted"):
        blobs.get("models", digest_of(PATTERN))


def test_uploads_that_were_cut_before_begin_anew(tmp_path):
    def cut():
        yield PATTERN[:5000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        DirectoryBlobs(tmp_path / BLOBS).append("run-1", digest_of(PATTERN), cut(), sender="north")
    assert readable(tmp_path, PATTERN)
    assert started(tmp_path, KEY).kept_bytes("run-1", digest_of(PATTERN), sender="north") == 0
    assert readable(tmp_path, PATTERN) == []


# --- backups ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def coordinator(tmp_path):
    made = Coordinator(tmp_path / "data", Keys(KEY))
    made.round(1)
    yield made
    made.stores.close()


def test_a_backup_holds_sealed_files_that_open_where_it_is_restored(coordinator, tmp_path):
    model = coordinator.run.model.digest
    text = coordinator.blobs.get("models-r-1", model)
    manifest = back_up(coordinator.data_dir, tmp_path / "backup", NOW, blobs=Sources(key=KEY))
    assert manifest.missing == ()
    assert [path for path in files(tmp_path / "backup" / "blobs") if not path.read_bytes().startswith(MARK)] == []
    restore(tmp_path / "backup", tmp_path / "new")
    assert DirectoryBlobs(tmp_path / "new" / "blobs", keys=Keys(KEY)).get("models-r-1", model) == text
    with pytest.raises(DigestError, match="under the key"):
        DirectoryBlobs(tmp_path / "new" / "blobs", keys=Keys(FileKey(bytes(32)))).get("models-r-1", model)


@pytest.mark.parametrize("harm", ["flipped", "cut", "another"])
def test_a_sealed_blob_that_has_rotted_is_not_in_a_backup_and_is_named(coordinator, tmp_path, harm):
    digest = coordinator.run.model.digest
    path = coordinator.blobs.stored_file("models-r-1", digest)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    other = coordinator.blobs.stored_file("models-r-1", coordinator.blobs.put("models-r-1", b"another", durable=True))
    path.write_bytes({"flipped": bytes(data), "cut": bytes(data[:-1]), "another": other.read_bytes()}[harm])
    manifest = back_up(coordinator.data_dir, tmp_path / "backup", NOW, blobs=Sources(key=KEY))
    name = digest.partition(":")[2]
    assert manifest.missing == (f"blobs/models-r-1/{name[:2]}/{name}",)


def test_what_silos_sent_is_shared_without_a_copy(tmp_path):
    blobs = DirectoryBlobs(tmp_path, keys=Keys(KEY))
    digest = blobs.put("spool-r-1", PATTERN, durable=False)
    blobs.share("spool-r-1", digest, silo_models_area("r-1"))
    first, second = (blobs.stored_file(area, digest) for area in ("spool-r-1", silo_models_area("r-1")))
    assert first.samefile(second)
