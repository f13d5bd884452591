"""Somebody else's package, in an environment of its own: installed with septum from wheels, it is used by its names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.e2e.wheels import fresh_environment, install, package_wheel, septum_wheel, uninstall, write_wheel

PACKAGE = Path(__file__).parent / "another_package"
EXAMPLE = Path(__file__).parents[2] / "examples" / "heart_disease"
ENTRY_POINTS = """
[septum.strategies]
another-rule = septum_another.rule:RULE
[septum.trackers]
another-diary = septum_another.tracker:make
[septum.readers]
another-rows = septum_another.reader:KIND
[septum.launchers]
another-launcher = septum_another.launcher:NotingLauncher
"""
GROUPS = {
    "another-rule": "septum.strategies",
    "another-diary": "septum.trackers",
    "another-rows": "septum.readers",
    "another-launcher": "septum.launchers",
}
FEDERATION = """
import json, sys
from pathlib import Path
from septum.cli.federation import Federation
from septum.cli.options import RunOptions
from septum.cli.planning import described, load, make_plan
from septum.cli.silo_files import silo_files
from septum.client import Client

base, example = Path(sys.argv[1]), Path(sys.argv[2])
records = silo_files(example / "data")
with Federation(base, example, "heart-disease", records) as federation:
    federation.operator_dir.mkdir(mode=0o700)
    (federation.operator_dir / "coordinator.toml").write_text('[tracking.another-diary]\\nfile = "diary.txt"\\n')
    options = RunOptions(rounds=3, strategy="another-rule", strategy_settings=("rate=0.5",))
    with Client(federation.start()) as client:
        run = client.submit(make_plan(described(load(example)), tuple(records), options), key="one")
        for entry in client.watch(run.id):
            pass
        print(json.dumps({"run": run.id, "status": client.run(run.id).status.value, "model": client.run(run.id).model}))
        diary = federation.operator_dir / "diary.txt"
        while f"ended {run.id}" not in (diary.read_text() if diary.exists() else ""):
            pass
"""

pytestmark = pytest.mark.e2e


class Installed:
    """The environment with septum and the package in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = fresh_environment(folder / "environment")
        (folder / "wheels").mkdir()
        another = package_wheel(folder / "wheels", "septum-another", "0.7", PACKAGE / "septum_another", ENTRY_POINTS)
        install(self.bin, septum_wheel(folder / "wheels"), another)

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [str(self.bin / str(command[0])), *map(str, command[1:])],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=environment,
            check=False,
            timeout=240,
        )

    def septum(self, *arguments: object) -> dict[str, object]:
        done = self.run("septum", *arguments, "--json")
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("plugins"))


@pytest.fixture(scope="module")
def fedavg(installed):
    return simulated(installed, "fedavg")["data"]["model_digest"]


def simulated(installed, strategy, *settings):
    chosen = [item for setting in settings for item in ("--strategy-set", setting)]
    return installed.septum("simulate", EXAMPLE, "--rounds", 2, "--strategy", strategy, *chosen)


def test_this_is_septum_from_the_wheel(installed):
    done = installed.run("python", "-c", "import septum; print(septum.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.folder)


def test_plugins_are_listed_with_distribution_and_version(installed):
    answer = installed.septum("plugin", "list")
    assert answer["status"] == "ok"
    assert {plugin["name"]: plugin["group"] for plugin in answer["data"]["plugins"]} == GROUPS
    for plugin in answer["data"]["plugins"]:
        assert (plugin["distribution"], plugin["version"]) == ("septum-another", "0.7")
        assert (plugin["loads"], plugin["problem"]) == (True, "")


def test_its_strategy_makes_the_model(installed, fedavg):
    assert simulated(installed, "another-rule")["data"]["model_digest"] == fedavg  # a rate of 1 is FedAvg, to the bit
    assert simulated(installed, "another-rule", "rate=0.5")["data"]["model_digest"] != fedavg


def test_its_settings_are_checked_as_septums_own(installed):
    assert "it must be finite, > 0" in simulated(installed, "another-rule", "rate=0")["error"]["message"]


def test_a_federation_runs_with_its_strategy_and_tracker(installed, tmp_path):
    done = installed.run("python", "-c", FEDERATION, tmp_path, EXAMPLE)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == "finished"
    options = ["--rounds", 3, "--strategy", "another-rule", "--strategy-set", "rate=0.5"]
    assert installed.septum("simulate", EXAMPLE, *options)["data"]["model_digest"] == told["model"]
    diary = (tmp_path / "coordinator" / "diary.txt").read_text().splitlines()
    assert diary == [f"{what} {told['run']}" for what in ("started", *(f"measured {n}" for n in range(4)), "ended")]


def test_its_reader_reads_a_silos_rows(installed, tmp_path):
    silo = '[silo]\nname = "north"\ncoordinator = "https://localhost:1"\n'
    (tmp_path / "silo.toml").write_text(f'{silo}[data.heart]\nsource = "another-rows"\npath = "rows.jsonl"\n')
    (tmp_path / "rows.jsonl").write_text('{"age": 63, "sex": "m"}\n{"age": 41, "sex": "f"}\n')
    described = installed.septum("silo", "data", "describe", "heart", "--dir", tmp_path)["data"]
    assert (described["rows"], [column["name"] for column in described["columns"]]) == (2, ["age", "sex"])


def test_its_author_can_run_the_contract_suites(installed, tmp_path):
    shutil.copyfile(PACKAGE / "check_another.py", tmp_path / "test_another.py")
    done = installed.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.splitlines()[-1].split()[0]) >= 30


@pytest.fixture
def broken(installed, tmp_path):
    """A plugin that cannot be imported, beside the other one; gone after the test."""
    code = {"septum_broken.py": b"import a_module_that_nobody_has\n"}
    points = "[septum.strategies]\nbroken-rule = septum_broken:RULE\n"
    install(installed.bin, write_wheel(tmp_path, "septum-broken", "2.0", code, points))
    yield
    uninstall(installed.bin, "septum-broken")


def test_a_broken_plugin_is_named_and_hinders_nobody_else(installed, fedavg, broken):
    listed = installed.septum("plugin", "list")
    assert "strategy 'broken-rule' of septum-broken 2.0" in listed["error"]["message"]
    states = {plugin["name"]: plugin["problem"] for plugin in listed["data"]["plugins"]}
    assert "No module named 'a_module_that_nobody_has'" in states.pop("broken-rule")
    assert set(states.values()) == {""}
    error = simulated(installed, "broken-rule")["error"]
    assert error["code"] == "plugin"
    assert error["message"].startswith("strategy 'broken-rule' of septum-broken 2.0 cannot be loaded: ModuleNotFound")
    assert simulated(installed, "another-rule")["data"]["model_digest"] == fedavg
