"""A run that has ended is shredded by who may: nothing of what it made opens or is there, and all else is as before."""

from __future__ import annotations

import sqlite3

import pytest
from tests.coordinator.running import KEYS, NARROW, WIDE, Running, blob_path, finish, start_round_one
from tests.coordinator.support import plan_of
from tests.coordinator.test_secrets import key_file
from tests.coordinator.visitors import Visitor, operator, person
from tests.folders import files_in

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.adapters.sealing.holders import from_file
from septum.adapters.sealing.keys import Keys, run_key
from septum.adapters.sealing.ring import open_ring
from septum.adapters.sealing.segments import FileKey
from septum.adapters.store.open import open_store
from septum.cli.main import main
from septum.client import Client
from septum.coordinator.areas import areas_of
from septum.coordinator.final_models import FinalModels
from septum.coordinator.secrets_config import SecretsConfig
from septum.errors import ConflictError, DigestError, NotFoundError
from septum.protocol.audit import AuditFilter
from septum.protocol.feed import Kind
from septum.protocol.views import RunStatus

pytestmark = pytest.mark.served

SILOS = ("cleveland", "hungary")


@pytest.fixture(params=["sealed", "plain"])
def place(request, tmp_path):
    secrets = SecretsConfig(key_file=key_file(tmp_path / "master.key")) if request.param == "sealed" else None
    running = Running(tmp_path / "data", secrets=secrets, approve_own=True)
    silos = [running.enrolled(name) for name in SILOS]
    with Client(running.access) as client:
        yield running, silos, client
    running.stop()


def finished(silos, width=WIDE, **changed):
    plan = plan_of(SILOS, rounds=3, **changed)
    run, told = start_round_one(silos, plan, next(KEYS), width)
    finish(silos, run, told, width)
    return run


def files_of(running, run):
    blobs = running.config.data_dir / "blobs"
    return files_in(*(blobs / area for area in areas_of(run)))


def test_nothing_of_it_is_there_any_more_and_its_numbers_and_the_other_run_are_as_before(place, tmp_path):
    running, silos, client = place
    run, other = finished(silos, keep_silo_models=True), finished(silos)
    before = client.run(run), client.models(run), client.journal(run), client.plan(run), client.silo_models(run)
    client.download(before[1][-1].digest, tmp_path / "was.safetensors", run=run)
    client.download_silo_model(before[4][0], tmp_path / "silos.safetensors")
    assert files_of(running, run)
    found = client.shred(run)
    assert found.under_key == (running.config.secrets is not None)
    assert found.run == client.run(run)
    assert (found.run.shredded_by, found.run.shredded_at is not None) == ("operator", True)
    assert files_of(running, run) == []
    kept = client.run(run), client.models(run), client.journal(run), client.plan(run), client.silo_models(run)
    assert kept[1:] == before[1:]
    assert kept[0].metrics == before[0].metrics
    why = f"run {run} was shredded by operator at "
    for digest in {model.digest for model in before[1]}:
        with pytest.raises(NotFoundError, match=why):
            client.download(digest, tmp_path / "gone.safetensors", run=run)
    with pytest.raises(NotFoundError, match=why):
        client.download_silo_model(before[4][0], tmp_path / "gone.safetensors")
    with pytest.raises(NotFoundError, match=why):
        client.registered.register(run, "heart")
    with pytest.raises(ConflictError, match="was shredded, and there is no model to go on from"):
        client.resume(run)
    assert run not in [one.run for one in client.prune(older_than_days=0, really=True).runs]
    client.download(client.run(other).model, tmp_path / "other.safetensors", run=other)
    client.download(before[1][-1].digest, tmp_path / "same.safetensors")  # the other run made the same
    assert [view.shredded_at for view in client.runs() if view.id == run] == [found.run.shredded_at]


def test_it_is_the_same_after_a_restart_and_asked_again(place, tmp_path):
    running, silos, client = place
    run = finished(silos)
    digest = client.run(run).model
    at = client.shred(run).run.shredded_at
    running.stop()
    again = Running(running.config.data_dir, secrets=running.config.secrets)
    try:
        with Client(again.access) as later:
            assert later.run(run).shredded_at == later.shred(run).run.shredded_at == at
            with pytest.raises(NotFoundError, match="was shredded by operator"):
                later.download(digest, tmp_path / "gone.safetensors")
            with pytest.raises(ConflictError, match="was shredded"):
                later.resume(run)
            told = [entry.change for entry in later.feed.page() if entry.change.kind is Kind.RUN_SHREDDED]
            assert [(change.by, change.run) for change in told] == [("operator", run)]
            recorded = later.audit.page(AuditFilter(kind="run.shredded"))
            assert [(event.by, event.about["run"]) for event in recorded] == [("operator", run)]
    finally:
        again.stop()


def test_a_file_of_it_that_could_not_be_removed_is_given_to_nobody(place, tmp_path):
    """In the clear, say: one that S3 or a disk did not let go, or that somebody has put back."""
    running, silos, client = place
    run = finished(silos)
    model = client.run(run).model
    client.download(model, tmp_path / "was.safetensors", run=run)
    client.shred(run)
    hexes = model.partition(":")[2]
    left = running.config.data_dir / "blobs" / f"models-{run}" / hexes[:2] / hexes
    left.parent.mkdir(parents=True)
    left.write_bytes((tmp_path / "was.safetensors").read_bytes())
    why = f"run {run} was shredded by operator at "
    for of_run in (run, ""):
        with pytest.raises(NotFoundError, match=why):
            client.download(model, tmp_path / "gone.safetensors", run=of_run)
    with pytest.raises(NotFoundError, match=why):
        client.registered.register(run, "heart")
    answer = silos[0].get(blob_path(run, model))
    assert (answer.status, why in answer.error["message"]) == (404, True)
    running.stop()
    with open_store(running.config.data_dir) as stores:
        find = FinalModels(stores.runs, stores.apps, DirectoryBlobs(running.config.data_dir / "blobs"))
        with find(run, model) as found:
            assert found is None


def test_a_run_at_work_is_not_shredded_and_one_that_was_stopped_is(place):
    running, silos, client = place
    run, _ = start_round_one(silos, plan_of(SILOS, rounds=3), next(KEYS), WIDE)
    client.pause(run)
    with pytest.raises(ConflictError, match="has not ended") as error:
        client.shred(run)
    assert error.value.hint == f"septum run stop {run}"
    assert client.run(run).shredded_at is None
    client.stop(run)
    client.shred(run)
    assert client.run(run).status is RunStatus.STOPPED
    assert files_of(running, run) == []


def test_a_run_of_which_a_version_is_registered_is_shredded_once_that_is_retired(place, tmp_path):
    _, silos, client = place
    run = finished(silos)
    client.registered.register(run, "heart")
    client.registered.approve("heart", 1)
    client.registered.deploy("heart", 1, silos=("cleveland",))
    with pytest.raises(ConflictError, match="heart 1 is registered") as error:
        client.shred(run)
    assert error.value.hint == "septum model retire heart 1"
    client.download(client.run(run).model, tmp_path / "kept.safetensors")
    client.registered.retire("heart", 1)
    client.shred(run)
    assert client.registered.version("heart", 1).version.run == run
    assert client.registered.deployments()


def test_only_administrators_of_the_federation_may_and_nobody_learns_of_runs_that_they_may_not_see(place):
    running, silos, client = place
    run = finished(silos, NARROW)
    roles = ("researcher", "reviewer", "auditor", "viewer", "silo-admin")
    for role in roles:
        visitor = person(running, f"one-{role}", role)
        assert visitor.ask("POST", f"/runs/{run}/shred").status == 403, role
        assert visitor.ask("POST", "/runs/r-none/shred").status in (403, 404), role
    assert client.run(run).shredded_at is None
    boss = operator(running)
    for path in ("/runs/r-none/shred", "/runs/..%2Fapps/shred", "/runs/%00/shred"):
        assert boss.ask("POST", path).status == 404, path
    assert boss.ask("GET", f"/runs/{run}/shred").status == 405
    ada = person(running, "ada", "federation-admin")
    made = ada.told("POST", "/tokens", {"title": "at night", "rights": ["model.prune", "run.read"]})
    nightly = Visitor(running, made["token"])
    assert nightly.ask("POST", "/models/prune").status == 200
    assert nightly.ask("POST", f"/runs/{run}/shred").status == 403
    assert client.run(run).shredded_at is None
    assert ada.ask("POST", f"/runs/{run}/shred").status == 200
    assert client.run(run).shredded_by == "ada"


def test_the_command_says_what_would_go_and_does_it_when_it_is_meant(place, capsys, monkeypatch):
    running, silos, client = place
    run = finished(silos)
    monkeypatch.setenv("SEPTUM_OPERATOR_FILE", str(running.config.data_dir / "operator.json"))
    assert main(["run", "shred", run]) == 0
    assert f"septum run shred {run} --yes" in capsys.readouterr().out
    assert client.run(run).shredded_at is None
    assert main(["run", "shred", run, "--yes"]) == 0
    said = capsys.readouterr().out
    assert ("no copy of a file that was sealed under it opens" in said) == (running.config.secrets is not None)
    assert ("under no key" in said) == (running.config.secrets is None)
    assert main(["run", "show", run]) == 0
    assert "by operator" in capsys.readouterr().out.split("shredded ")[1].splitlines()[0]
    assert main(["run", "shred", run]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"run {run} was shredded by operator, ")
    assert "would go" not in said


def test_what_a_kill_left_of_a_shredded_run_goes_at_the_next_start(tmp_path):
    secrets = SecretsConfig(key_file=key_file(tmp_path / "master.key"))
    running = Running(tmp_path / "data", secrets=secrets)
    try:
        run = finished([running.enrolled(name) for name in SILOS])
    finally:
        running.stop()
    assert files_of(running, run)
    with open_store(tmp_path / "data") as stores:
        stores.run_keys.shred(run, by="ada", at=5.0)  # and then it was killed
    again = Running(tmp_path / "data", secrets=secrets)
    try:
        assert files_of(again, run) == []
        with Client(again.access) as client:
            assert client.run(run).shredded_by == "ada"
    finally:
        again.stop()
    with open_store(tmp_path / "data") as stores:
        assert list(stores.run_keys.with_files()) == []


def test_a_copy_of_the_files_opens_with_the_salt_from_before_alone(tmp_path):
    """Which is what makes a backup from before the shred one that shows the run: the documentation says so."""
    secrets = SecretsConfig(key_file=key_file(tmp_path / "master.key"))
    running = Running(tmp_path / "data", secrets=secrets)
    try:
        run = finished([running.enrolled(name) for name in SILOS])
        with Client(running.access) as client:
            model = client.run(run).model
            (tmp_path / "data" / "blobs").rename(tmp_path / "copy")  # as if it were a copy: a run that ended needs none
            (tmp_path / "data" / "blobs").mkdir(mode=0o700)
            (tmp_path / "data" / "blobs" / ".incoming").mkdir(mode=0o700)
            salt = _salt(tmp_path / "data", run)
            client.shred(run)
    finally:
        running.stop()
    common = FileKey(open_ring(tmp_path / "data", from_file(tmp_path / "master.key")).blobs)
    with pytest.raises(DigestError):
        DirectoryBlobs(tmp_path / "copy", keys=Keys(common)).get(f"models-{run}", model)
    with_salt = Keys(common, lambda _: run_key(common, run, salt))
    assert DirectoryBlobs(tmp_path / "copy", keys=with_salt).get(f"models-{run}", model)


def _salt(data_dir, run):
    with sqlite3.connect(data_dir / "septum.sqlite") as database:
        return database.execute("SELECT salt FROM run_keys WHERE run_id = ?", (run,)).fetchone()[0]
