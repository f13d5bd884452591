"""A steward removes a package: all of it goes, unless a run is at work with it."""

import pytest
from tests.sdk.packaging import app_folder, built

from septum.errors import ConflictError
from septum.protocol.plan import AppRef, Plan
from septum.protocol.silo import SiloPhase, SiloRun
from septum.silo.environment import Environments, State
from septum.silo.packages import Packages
from septum.silo.receipts import FILE_NAME
from septum.silo.removal import fold_revoked, remove_package, revoke_package, runs_at_work
from septum.silo.run_files import RunFiles

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    return built(app_folder(folder / "app", wheels={"tiny": {"tiny.py": "x = 1\n"}}), folder)


@pytest.fixture
def silo(tmp_path, small):
    """A silo in which the package is approved, unpacked and installed."""
    packages, environments = Packages(tmp_path), Environments(tmp_path / "envs")
    package = packages.add(small.path).package
    environments.prepare(package, packages.open(package) / "wheels")
    packages.approve(package.digest, "ann")
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / package.digest.removeprefix("sha256:")).write_bytes(b"half")
    (tmp_path / FILE_NAME).write_text("a receipt\n")
    assert environments.standing(package).state is State.READY
    return tmp_path


def serving(silo, run, digest, phase):
    files = RunFiles(silo / "runs" / run)
    files.make()
    plan = Plan("small", AppRef("small", "1.0.0", digest), {"rounds": 2}, ("north",), rounds=2)
    files.save(SiloRun(run, "north", plan, phase=phase))


def left(silo, digest):
    """Whatever is there of a package, but locks."""
    name = digest.removeprefix("sha256:")
    return [path for path in silo.rglob(f"*{name}*") if not path.name.endswith(".lock")]


def test_a_package_goes_with_its_environment_and_what_was_unpacked_and_receipts_stay(silo, small):
    for _ in range(2):
        remove_package(silo, small.digest, "ben")
        assert left(silo, small.digest) == []
        assert Packages(silo).revoked(small.digest)
        assert (silo / FILE_NAME).read_text() == "a receipt\n"


def test_a_run_at_work_keeps_a_package_and_its_approval_and_is_named(silo, small):
    serving(silo, "r-other", "sha256:" + "0" * 64, SiloPhase.ACTIVE)
    serving(silo, "r-refused", small.digest, SiloPhase.REFUSED)
    serving(silo, "r-works", small.digest, SiloPhase.ACTIVE)
    (silo / "runs" / "stray").write_text("no run\n")
    before = left(silo, small.digest)
    with pytest.raises(ConflictError, match="is not removed: r-works at work with it here"):
        remove_package(silo, small.digest, "ben")
    assert left(silo, small.digest) == before
    assert Packages(silo).get(small.digest).approved
    serving(silo, "r-works", small.digest, SiloPhase.ENDED)
    assert runs_at_work(silo, small.digest) == ()
    remove_package(silo, small.digest, "ben")
    assert left(silo, small.digest) == []


def test_by_force_a_package_goes_under_a_run_at_work_which_is_named(silo, small):
    serving(silo, "r-works", small.digest, SiloPhase.ACTIVE)
    assert remove_package(silo, small.digest, "ben", force=True) == ("r-works",)
    assert left(silo, small.digest) == []
    assert Packages(silo).revoked(small.digest)
    assert remove_package(silo, small.digest, "ben") == ()  # nothing is here that a run could hold


def test_what_is_revoked_stays_unpacked_until_the_last_run_at_work_has_ended(silo, small):
    opened = silo / "packages" / small.digest.removeprefix("sha256:") / "open"
    for run in ("r-one", "r-two"):
        serving(silo, run, small.digest, SiloPhase.ACTIVE)
    assert revoke_package(silo, small.digest, "ben") == ("r-one", "r-two")
    assert Packages(silo).revoked(small.digest)
    serving(silo, "r-one", small.digest, SiloPhase.ENDED)
    assert fold_revoked(silo) == ()
    assert opened.exists()
    RunFiles(silo / "runs" / "r-two").remove()
    assert fold_revoked(silo) == (small.digest,)
    assert not opened.exists()
    assert revoke_package(silo, small.digest, "ben") == ()


def test_a_session_that_cannot_be_read_keeps_nothing(silo, small):
    serving(silo, "r-works", small.digest, SiloPhase.ACTIVE)
    for slot in (silo / "runs" / "r-works").glob("session.*"):
        slot.write_bytes(b"rotten")
    assert runs_at_work(silo, small.digest) == ()
