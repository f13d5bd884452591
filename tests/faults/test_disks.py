"""Faults 9, 10 and 12: full disks at the coordinator and at a silo, and models that rot. Small real file systems."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.runs import Journal, client_of
from tests.faults.counting import Counting, counting_in, until

from septum.client import Client
from septum.protocol import facts
from septum.protocol.plan import digest_of
from septum.protocol.views import RunStatus

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system"),
]

WIDTH = 150_000  # 600 kB: payloads and models are files
DISK_MB = 64


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    return counting_in(tmp_path_factory.mktemp("disks"))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of DISK_MB at `folder`."""
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left; the file that has it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        chunk = bytes(1 << 20)
        while chunk:
            try:
                file.write(chunk)
            except OSError:
                chunk = chunk[: len(chunk) // 2]
    return ballast


def models_in(disk: Path) -> list[Path]:
    return [path for path in (disk / "blobs").glob("models-*/*/*") if path.is_file()]


def test_a_full_disk_at_the_coordinator_pauses_the_run_which_goes_on_by_itself_once_there_is_room(counting, tmp_path):
    with small_disk(tmp_path / "coordinator") as disk, counting.federation(tmp_path) as federation:
        federation.start()
        plan = counting.plan("full", 8, {"width": WIDTH, "gate": str(counting.gate("full"))}, deadline_s=5.0)
        with client_of(federation) as client:
            run = client.submit(plan, key="full")
            journal = Journal(client, run)
            journal.until(facts.StageOpened, round=1)
            ballast = fill(disk)
            counting.gate("full").touch()
            until(lambda: client.run(run.id).status is RunStatus.PAUSED, "the run is paused")
            paused = client.run(run.id)
            assert "no space left" in paused.reason.lower()
            told = "\n".join(federation.log(silo).read_text() for silo in counting.records)
            assert "No space left on device" in told  # 507, in the silos' words
            for path in models_in(disk):
                assert f"blake3:{path.name}" == digest_of(path.read_bytes())
            ballast.unlink()
            journal.until(facts.RunResumed)
            journal.until(facts.RunEnded)
            ended = client.run(run.id)
            assert ended.status is RunStatus.FINISHED, ended.reason
            assert ended.model == counting.undisturbed(plan)
            assert not [fact for fact in journal.facts if isinstance(fact, facts.SiloLeft)]  # nobody lost time
            assert set(counting.trainings("full").values()) == {1}


def test_a_full_disk_at_a_silo_is_reported_and_the_round_goes_on_without_it(counting, tmp_path):
    with counting.federation(tmp_path) as federation:
        north = federation.site("north")
        federation.start()
        federation.kill("north")
        runs = north.folder / "state" / "runs"
        owner = (north.folder / "state").stat()
        runs.rmdir() if runs.exists() else None
        with small_disk(runs):
            os.chown(runs, owner.st_uid, owner.st_gid)
            federation.start_agent("north")
            plan = counting.plan("silo", 40, {"width": WIDTH, "gate": str(counting.gate("silo"))}, quorum=2)
            with client_of(federation) as client:
                run = client.submit(plan, key="silo")
                journal = Journal(client, run)
                journal.until(facts.StageOpened, round=1)
                ballast = fill(runs)
                counting.gate("silo").touch()
                failed = journal.until(facts.SiloFailed, silo="north")
                counting.gate("silo").unlink()  # the other two do not finish without it
                assert isinstance(failed, facts.SiloFailed)
                assert "No space left on device" in failed.reason + failed.details
                journal.until(facts.StageClosed, round=1)
                ballast.unlink()
                counting.gate("silo").touch()
                journal.until(facts.SiloReported, silo="north", round=40)
                journal.until(facts.RunEnded)
                assert client.run(run.id).status is RunStatus.FINISHED
            federation.kill("north")


def wait_in_training(client: Client, run_id: str) -> bool:
    """Whether whoever has not reported has begun to train and waits: a round that goes by takes milliseconds."""
    before = client.run(run_id)
    time.sleep(1)
    after = client.run(run_id)
    waiting = after.status is RunStatus.TRAINING and any(silo.awaited for silo in after.silos)
    return waiting and after.round == before.round


def damage(area: Path, name: str) -> None:
    path = area / name[:2] / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_model_that_rots_is_told_loudly_and_made_again_from_the_one_before(counting, tmp_path):
    with counting.federation(tmp_path) as federation:
        federation.start()
        gate = counting.gate("rot")
        gate.touch()
        plan = counting.plan("rot", 60, {"width": WIDTH, "gate": str(gate)})
        with client_of(federation) as client:
            run = client.submit(plan, key="rot")
            journal = Journal(client, run)
            journal.until(facts.ModelMade, round=3)
            gate.unlink()
            until(lambda: wait_in_training(client, run.id), "all wait in training")
            for silo in counting.records:
                federation.kill(silo)
            damaged = ""
            while damaged != (newest := client.run(run.id).model):  # a round may be closed without those who are killed
                assert newest is not None
                damage(federation.operator_dir / "blobs" / f"models-{run.id}", newest.removeprefix("blake3:"))
                damaged = newest
            gate.touch()
            for silo in counting.records:
                for file in (federation.site(silo).folder / "state" / "runs" / run.id / "model").iterdir():
                    file.unlink()  # they fetch it again
                federation.start_agent(silo)
            journal.until(facts.ModelLost)
            journal.until(facts.RunEnded)
            ended = client.run(run.id)
            assert ended.status is RunStatus.FINISHED, ended.reason
            assert ended.model == counting.undisturbed(plan)
        assert '"event": "bytes_lost"' in federation.log("coordinator").read_text()
