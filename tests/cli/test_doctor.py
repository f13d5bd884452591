import pytest

from septum.cli.checks import Level, clock, directory, python_version, worker_process
from septum.ports.launcher import WorkerLimits


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
