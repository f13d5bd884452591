"""The tutorial's commands do what its text says, typed as they stand, in one shell, from an empty folder."""

from __future__ import annotations

import re

import pytest
from tests.e2e.typed_page import LIMIT_S, commands_of, page, said_by, typed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * LIMIT_S)]
COMMANDS = commands_of(page("tutorial.md"))
WAITS = {  # what the text tells the reader to wait for
    "septum coordinator start": "until grep -q 'takes requests' coordinator.log; do sleep 0.1; done",
    "septum silo deploy accept": "until septum silo deploy list --dir cleveland | grep -q active; do sleep 0.2; done",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, str]:
    """What each command printed."""
    return typed(COMMANDS, tmp_path_factory.mktemp("tutorial"), WAITS)


def test_every_command_of_the_tutorial_works_as_it_stands(told):
    assert set(told) == set(COMMANDS)
    assert "rosa is signed in" in said_by(told, "login --invitation")
    assert "WHAT LEAVES THIS SILO" in said_by(told, "app review")
    assert said_by(told, "as rosa septum silo list").count("online") == 4


def test_the_first_run_is_masked_and_finishes_and_the_clone_differs_in_one_setting(told):
    first = said_by(told, "--name first")
    assert "round 15/15" in first
    assert "masked: the coordinator learns sums over 4 silos" in first
    compared = said_by(told, "run compare")
    settings = compared.partition("ROC-AUC OF ROUND")[0]
    assert "hyper.lr" in settings
    assert "0.001" in settings
    assert "0.005" in settings
    assert "best" in compared
    best = float(re.findall(r"roc_auc (0\.\d+)", said_by(told, "--name faster"))[-1])
    assert best > 0.85


def test_the_run_can_be_looked_into_afterwards(told):
    timed = said_by(told, "run timeline")
    assert "coordinator" in timed
    assert "cleveland" in timed
    assert "cleveland" in said_by(told, "log show")
    events = said_by(told, "log events")
    assert "run.submitted" in events
    assert "rosa" in events


def test_the_best_model_predicts_in_a_hospital_that_accepted_it(told):
    assert re.search(r"heart .*active", said_by(told, "deploy list"))
    header, *rows = said_by(told, "cat predictions.csv").strip().splitlines()
    assert header.startswith("patient,")
    scores = {row.split(",")[0]: float(row.split(",")[1]) for row in rows}
    assert scores["p-1"] < 0.5 < scores["p-2"]


def test_a_revoked_hospital_is_shown_as_such(told):
    after = [text for command, text in told.items() if command == "as olga septum silo list"]
    assert re.search(r"switzerland +revoked", after[-1])
