import json

import pytest
from tests.sdk.packaging import app_folder, built
from tests.silo.small_app import write_app, write_data

from septum.cli.checks import Level, clock, directory, python_version, worker_process
from septum.ports.launcher import WorkerLimits
from septum.silo.config import AppSettings, SiloConfig, write_config
from septum.silo.packages import Packages

pytestmark = [pytest.mark.processes, pytest.mark.served]


def test_doctor_is_well_with_a_coordinator_that_answers(coordinator, septum, home):
    done = septum("doctor", "--json")
    assert done.code == 0
    checks = {check["name"]: check for check in done.envelope["data"]["checks"]}
    assert checks["coordinator"]["status"] == "ok"
    assert "0.1.0" in checks["coordinator"]["message"]
    assert checks["clock"]["status"] == "ok"
    assert checks["worker"]["status"] == "ok"


def test_doctor_fails_with_the_next_command_when_nobody_answers(septum):
    done = septum("doctor", "--url", "https://127.0.0.1:1", "--token", "t", "--json")
    assert done.code == 1
    assert done.envelope["error"]["code"] == "doctor"
    failed = [check for check in done.envelope["data"]["checks"] if check["status"] == "fail"]
    assert [check["name"] for check in failed] == ["coordinator"]
    assert failed[0]["hint"]


def test_doctor_without_a_coordinator_warns_and_is_well(septum):
    done = septum("doctor")
    assert done.code == 0
    assert "none is named" in done.out


def test_another_version_is_a_warning(coordinator, septum):
    coordinator.version = "9.9.9"
    done = septum("doctor", "--json")
    assert next(c for c in done.envelope["data"]["checks"] if c["name"] == "coordinator")["status"] == "warn"


def test_an_old_python_fails():
    assert python_version((3, 10, 9)).level is Level.FAIL
    assert python_version((3, 11, 0)).level is Level.OK


@pytest.mark.parametrize(
    ("offset_s", "level"), [(0, Level.OK), (-5, Level.OK), (6, Level.WARN), (-61, Level.FAIL), (61, Level.FAIL)]
)
def test_clocks_far_apart_are_found(offset_s, level):
    assert clock(1000.0, 1000.0 + offset_s).level is level
    assert clock(None, 1000.0).level is Level.WARN


def test_a_data_directory_open_to_others_is_a_warning(tmp_path):
    tmp_path.chmod(0o755)
    assert directory(tmp_path, private=True).level is Level.WARN
    assert directory(tmp_path, private=False).level is Level.OK
    tmp_path.chmod(0o700)
    assert directory(tmp_path, private=True).level is Level.OK


def test_a_directory_that_is_not_there_can_be_made_or_not(tmp_path):
    assert directory(tmp_path / "new" / "one", private=True).level is Level.OK
    (tmp_path / "file").write_text("")
    assert directory(tmp_path / "file", private=True).level is Level.FAIL


def test_limits_that_cannot_be_set_are_found():
    assert worker_process(WorkerLimits()).level is Level.OK
    found = worker_process(WorkerLimits(open_files=10**9))  # over fs.nr_open, which binds root, too
    assert found.level is Level.FAIL
    assert "cannot set its limits" in found.message


def test_a_config_file_that_others_can_read_is_a_warning(septum, home):
    path = home / "home" / ".config" / "septum" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("")
    path.chmod(0o644)
    assert "chmod 600" in septum("doctor").out
    path.chmod(0o600)
    assert "chmod 600" not in septum("doctor").out


def test_the_coordinators_directory_says_how_to_reach_it(coordinator, septum, home, monkeypatch):
    for name in ("SEPTUM_URL", "SEPTUM_TOKEN", "SEPTUM_CA"):
        monkeypatch.delenv(name)
    access = {"url": coordinator.url, "token": coordinator.token, "ca_file": str(coordinator.ca_file)}
    (home / "operator.json").write_text(json.dumps(access))
    done = septum("doctor", "--data-dir", home, "--json")
    assert [check["status"] for check in done.envelope["data"]["checks"] if check["name"] == "coordinator"] == ["ok"]


@pytest.fixture
def silo_dir(coordinator, home):
    """An enrolled silo's directory, with an app and its data."""
    write_app(home / "app")
    write_data(home / "data.csv")
    folder = home / "silo"
    folder.mkdir(mode=0o700)
    apps = {"small": AppSettings(home / "app", home / "data.csv")}
    write_config(folder / "silo.toml", SiloConfig("boston", coordinator.url, apps))
    (folder / "ca.pem").write_bytes(coordinator.ca_file.read_bytes())
    return folder


def checked(septum, folder):
    done = septum("doctor", "--dir", folder, "--json")
    return done.code, {check["name"]: check for check in done.envelope["data"]["checks"]}


def test_a_silos_directory_is_looked_at_as_its_agent_will(coordinator, septum, silo_dir):
    code, checks = checked(septum, silo_dir)
    assert checks["coordinator"] == {
        "name": "coordinator",
        "status": "ok",
        "message": f"{coordinator.url} answers",
        "hint": "",
    }
    assert (code, checks["silo.toml"]["status"]) == (0, "ok")
    assert checks["app small"]["message"].startswith("10 rows in ")


def test_of_an_app_that_comes_as_a_package_each_approved_version_is_looked_at(septum, silo_dir, home):
    config = silo_dir / "silo.toml"
    config.write_text(config.read_text().replace(f'path = "{home / "app"}"\n', ""))
    code, checks = checked(septum, silo_dir)
    assert (code, checks["app small"]["status"]) == (0, "warn")
    assert checks["app small"]["message"] == "its package is not in this silo"
    assert checks["app small"]["hint"] == f"septum silo app fetch small --dir {silo_dir}"

    packages = Packages(silo_dir)
    versions = ("1.0.0", "1.1.0", "1.2.0")
    made = [built(app_folder(home / one, version=one), home / "dist") for one in versions]
    for package in made:
        packages.add(package.path)
    assert checked(septum, silo_dir)[1]["app small"]["message"] == "none of its packages is approved here"
    for package in made[:2]:
        packages.approve(package.digest, "ann")
    code, checks = checked(septum, silo_dir)
    assert (code, "app small" in checks, "app small 1.2.0" in checks) == (0, False, False)
    for package in made[:2]:
        assert checks[f"app small {package.version}"]["message"].startswith("10 rows in ")
        assert checks[f"app small {package.version}"]["message"].endswith(package.digest)

    path = silo_dir / "packages" / made[0].digest.removeprefix("sha256:") / "file.septum"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    (home / "data.csv").write_text("xx,y\n1,2\n")
    code, checks = checked(septum, silo_dir)
    assert (code, "directory" in checks["app small 1.0.0"]["message"]) == (1, True)
    assert "no column 'x'" in checks["app small 1.1.0"]["message"]


@pytest.mark.parametrize(
    ("file", "old", "new", "name", "says"),
    [
        ("silo/silo.toml", "task_s", "tasks_s", "silo.toml", "did you mean 'task_s'"),
        ("silo/silo.toml", "https://127.0.0.1:", "https://127.0.0.2:", "coordinator", "127.0.0.2:"),
        ("data.csv", "x,y", "xx,y", "app small", "no column 'x'; did you mean 'xx'"),
        ("app/septum.toml", "[leaves]", "[leafs]", "app small", "did you mean 'leaves'"),
    ],
)
def test_what_would_stop_a_silo_is_found_before_a_run(septum, silo_dir, file, old, new, name, says):
    path = silo_dir.parent / file
    path.write_text(path.read_text().replace(old, new))
    code, checks = checked(septum, silo_dir)
    assert code == 1
    assert says in checks[name]["message"]
    assert checks[name]["hint"]
