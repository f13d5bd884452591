"""The audit logs on the command line: the coordinator's against a real one, a silo's from its directory."""

from __future__ import annotations

import pytest
from tests.coordinator.running import Running

from septum.protocol.audit import HeadShown
from septum.protocol.codec import dumps, to_json
from septum.silo import audit
from septum.silo.audit import SiloKind
from septum.silo.config import CONFIG_NAME, SiloConfig, write_config
from septum.silo.witness import CHANGED_NAME, SEEN_NAME, Changed, Seen
from septum.testing.contracts.audit import RECORDS
from septum.testing.memory_audit import MemoryAudit


def data(done):
    assert done.code == 0, done.out + done.err
    return done.envelope["data"]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(tmp_path_factory.mktemp("coordinator"))
    found.enrolled("cleveland")
    yield found
    found.stop()


@pytest.fixture
def operator(septum, running):
    """Call a command with the operator's access."""
    return lambda *arguments: septum(*arguments, "--operator-file", running.config.data_dir / "operator.json")


@pytest.mark.served
def test_what_was_recorded_is_listed_the_newest_last(operator):
    events = data(operator("audit", "list", "--silo", "cleveland", "--json"))["events"]
    assert [one["kind"] for one in events] == ["silo.invited", "silo.enrolled"]
    assert [one["by"] for one in events] == ["operator", ""]
    lines = operator("audit", "list", "--kind", "coordinator").out.splitlines()
    assert lines[0].split() == ["NO", "AT", "WHAT", "ABOUT", "BY"]
    assert "coordinator.opened" in lines[1]
    assert operator("audit", "list", "--until", "2000-01-01").out.startswith("nothing yet")


@pytest.mark.served
def test_an_export_is_verified_without_the_coordinator(operator, septum, tmp_path):
    file = tmp_path / "audit.jsonl"
    assert data(operator("audit", "verify", "--json"))["events"] > 2
    kept = data(operator("audit", "export", file, "--json"))
    assert kept["lines"] == len(file.read_bytes().splitlines())
    found = data(septum("audit", "verify", file, "--json"))
    assert found["events"] >= 3
    assert operator("audit", "export", file).code == 1  # nothing is overwritten
    file.write_bytes(file.read_bytes().replace(b"cleveland", b"clevelend"))
    wrong = septum("audit", "verify", file)
    assert wrong.code == 1
    assert "audit event 2 does not hold" in wrong.err
    foreign = septum("audit", "verify", file, "--key", "ed25519:" + "0" * 64)
    assert "and not by ed25519:0000" in foreign.err


def test_a_file_that_is_none_is_said_to_be_none(septum, tmp_path):
    assert "cannot be read" in septum("audit", "verify", tmp_path / "gone").err
    (tmp_path / "other").write_text("hello\n")
    assert "line 1" in septum("audit", "verify", tmp_path / "other").err


# --- a silo's --------------------------------------------------------------------------------------------------------


@pytest.fixture
def silo_dir(tmp_path):
    folder = tmp_path / "basel"
    folder.mkdir(mode=0o700)
    write_config(folder / CONFIG_NAME, SiloConfig("basel", "https://localhost:8443", {}))
    audit.record(folder, SiloKind.APP_APPROVED, "ada", app="heart 1.0.0")
    audit.record(folder, SiloKind.DATA_OPENED, run="r-1", dataset="sha256:aa", rows="299")
    return folder


def test_a_silos_log_is_listed_verified_and_exported(septum, silo_dir, tmp_path):
    events = data(septum("silo", "audit", "list", "--dir", silo_dir, "--json"))["events"]
    assert [(one["kind"], one["by"]) for one in events] == [("app.approved", "ada"), ("data.opened", "")]
    one = data(septum("silo", "audit", "list", "--run", "r-1", "--dir", silo_dir, "--json"))["events"]
    assert [event["about"]["rows"] for event in one] == ["299"]
    found = data(septum("silo", "audit", "verify", "--dir", silo_dir, "--json"))
    assert (found["events"], found["newest"], found["coordinator"]) == (2, str(audit.newest(silo_dir)), None)
    assert data(septum("silo", "audit", "verify", "--head", found["newest"], "--dir", silo_dir, "--json"))
    file = tmp_path / "basel.jsonl"
    assert septum("silo", "audit", "export", file, "--dir", silo_dir).code == 0
    assert data(septum("audit", "verify", file, "--json"))["events"] == 2


def test_a_silos_log_that_was_cut_is_missed_by_the_event_that_the_coordinator_was_told(septum, silo_dir):
    told = data(septum("silo", "audit", "verify", "--dir", silo_dir, "--json"))["newest"]
    path = silo_dir / audit.FILE_NAME
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")
    assert septum("silo", "audit", "verify", "--dir", silo_dir).code == 0  # it holds in itself
    wrong = septum("silo", "audit", "verify", "--head", told, "--dir", silo_dir)
    assert wrong.code == 1
    assert "it was cut or made anew" in wrong.err
    assert septum("silo", "audit", "verify", "--head", "x", "--dir", silo_dir).code == 2


def test_another_history_of_the_coordinator_is_said_until_a_steward_accepts_it(septum, silo_dir):
    log = MemoryAudit()
    log.append(RECORDS, at=1.0)
    head = log.sign(at=1.0)
    for name, state in ((SEEN_NAME, Seen(head)), (CHANGED_NAME, Changed(head, HeadShown(head), "it was cut"))):
        (silo_dir / name).write_bytes(dumps(to_json(state)))
    wrong = septum("silo", "audit", "verify", "--dir", silo_dir)
    assert wrong.code == 1
    assert "not the one that this silo has seen: it was cut" in wrong.err
    assert head.head.root in wrong.out
    done = data(septum("silo", "audit", "accept", "--reason", "restored on Monday", "--dir", silo_dir, "--json"))
    assert done["because"] == "restored on Monday"
    assert septum("silo", "audit", "verify", "--dir", silo_dir).code == 0
    again = septum("silo", "audit", "accept", "--reason", "again", "--dir", silo_dir)
    assert (again.code, "had seen, nothing yet," in again.out) == (0, True)
    assert septum("silo", "audit", "accept", "--reason", " ", "--dir", silo_dir).code == 2
