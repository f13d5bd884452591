"""What leaves of the agent's own log: what was decided to, of every event that it logs, and no number of the data."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import septum.silo
from septum.silo.log import Log
from septum.silo.told import LEAVES, told

SOURCES = sorted(Path(septum.silo.__file__).parent.glob("*.py"))
METHODS = {"info", "warning", "error", "exception"}

# Decided to stay: of no run, or with nothing in them for others.
STAYS = {
    "agent_ended", "agent_failed", "app_approved", "audit_log_damaged", "audit_not_seen", "budget_not_looked_at",
    "coordinator_has_no_audit_log", "coordinator_history_changed", "data_not_usable", "data_ready",
    "deployment", "deployments_ended", "deployments_failed", "deployments_not_followed", "ending",
    "kept_model_unreadable", "leave_failed", "log_not_told", "metrics_not_written", "not_accepted",
    "not_heeded", "not_tracked", "package_folded", "package_not_folded", "packages_swept", "poll_failed",
    "privacy_attested", "privacy_without_torch", "ready", "roster_pinned", "roster_unreadable",
    "session_unreadable", "stance_unreadable", "system_not_seen", "system_not_told", "tracking_dropped",
    "tracking_refused", "tracking_waits",
}  # fmt: skip
KNOWN_ANYWAY = {"app", "rule", "stage", "round", "attempt", "step", "answer", "outcome"}


def events() -> dict[str, set[str]]:
    """Every event that some line of the agent's source logs, with the fields that are given with it there."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        for call in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in METHODS
                and call.args
                and ast.unparse(call.func.value).rpartition(".")[2].strip("_").startswith("log")
            ):
                for name in _texts(call.args[0]):
                    found.setdefault(name, set()).update(word.arg for word in call.keywords if word.arg)
    return found


def _texts(node: ast.expr) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def test_of_every_event_it_was_decided_whether_it_leaves():
    decided = LEAVES.keys() | STAYS
    logged = {name for name in events() if name != "not_"}  # before the name of what was not told: of no run
    new = sorted(logged - decided)
    assert not new, f"{new}: into told.LEAVES, with the fields that may leave, or into STAYS here"
    assert len(logged) > 40
    assert LEAVES.keys() & STAYS == set()


def test_no_field_leaves_that_the_coordinator_does_not_know_anyway():
    assert {name for fields in LEAVES.values() for name in fields} <= KNOWN_ANYWAY


@pytest.mark.parametrize("event", sorted(LEAVES))
def test_a_line_that_leaves_has_no_row_count_path_value_reason_or_secret_in_it(event):
    secret = {
        name: f"SECRET-{name}"
        for name in ("rows", "path", "error", "hint", "reason", "traceback", "dataset", "pid", "hours", "told", "token")
    }
    text = told(event, {**secret, "run_id": "r-1", "silo": "north", "stage": "train", "round": 3, "attempt": 1})
    assert text is not None
    assert text.startswith(event)
    assert "SECRET" not in text


def test_a_listener_hears_what_a_log_writes_with_all_its_fields_and_so_of_those_bound_from_it():
    heard = []
    log = Log(silo="north").heard_by(lambda *line: heard.append(line))
    log.bind(run_id="r-1").warning("disconnected", error="x")
    ((level, event, fields),) = heard
    assert (level.value, event, fields) == ("warning", "disconnected", {"silo": "north", "run_id": "r-1", "error": "x"})
