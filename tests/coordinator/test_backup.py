"""Is a backup of one moment, whole or not there, and is what is restored from it what it was?"""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.sealing.keys import Keys
from septum.adapters.store.migrate import newest_revision
from septum.adapters.store.open import open_store
from septum.coordinator.areas import models_area, optimizer_area, silo_models_area, spool_area
from septum.coordinator.backup import back_up
from septum.coordinator.backup_files import MANIFEST, read_manifest
from septum.coordinator.operator import ensure_operator
from septum.coordinator.restore import record_restored, restore
from septum.errors import ConfigError, ConflictError, DigestError, MessageError, SeptumError, VersionError
from septum.ports.store import Transition
from septum.protocol.audit import AuditFilter, utc
from septum.protocol.facts import ModelMade, SiloModel, SiloModelsKept
from septum.protocol.messages import Blob
from septum.protocol.plan import digest_of
from septum.protocol.run_state import Contribution
from septum.testing.contracts.samples import new_run

HEAD = newest_revision()
NOW = 1_800_000_000.0


class Coordinator:
    """A coordinator in little: commits round after round, and only then removes what the round before needed."""

    def __init__(self, data_dir: Path, keys: Keys | None = None) -> None:
        self.data_dir = data_dir
        self.stores = open_store(data_dir)
        self.blobs = DirectoryBlobs(data_dir / "blobs", keys=keys)
        self.run = new_run("r-1")
        self.version = self.stores.runs.create(self.run, (), at=1.0).version
        (data_dir / "tls").mkdir(mode=0o700)
        (data_dir / "tls" / "ca.key").write_text("secret")
        (data_dir / "tls" / "ca.key").chmod(0o600)
        (data_dir / "coordinator.toml").write_text('listen = "127.0.0.1:8443"\n')
        ensure_operator(data_dir, url="https://localhost", ca_file="")

    def round(self, number: int) -> None:
        before = self.run
        model = self._put(models_area("r-1"), f"model {number}")
        optimizer = self._put(optimizer_area("r-1"), f"optimizer {number}")
        reports = {silo: self._put(spool_area("r-1"), f"{silo} {number}") for silo in ("north", "south")}
        self.run = replace(
            before,
            model=model,
            optimizer=optimizer,
            round=number,
            reports={silo: Contribution(blob, 1) for silo, blob in reports.items()},
        )
        transition = Transition(self.run, self.version, facts=(ModelMade(number, model),))
        self.stores.runs.commit([transition], at=2.0)
        self.version += 1
        self.blobs.discard(spool_area("r-1"), [given.payload.digest for given in before.reports.values()])
        if before.optimizer is not None:
            self.blobs.discard(optimizer_area("r-1"), [before.optimizer.digest])

    def _put(self, area: str, text: str) -> Blob:
        return Blob(self.blobs.put(area, text.encode(), durable=False), len(text))


@pytest.fixture
def coordinator(tmp_path):
    made = Coordinator(tmp_path / "data")
    made.round(1)
    yield made
    made.stores.close()


@contextmanager
def at_work(coordinator):
    """Rounds are committed for ever meanwhile, as fast as they can be."""
    enough, done = threading.Event(), threading.Semaphore(0)

    def work():
        number = 1
        while not enough.is_set():
            number += 1
            coordinator.round(number)
            done.release()

    thread = threading.Thread(target=work)
    thread.start()
    assert done.acquire(timeout=20)
    try:
        yield done
    finally:
        enough.set()
        thread.join()


def names_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_restored_is_what_was_backed_up(coordinator, tmp_path):
    manifest = back_up(coordinator.data_dir, tmp_path / "backup", NOW)
    coordinator.round(2)
    restore(tmp_path / "backup", tmp_path / "new")
    assert (manifest.made_at, manifest.schema, manifest.missing) == (NOW, HEAD, ())
    for name in ("tls/ca.key", "operator.json", "operator.sha256", "coordinator.toml"):
        assert (tmp_path / "new" / name).read_bytes() == (coordinator.data_dir / name).read_bytes()
    blobs = DirectoryBlobs(tmp_path / "new" / "blobs")
    with open_store(tmp_path / "new") as stores:
        stored = stores.runs.get("r-1")
        assert stored.run.round == 1
        assert stored.run.model is not None
        assert stored.run.optimizer is not None
        assert blobs.get(models_area("r-1"), stored.run.model.digest) == b"model 1"
        assert blobs.get(optimizer_area("r-1"), stored.run.optimizer.digest) == b"optimizer 1"
        given = stored.run.reports["south"].payload
        assert blobs.get(spool_area("r-1"), given.digest) == b"south 1"
        assert stores.epoch == coordinator.stores.epoch + 1


def test_everything_that_the_database_refers_to_is_there_while_rounds_go_on(coordinator, tmp_path):
    with at_work(coordinator) as done:
        for number in range(4):
            manifest = back_up(coordinator.data_dir, tmp_path / f"backup-{number}", NOW)
            assert manifest.missing == ()
            assert done.acquire(timeout=20)  # the rounds have not stopped
    for number in range(4):
        restore(tmp_path / f"backup-{number}", tmp_path / f"new-{number}")
        blobs = DirectoryBlobs(tmp_path / f"new-{number}" / "blobs")
        with open_store(tmp_path / f"new-{number}") as stores:
            run = stores.runs.get("r-1").run
            assert run.round == len(stores.runs.journal("r-1", limit=100_000))
            for silo, given in run.reports.items():
                assert blobs.get(spool_area("r-1"), given.payload.digest) == f"{silo} {run.round}".encode()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no second file system here")
def test_a_backup_on_another_file_system_is_copied_at_the_same_moment(coordinator):
    other = Path(f"/dev/shm/septum-test-{os.getpid()}")
    try:
        with at_work(coordinator):
            for number in range(4):
                manifest = back_up(coordinator.data_dir, other / f"backup-{number}", NOW)
                assert manifest.missing == ()
                assert any(name.startswith("blobs/spool-") for name in manifest.files)
                assert names_in(other / f"backup-{number}") == {*manifest.files, MANIFEST}
    finally:
        shutil.rmtree(other)


def test_nobody_else_may_read_a_backup_or_what_is_restored(coordinator, tmp_path):
    (coordinator.data_dir / "coordinator.toml").chmod(0o644)
    before = os.umask(0)
    try:
        back_up(coordinator.data_dir, tmp_path / "deep" / "backup", NOW)
        restore(tmp_path / "deep" / "backup", tmp_path / "new")
    finally:
        os.umask(before)
    for root in (tmp_path / "deep" / "backup", tmp_path / "new"):
        for path in (root, *root.rglob("*")):
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_files_that_others_could_read_are_backed_up_for_the_owner_alone(coordinator, tmp_path):
    for path in (coordinator.data_dir / "blobs").rglob("*"):  # as a copy with another umask leaves them
        path.chmod(0o755 if path.is_dir() else 0o644)
    manifest = back_up(coordinator.data_dir, tmp_path / "backup", NOW)
    assert manifest.missing == ()
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "backup").rglob("*")}
    assert modes <= {0o700, 0o600}
    restore(tmp_path / "backup", tmp_path / "new")


def test_neither_the_lock_nor_uploads_under_way_are_in_a_backup(coordinator, tmp_path):
    for name in (".incoming/put-7", ".cut/spool-r-1/x", "spool-r-1/.x"):
        path = coordinator.data_dir / "blobs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    (coordinator.data_dir / ".operator.json.17").write_text("half")
    manifest = back_up(coordinator.data_dir, tmp_path / "backup", NOW)
    assert names_in(tmp_path / "backup") == {*manifest.files, MANIFEST}
    assert {name.partition("/")[0] for name in manifest.files} == {
        "septum.sqlite",
        "blobs",
        "tls",
        "coordinator.toml",
        "operator.json",
        "operator.sha256",
        "audit-key.pem",
    }
    assert not any("." in part for name in manifest.files for part in name.split("/")[:1] if name.startswith("blobs"))
    assert len([name for name in manifest.files if name.startswith("blobs/")]) == 4


@pytest.mark.parametrize(
    "harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"rotten")], ids=["lost", "rotten"]
)
def test_a_blob_that_was_lost_before_is_named_and_the_rest_is_backed_up(coordinator, tmp_path, harm):
    digest = coordinator.run.model.digest
    harm(coordinator.blobs.stored_file(models_area("r-1"), digest))
    manifest = back_up(coordinator.data_dir, tmp_path / "backup", NOW)
    name = digest.partition(":")[2]
    assert manifest.missing == (f"blobs/models-r-1/{name[:2]}/{name}",)
    assert read_manifest(tmp_path / "backup") == manifest
    restore(tmp_path / "backup", tmp_path / "new")


def test_what_silos_sent_is_in_a_backup_where_a_run_keeps_their_own_models(coordinator, tmp_path):
    update = coordinator._put(silo_models_area("r-1"), "an update")
    fact = SiloModelsKept(1, coordinator.run.model, {"north": SiloModel(Blob("blake3:" + 64 * "0", 9), update, 1.0)})
    coordinator.stores.runs.commit([Transition(coordinator.run, coordinator.version, facts=(fact,))], at=3.0)
    name = update.digest.partition(":")[2]
    path = f"blobs/silo-models-r-1/{name[:2]}/{name}"
    manifest = back_up(coordinator.data_dir, tmp_path / "backup", NOW)
    assert (path in manifest.files, manifest.missing) == (True, ())
    restore(tmp_path / "backup", tmp_path / "new")
    assert (tmp_path / "new" / path).read_bytes() == b"an update"
    coordinator.blobs.discard(silo_models_area("r-1"), [update.digest])
    assert back_up(coordinator.data_dir, tmp_path / "later", NOW).missing == (path,)


def test_a_coordinator_that_has_packages_and_no_model_yet_is_backed_up(coordinator, tmp_path):
    coordinator.blobs.put("apps", b"a package", durable=True)
    for folder in (coordinator.data_dir / "blobs").iterdir():
        if folder.name not in ("apps", ".incoming"):
            shutil.rmtree(folder)
    manifest = back_up(coordinator.data_dir, tmp_path / "backup", NOW)
    assert len([name for name in manifest.files if name.startswith("blobs/apps/")]) == 1


def test_a_folder_that_is_in_the_way_is_left_alone(coordinator, tmp_path):
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "mine").write_text("mine")
    with pytest.raises(ConflictError, match="something at"):
        back_up(coordinator.data_dir, tmp_path / "backup", NOW)
    with pytest.raises(ConfigError, match="inside"):
        back_up(coordinator.data_dir, coordinator.data_dir / "backup", NOW)
    with pytest.raises(ConfigError, match="no coordinator's database"):
        back_up(tmp_path / "nowhere", tmp_path / "b", NOW)
    assert names_in(tmp_path / "backup") == {"mine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data"]


def test_what_is_no_coordinators_database_is_no_backup_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "data").mkdir()
    for content in (b"", b"not a database at all" * 100):
        (tmp_path / "data" / "septum.sqlite").write_bytes(content)
        with pytest.raises(SeptumError, match=r"septum\.sqlite"):
            back_up(tmp_path / "data", tmp_path / "backup", NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# --- restoring -----------------------------------------------------------------------------------------------------


@pytest.fixture
def backup(coordinator, tmp_path):
    back_up(coordinator.data_dir, tmp_path / "backup", NOW)
    return tmp_path / "backup"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def as_a_link(path):
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


@pytest.mark.parametrize("harm", [flip, lambda path: path.unlink(), as_a_link], ids=["flip", "unlink", "link"])
@pytest.mark.parametrize("name", ["septum.sqlite", "tls/ca.key", "operator.json"])
def test_a_backup_that_was_damaged_is_refused_before_anything_is_written(backup, tmp_path, harm, name):
    harm(backup / name)
    before = names_in(tmp_path)
    with pytest.raises(DigestError, match=rf"damaged: {name} of \d+ files .*; nothing was written"):
        restore(backup, tmp_path / "new")
    assert names_in(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_a_directory_in_use_is_named_with_its_coordinator(backup, coordinator):
    with pytest.raises(ConflictError, match=rf"in use by the coordinator with process id {os.getpid()}"):
        restore(backup, coordinator.data_dir)


def test_a_directory_that_is_not_empty_is_left_alone_and_an_empty_one_is_taken(backup, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").write_text("mine")
    with pytest.raises(ConflictError, match="nothing was changed"):
        restore(backup, tmp_path / "new")
    assert names_in(tmp_path / "new") == {"mine"}
    (tmp_path / "new" / "mine").unlink()
    restore(backup, tmp_path / "new")
    open_store(tmp_path / "new").close()


def test_that_it_was_restored_is_recorded_once(backup, tmp_path):
    manifest = restore(backup, tmp_path / "new")
    with open_store(tmp_path / "new") as stores:
        for _ in range(2):
            record_restored(tmp_path / "new", stores.audit, NOW)
        (event,) = stores.audit.page(AuditFilter(kind="coordinator.restored"), limit=10)
        assert event.about == {"made_at": utc(NOW), "epoch": str(manifest.epoch)}
        assert stores.audit.check() == event.seq


def test_a_backup_stays_what_it_was_when_what_was_restored_is_used(backup, tmp_path):
    restore(backup, tmp_path / "new")
    with open_store(tmp_path / "new") as stores:
        stores.registry.invite("chur", b"1" * 32, expires_at=9.0)
    (tmp_path / "new" / "operator.json").write_text("other")
    restore(backup, tmp_path / "again")


def changed(backup, **fields):
    body = json.loads((backup / MANIFEST).read_text())
    (backup / MANIFEST).write_text(json.dumps({**body, **fields}))


def test_a_backup_of_a_newer_septum_is_refused_with_both_versions(backup, tmp_path):
    changed(backup, schema="0417", made_by="9.1.0")
    with pytest.raises(
        ConfigError, match=rf"schema version 0417, written by septum 9\.1\.0; .* up to {HEAD}"
    ) as refused:
        restore(backup, tmp_path / "new")
    assert "9.1.0" in refused.value.hint
    changed(backup, **{"septum-backup": 2})
    with pytest.raises(VersionError, match=r"speaks septum-backup 2, this septum 1 only"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_manifest_is_no_backup(tmp_path):
    with pytest.raises(ConfigError, match="is no backup"):
        restore(tmp_path, tmp_path / "new")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"septum-backup":1}', b"\xff"])
def test_a_manifest_that_is_none_is_refused(backup, tmp_path, data):
    (backup / MANIFEST).write_bytes(data)
    with pytest.raises(MessageError, match=MANIFEST):
        restore(backup, tmp_path / "new")


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "", "a//b", "./a", "a\0b"])
def test_a_manifest_cannot_lead_out_of_the_directory(backup, tmp_path, path):
    (tmp_path / "outside").write_text("x")
    changed(backup, files={path: {"digest": digest_of(b"x"), "size_bytes": 1, "mode": "0600"}})
    with pytest.raises(MessageError, match="no path inside"):
        restore(backup, tmp_path / "new")


@pytest.mark.parametrize("mode", ["4755", "0999", "rw", "-1", "07777", "0644"])
def test_a_manifest_cannot_give_files_strange_modes(backup, tmp_path, mode):
    changed(backup, files={"a": {"digest": digest_of(b"x"), "size_bytes": 1, "mode": mode}})
    with pytest.raises(MessageError, match="no mode"):
        restore(backup, tmp_path / "new")
