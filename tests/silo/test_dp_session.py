"""A silo's part in a run with differential privacy, from the first message to the last: what leaves, and what stays."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.silo.private_app import OWN_TRAIN, write_own_app, write_private_app, write_rows
from tests.silo.scripted import ScriptedChannel, ScriptedStop, tools_for
from tests.silo.small_app import approved, granted

from septum.adapters.launch.inline import InlineWorker
from septum.privacy.ledger import Budget, Settled
from septum.protocol import payload, tensors
from septum.protocol.messages import End, Evaluate, Failure, Outcome, Prepare, Report, Train, blob_of
from septum.protocol.plan import AppRef, Plan
from septum.protocol.privacy import Privacy, Strength
from septum.protocol.resources import Capacity
from septum.protocol.silo import Denied, SiloRun
from septum.sdk.package import read_manifest
from septum.silo.agent import Agent
from septum.silo.ledger import Ledger, read
from septum.silo.private_receipts import PrivateReceipts
from septum.silo.private_run import PrivacyTools, PrivateRun
from septum.silo.run_files import RunFiles
from septum.silo.session import Session

MODEL = blob_of(
    tensors.encode(payload.model_tensors({"bias": np.zeros(1, np.float32), "weight": np.zeros((1, 1), np.float32)}, {}))
)
ATTESTED = Strength.ATTESTED
FINISHED = End(Outcome.FINISHED)


def concentrated(used, delta):
    del delta
    return math.fsum(getattr(one, "steps", 1) / one.noise_multiplier**2 for one in used)


def tools_in(folder, channel, purse=True):
    privacy = PrivacyTools(
        Ledger(folder, concentrated, lambda: 1.0), Budget(20.0, 1e-5), concentrated, PrivateReceipts(folder)
    )
    return replace(tools_for(channel), send_error_texts=True, privacy=privacy if purse else None)


def play(folder, *script, app=None, purse=True, strength=Strength.ENFORCED, metrics=None):
    """Serve until the script is over, with a silo that would let the texts of errors leave."""
    app_dir = app or write_private_app(folder / "app")
    found = replace(approved(app_dir, write_rows(folder / "rows.csv")), trains=read_manifest(app_dir).trains)
    plan = Plan(
        "p",
        AppRef("small", "1", found.digest),
        {},
        ("north", "south"),
        rounds=2,
        privacy=Privacy(5.0, batch=16, strength=strength, metrics_epsilon=metrics),
    )
    channel = ScriptedChannel(ScriptedStop(), *script)
    tools = tools_in(folder, channel, purse)
    state = SiloRun("r1", "north", plan)
    Session(tools, RunFiles(folder / "runs" / "r1"), state, lambda: granted(found)).serve()
    return channel


def test_what_leaves_is_noisy_updates_and_neither_metric_nor_duration(tmp_path):
    script = (Prepare(1, initial=True), Train(1, 1, MODEL), Train(2, 1, MODEL), Evaluate(2, 1, MODEL), FINISHED)
    reports = [said for said in play(tmp_path, *script).said if isinstance(said, Report)]
    assert [dict(report.durations_s) for report in reports] == [{}, {}, {}, {}]
    assert len({report.weight for report in reports[:3]}) == 1  # one noisy number of rows for all of them
    for report in reports[1:]:
        assert tensors.decode(report.payload.inline)["evaluation.sums"].tolist()[:3] == [0.0, 0.0, 0.0]
    settled = read(tmp_path).entries[-1].event
    assert isinstance(settled, Settled)
    assert settled.executed == 2
    assert [receipt.steps for receipt in PrivateReceipts(tmp_path).all()] == [2]


def test_a_report_that_is_asked_for_again_is_the_same_and_costs_nothing(tmp_path):
    script = (Prepare(1, initial=True), Train(1, 1, MODEL), Train(1, 2, MODEL), FINISHED)
    _, first, second = (said for said in play(tmp_path, *script).said if isinstance(said, Report))
    assert second.payload.inline == first.payload.inline  # no second noise for one update
    assert read(tmp_path).entries[-1].event.executed == 1


def test_metrics_that_the_plan_asks_for_leave_once_with_the_last_model_alone(tmp_path):
    """Asked of another model, as a coordinator might that wants more, the silo has no second answer."""
    other = blob_of(tensors.encode({"bias": np.ones(1, np.float32), "weight": np.ones((1, 1), np.float32)}))
    script = (Prepare(1, initial=True), Train(1, 1, MODEL), Train(2, 1, MODEL))
    script += (Evaluate(2, 1, MODEL), Evaluate(2, 2, MODEL), Evaluate(2, 3, other), FINISHED)
    said = play(tmp_path, *script, metrics=1.0).said
    *_, trained, first, second = [one for one in said if isinstance(one, Report)]
    assert "evaluation.noisy" not in tensors.decode(trained.payload.inline)
    assert first.payload.inline == second.payload.inline
    assert (tensors.decode(first.payload.inline)["evaluation.noisy"] != 0).all()
    assert dict(first.durations_s) == {}
    (failure,) = (one for one in said if isinstance(one, Failure))
    assert "they are paid for once" in failure.reason
    (receipt,) = PrivateReceipts(tmp_path).all()
    metrics = Privacy(5.0, metrics_epsilon=1.0).metrics
    (spent,) = read(tmp_path).book.spent.values()
    assert spent.count(metrics) == 1
    assert receipt.epsilon > concentrated([metrics], 1e-5)


def test_what_an_app_says_of_a_row_stays_whatever_the_policy_says(tmp_path):
    app = write_private_app(tmp_path / "app")
    code = (app / "app.py").read_text()
    (app / "app.py").write_text(
        code.replace("    data = Data.of(", "    raise ValueError('Jane Doe')\n    data = Data.of(")
    )
    (failure,) = (
        said for said in play(tmp_path, Prepare(1, initial=True), FINISHED, app=app).said if isinstance(said, Failure)
    )
    assert "Jane" not in failure.reason + failure.details
    assert "keeps the reason to itself" in failure.reason


def test_of_an_apps_own_training_leaves_what_it_attests_and_the_silo_logs_it(tmp_path, caplog):
    app = write_own_app(tmp_path / "app")
    with caplog.at_level(logging.INFO, "septum.silo"):
        said = play(tmp_path, Prepare(1, initial=True), Train(1, 1, MODEL), FINISHED, app=app, strength=ATTESTED).said
    _, report = (one for one in said if isinstance(one, Report))
    left = tensors.decode(report.payload.inline)
    assert left["update.weight"].tolist() == [[0.5]]
    assert left["evaluation.sums"].tolist()[:3] == [0.0, 0.0, 0.0]
    assert not {"attested", "noise_multiplier"} & {part for name in left for part in name.split(".")}
    (logged,) = (record.septum_fields for record in caplog.records if record.message == "privacy_attested")
    assert (logged["round"], logged["steps"], logged["clip"]) == (1, 1, 1.0)
    assert read(tmp_path).entries[-1].event.executed == 1


@pytest.mark.parametrize("train", ["    return p\n", OWN_TRAIN.replace("=asked.noise", "=0.5 * asked.noise")])
def test_of_an_apps_own_training_nothing_leaves_that_it_does_not_attest(tmp_path, train):
    app = write_own_app(tmp_path / "app", train)
    said = play(tmp_path, Train(1, 1, MODEL), FINISHED, app=app, strength=ATTESTED).said
    (failure,) = (one for one in said if isinstance(one, Failure))
    assert not any(isinstance(one, Report) for one in said)
    assert failure.reason == "train-1 failed in this silo, which keeps the reason to itself"


def test_the_agent_asks_for_it_whatever_the_apps_process_is(tmp_path, monkeypatch):
    """A process that sends its update and no word of privacy with it."""
    monkeypatch.setattr(InlineWorker, "perform", unsaid(InlineWorker.perform))
    app = write_own_app(tmp_path / "app")
    said = play(tmp_path, Train(1, 1, MODEL), FINISHED, app=app, strength=ATTESTED).said
    assert not any(isinstance(one, Report) for one in said)


def unsaid(perform):
    return lambda *arguments: replace(perform(*arguments), attested=None)


@pytest.mark.parametrize("asked", [Prepare(1, initial=True), Train(1, 1, MODEL)])
def test_a_silo_without_a_ledger_does_no_such_work(tmp_path, asked):
    (failure,) = (said for said in play(tmp_path, asked, FINISHED, purse=False).said if isinstance(said, Failure))
    assert failure.reason == "this silo takes no part in runs with differential privacy"


class Killed(BaseException):
    """The process is gone: nobody catches it."""


@pytest.mark.parametrize("end", [FINISHED, End(Outcome.STOPPED, "by an operator")])
def test_an_agent_that_was_killed_at_the_end_of_a_run_settles_it_when_it_is_started_again(tmp_path, monkeypatch, end):
    with monkeypatch.context() as killing:
        killing.setattr(PrivateRun, "settle", lambda _: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            play(tmp_path, Prepare(1, initial=True), Train(1, 1, MODEL), end)
    assert read(tmp_path).book.pending
    for _ in range(2):  # and it is settled once
        tools = tools_in(tmp_path, ScriptedChannel(ScriptedStop()))
        Agent("north", lambda *_: Denied("rule", "no"), tmp_path / "runs", Capacity(1), tools).serve()
        told = read(tmp_path)
        assert not told.book.pending
        assert [entry.event.executed for entry in told.entries if isinstance(entry.event, Settled)] == [1]
        assert [receipt.steps for receipt in PrivateReceipts(tmp_path).all()] == [1]
    assert (tmp_path / "runs" / "r1").exists() == (end is not FINISHED)
