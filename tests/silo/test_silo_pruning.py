"""What goes of a silo's directory when its steward makes room, and what stays whatever is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.cli.test_silo_model import about
from tests.sdk.packaging import app_folder, built
from tests.silo.test_kept import keep

from septum.errors import ConfigError
from septum.protocol.plan import AppRef, Plan
from septum.protocol.silo import SiloPhase, SiloRun
from septum.silo import pruning
from septum.silo.environment import Environments
from septum.silo.kept import KeptModels
from septum.silo.packages import Packages
from septum.silo.pruning import DAY_S, Kind, superfluous
from septum.silo.run_files import RunFiles

NOW = 1_800_000_000.0
GONE = "sha256:" + "9" * 64


def run_here(silo: Path, run: str, phase: SiloPhase, *, days: float, digest: str = GONE) -> Path:
    """A run's folder, in which nothing was written for so many days."""
    files = RunFiles(silo / "runs" / run)
    files.make()
    plan = Plan("small", AppRef("small", "1.0.0", digest), {}, ("north",), rounds=2)
    files.save(SiloRun(run, "north", plan, phase=phase))
    files.held("train-1").write_bytes(b"x" * 1000)
    os.utime(files.folder, (NOW - days * DAY_S,) * 2)
    return files.folder


def environment_here(silo: Path, digest: str) -> Path:
    folder = silo / "envs" / digest.removeprefix("sha256:")
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "tiny.py").write_bytes(b"x" * 500)
    return folder


def found(silo: Path, *, days: float = 30, newest: int = 3) -> list[tuple[Kind, str]]:
    return [(one.kind, one.name) for one in superfluous(silo, older_than_s=days * DAY_S, newest=newest, now=NOW)]


def pruned(silo: Path, *, days: float = 30, newest: int = 3) -> list[str]:
    """Prune; the names of what has gone."""
    going = superfluous(silo, older_than_s=days * DAY_S, newest=newest, now=NOW)
    return [one.name for one in pruning.remove(silo, going)]


@pytest.fixture
def package(tmp_path):
    return built(app_folder(tmp_path / "app"), tmp_path / "dist")


@pytest.fixture
def silo(tmp_path):
    (tmp_path / "silo").mkdir()
    return tmp_path / "silo"


def test_an_empty_silo_has_nothing_to_prune(silo):
    assert found(silo) == []


def test_runs_that_ended_long_ago_go_and_those_at_work_stay_however_old(silo):
    old = run_here(silo, "r-old", SiloPhase.ENDED, days=40)
    new = run_here(silo, "r-new", SiloPhase.ENDED, days=20)
    for phase in (SiloPhase.ACTIVE, SiloPhase.REFUSED, SiloPhase.INVITED):
        run_here(silo, f"r-{phase.value}", phase, days=400)
    (one,) = superfluous(silo, older_than_s=30 * DAY_S, newest=3, now=NOW)
    session = sum(path.stat().st_size for path in old.glob("session.*"))
    assert (one.kind, one.name, one.size_bytes, one.why) == (Kind.RUN, "r-old", 1000 + session, "it ended 40 days ago")

    assert pruned(silo) == ["r-old"]

    assert not old.exists()
    assert len(list((silo / "runs").iterdir())) == 4
    assert pruned(silo, days=0) == ["r-new"]
    assert not new.exists()


def test_a_run_whose_privacy_may_not_be_settled_and_one_that_cannot_be_read_are_left_to_the_agent(silo):
    for name in ("privacy.json", "noisy"):
        folder = run_here(silo, f"r-{name}", SiloPhase.ENDED, days=40)
        (folder / name).write_bytes(b"{}")
        os.utime(folder, (NOW - 40 * DAY_S,) * 2)
    broken = run_here(silo, "r-broken", SiloPhase.ENDED, days=40)
    for slot in broken.glob("session.*"):
        slot.write_bytes(b"rot")
    os.utime(broken, (NOW - 40 * DAY_S,) * 2)
    assert found(silo, days=0) == []


def test_a_run_that_is_taken_up_again_meanwhile_stays(silo):
    folder = run_here(silo, "r-1", SiloPhase.ENDED, days=40)
    going = superfluous(silo, older_than_s=30 * DAY_S, newest=3, now=NOW)
    run_here(silo, "r-1", SiloPhase.ACTIVE, days=0)

    assert pruning.remove(silo, going) == ()
    assert (folder / "held" / "train-1").exists()


def test_an_environment_goes_with_its_packages_approval_but_for_a_run_at_work(silo, package):
    packages = Packages(silo)
    packages.add(package.path)
    packages.approve(package.digest, "ann")
    mine, gone = environment_here(silo, package.digest), environment_here(silo, GONE)
    assert found(silo) == [(Kind.ENVIRONMENT, GONE)]

    run_here(silo, "r-1", SiloPhase.ACTIVE, days=0, digest=package.digest)
    packages.revoke(package.digest, "ann")
    assert found(silo) == [(Kind.ENVIRONMENT, GONE)]
    assert pruned(silo) == [GONE]
    assert not gone.exists()

    run_here(silo, "r-1", SiloPhase.ENDED, days=0, digest=package.digest)
    (one,) = superfluous(silo, older_than_s=DAY_S, newest=3, now=NOW)
    assert (one.name, one.size_bytes) == (package.digest, 500)
    assert one.why == "the approval of its package was taken back"
    run_here(silo, "r-1", SiloPhase.ACTIVE, days=0, digest=package.digest)  # between the two it has begun
    assert pruning.remove(silo, [one]) == ()
    assert mine.exists()


def test_models_go_by_age_but_for_the_newest_of_each_app_and_dataset(silo):
    models = KeptModels(silo)
    ages = {"r-1": 100, "r-2": 90, "r-3": 80, "r-4": 10}
    keep(models, *(about(run, NOW - days * DAY_S) for run, days in ages.items()))
    keep(models, about("r-other", NOW - 1000 * DAY_S, dataset="other"))
    keep(models, about("r-layout", NOW - 1000 * DAY_S, layout="blake3:" + "d" * 64))

    assert found(silo, newest=1) == [(Kind.MODEL, "r-3"), (Kind.MODEL, "r-2"), (Kind.MODEL, "r-1")]
    assert found(silo, days=95, newest=1) == [(Kind.MODEL, "r-1")]
    assert pruned(silo, newest=2) == ["r-2", "r-1"]
    assert [one.about.run for one in models.all()] == ["r-layout", "r-other", "r-3", "r-4"]


def test_bytes_that_another_name_holds_are_not_said_to_become_free(silo):
    folder = run_here(silo, "r-1", SiloPhase.ENDED, days=40)
    before = superfluous(silo, older_than_s=0, newest=3, now=NOW)[0].size_bytes
    table = silo / "table"
    table.write_bytes(b"x" * 10_000)
    os.link(table, folder / "table")
    os.utime(folder, (NOW - 40 * DAY_S,) * 2)
    assert superfluous(silo, older_than_s=0, newest=3, now=NOW)[0].size_bytes == before


@pytest.mark.parametrize("what", ["run", "environment", "model"])
def test_a_removal_that_is_cut_off_leaves_it_whole_or_found_by_the_next(silo, what, monkeypatch):
    paths = {
        "run": run_here(silo, "r-1", SiloPhase.ENDED, days=40),
        "environment": environment_here(silo, GONE),
        "model": silo / "models" / "r-old.safetensors",
    }
    keep(KeptModels(silo), about("r-old", NOW - 100 * DAY_S), about("r-newer", NOW - 90 * DAY_S))
    one = next(x for x in superfluous(silo, older_than_s=0, newest=1, now=NOW) if x.kind.value == what)

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    for module in ("septum.silo.pruning", "septum.silo.environment"):
        monkeypatch.setattr(f"{module}.shutil.rmtree", die)
    monkeypatch.setattr("septum.silo.pruning._delete", die)
    with pytest.raises(Killed):
        pruning.remove(silo, [one])
    monkeypatch.undo()

    assert not paths[what].exists()  # under its own name: all of it is under another one
    pruned(silo, days=0, newest=1)
    assert found(silo, days=0, newest=1) == []
    assert not [path for path in silo.rglob("*going*") if not path.name.endswith(".lock")]


def test_what_cannot_be_asked_for_is_named(silo):
    with pytest.raises(ConfigError, match="0 models"):
        superfluous(silo, older_than_s=0, newest=0, now=NOW)
    with pytest.raises(ConfigError, match="-1 days"):
        superfluous(silo, older_than_s=-DAY_S, newest=1, now=NOW)


def test_environments_are_listed_by_the_digest_of_their_package(silo):
    environment_here(silo, GONE)
    (silo / "envs" / ".lock").write_bytes(b"")
    assert [digest for digest, _ in Environments(silo / "envs").all()] == [GONE]
