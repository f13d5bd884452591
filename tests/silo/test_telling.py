"""Whose words leave: the steward, the app's manifest and the run all have to allow what an app prints."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from septum.protocol.plan import AppRef, Masking, Plan
from septum.protocol.privacy import Privacy
from septum.protocol.query import Query, QueryColumn
from septum.protocol.silo import Denied
from septum.sdk.leaves import LEAVES
from septum.silo.consent import ApprovedApp, Granted
from septum.silo.datasets import plain_file
from septum.silo.log import Log
from septum.silo.policy import LogsLeave, Policy
from septum.silo.tables import Table
from septum.silo.telling import Telling, app_leaves

PLAN = Plan("heart", AppRef("heart", "1", "sha256:" + "0" * 64), {}, ("east", "north", "south"), rounds=3, quorum=3)
QUERY = Query((QueryColumn("age", "years", minimum=18.0, maximum=99.0, moments=True),))
APP = ApprovedApp(Path("app"), "sha256:" + "0" * 64, "t", {}, tuple(LEAVES), plain_file(Path("heart.csv")))
QUIET = replace(APP, leaves=tuple(name for name in LEAVES if name != "logs"))
PROTECTED = {
    "masked": replace(PLAN, masking=Masking()),
    "private": replace(PLAN, privacy=Privacy(5.0)),
    "a query": replace(PLAN, masking=Masking(), query=QUERY, rounds=1),
}


def test_all_three_have_to_allow_it():
    for logs, app, plan in product(LogsLeave, (APP, QUIET), (PLAN, *PROTECTED.values())):
        allowed = logs is LogsLeave.APP and app is APP and plan is PLAN
        assert app_leaves(Policy(logs=logs), app, plan) is allowed, (logs, app.leaves, plan)


def told_of(policy: Policy, plan: Plan, decision: Granted | Denied) -> list[str]:
    """What waits after a run was decided about, its app has printed a line, and the agent has logged one."""
    telling = Telling(policy, Log(silo="north"))
    telling.admitted("r-1", plan, decision)
    telling.heard("r-1", b"a record: 63,1,145\n")
    telling.log.bind(run_id="r-1").info("working", stage="train", round=2, attempt=1, rows=303)
    batch = telling._outbox.take("r-1")
    return [] if batch is None else [line.text for line in batch.lines]


GRANTED = Granted(APP, Table(Path("rows"), 303, "blake3:0"))
WORKING = "working stage=train round=2 attempt=1"


@pytest.mark.parametrize(
    ("policy", "plan", "texts"),
    [
        (Policy(), PLAN, [WORKING]),
        (Policy(logs=LogsLeave.NONE), PLAN, []),
        (Policy(logs=LogsLeave.APP), PLAN, ["a record: 63,1,145", WORKING]),
        (Policy(logs=LogsLeave.APP), PROTECTED["masked"], [WORKING]),
        (Policy(logs=LogsLeave.APP), PROTECTED["private"], [WORKING]),
    ],
)
def test_what_leaves_of_a_run_that_is_served(policy, plan, texts):
    assert told_of(policy, plan, GRANTED) == texts


def test_of_a_run_that_was_refused_no_line_of_an_app_leaves():
    assert told_of(Policy(logs=LogsLeave.APP), PLAN, Denied("policy.min_rows", "few")) == [WORKING]


def test_while_a_private_run_is_served_the_machine_is_not_shown_and_after_it_is():
    telling = Telling(Policy(), Log(silo="north"))
    serving = {"r-1": True, "r-2": True}
    now = lambda: tuple(run for run, there in serving.items() if there)  # noqa: E731
    telling.admitted("r-1", PLAN, GRANTED)
    assert not telling._hides(now)
    telling.admitted("r-2", PROTECTED["private"], GRANTED)
    assert telling._hides(now)
    serving["r-2"] = False
    assert not telling._hides(now)
