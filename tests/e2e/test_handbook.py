"""The operator's handbook: its commands do what its text says, typed as they stand, in the tutorial's federation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.e2e.typed_page import LIMIT_S, commands_of, page, said_by, typed

from septum.coordinator.backup_files import read_manifest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * LIMIT_S)]
COMMANDS = commands_of(page("operators-handbook.md"))
ENROLLED = commands_of(page("tutorial.md").partition("## 5.")[0])
SIGNED_IN = "export XDG_CONFIG_HOME=$PWD/people/olga"  # as whom the handbook's `septum` speaks
START = "septum coordinator start --data-dir consortium --listen 127.0.0.1:8443"
WAITS = {  # the first start is the tutorial's, the others are the handbook's
    f"{START} > ": "until grep -q 'takes requests' coordinator.log; do sleep 0.1; done",
    f"{START} >> ": "until septum silo list >/dev/null 2>&1; do sleep 0.1; done",
    "septum silo start": "until septum silo list | grep -q 'hungary.*online'; do sleep 0.1; done",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("handbook")


@pytest.fixture(scope="module")
def told(home) -> dict[str, str]:
    """What each command printed."""
    return typed([*ENROLLED, SIGNED_IN, *COMMANDS], home, WAITS)


def test_every_command_of_the_handbook_works_as_it_stands(told):
    assert set(COMMANDS) <= set(told)
    assert said_by(told, "silo list").count("online") == 4


def test_a_run_goes_on_over_an_upgrade_and_over_a_restore_to_the_same_model(told, home):
    watched = said_by(told, "run watch through-the-upgrade")
    assert len(re.findall(r"^status +finished$", watched, re.MULTILINE)) == 2
    first, second = re.findall(r"^model +(blake3:[0-9a-f]+)$", watched, re.MULTILINE)
    assert first == second
    assert read_manifest(home / "tutorial" / "backups" / "before-the-upgrade").epoch == 1


def test_a_silo_that_brought_a_new_key_is_in_masked_runs_again(told):
    assert "the old one is refused from now on" in said_by(told, "silo rekey")
    assert "round 3/3" in said_by(told, "after-the-new-key")


def test_whom_the_operator_revokes_is_out(told):
    assert "revoked" in said_by(told, "silo show switzerland")


def test_the_evidence_is_there_and_says_what_happened(told, home):
    events = (home / "tutorial" / "evidence" / "events.json").read_text()
    assert "silo.revoked" in events
    assert "person.suspended" in events
    sums = json.loads((home / "tutorial" / "evidence" / "hungary-sums.json").read_text())
    assert sums["status"] == "ok"


def test_the_audit_log_holds_and_silos_have_countersigned_it(told):
    """After an upgrade, a restore, a new key and a revocation."""
    said = said_by(told, "audit verify")
    assert "evidence/audit.jsonl holds: " in said
    assert "signed heads" in said
