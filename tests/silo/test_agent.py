"""The agent: asks for runs, decides, serves each in a thread, and ends in order."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.silo.scripted import HeldChannel, ScriptedChannel, ScriptedStop, serve, tools_for, until
from tests.silo.small_app import admission, allowing, approved, write_app, write_data

from septum.adapters.channel.http1 import StaleLineError
from septum.adapters.launch.inline import InlineWorker
from septum.errors import AuthError, ConnectionFailedError, SeptumError, WorkerError
from septum.ports.launcher import Task, TaskResult
from septum.protocol import payload, tensors
from septum.protocol.messages import (
    Await,
    End,
    Instruction,
    Invitation,
    Join,
    Leave,
    Outcome,
    PollAnswer,
    Refuse,
    Report,
    Train,
    Wait,
    blob_of,
)
from septum.protocol.plan import AppRef, Plan
from septum.protocol.resources import Capacity, Resources
from septum.silo.agent import KEEP_STOPPED_S, Agent, Hooks
from septum.silo.policy import Policy
from septum.silo.run_files import RunFiles
from septum.silo.session import Session
from septum.silo.talking import AUTH_PAUSE_S

FOUR = Capacity(4)
BASE = blob_of(tensors.encode(payload.model_tensors({"w": np.zeros((1, 1), np.float32)}, {})))


class Bench:
    """One silo's directory; agents are made on it as the composition root would."""

    def __init__(self, folder: Path) -> None:
        app_dir = write_app(folder / "app")
        self.app = approved(app_dir, write_data(folder / "data.csv"))
        self.plan = Plan("p", AppRef("small", "1", self.app.digest), {}, ("north", "south"), rounds=2)
        self.folder, self.runs = folder, folder / "runs"

    def agent(self, channel: ScriptedChannel, policy: Policy | None = None, capacity: Capacity = FOUR) -> Agent:
        admit = admission(self.folder, self.app, policy).admit
        return Agent("north", admit, self.runs, capacity, tools_for(channel))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_invitation_that_the_policy_allows_is_served_to_its_end(bench: Bench) -> None:
    channel = HeldChannel(Train(1, 1, BASE), End(Outcome.FINISHED), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(channel)
    thread = serve(agent)
    until(lambda: len(channel.said) == 2 and agent.serving == ())
    assert [type(message) for message in channel.said] == [Join, Report]
    assert not (bench.runs / "r1").exists()
    agent.shut_down()
    thread.join()


def test_an_invitation_that_a_rule_forbids_is_refused_and_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    channel = HeldChannel(End(Outcome.STOPPED), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(channel, allowing(min_cohort=3))
    with caplog.at_level(logging.INFO, "septum.silo"):
        thread = serve(agent)
        until(lambda: len(channel.said) == 1 and agent.serving == ())
    (message,) = channel.said
    assert isinstance(message, Refuse)
    assert message.rule == "policy.min_cohort"
    assert "consent_denied" in caplog.messages
    agent.shut_down()
    thread.join()


def test_polls_say_which_runs_are_served(bench: Bench) -> None:
    invitations: list[PollAnswer | SeptumError] = [Invitation("r1", bench.plan), Invitation("r2", bench.plan)]
    channel = HeldChannel(Wait(), Wait(), polls=invitations)
    agent = bench.agent(channel)
    thread = serve(agent)
    until(lambda: len(channel.polled) == 3)
    assert channel.polled == [(), ("r1",), ("r1", "r2")]
    agent.shut_down()
    thread.join()


def test_no_run_is_asked_for_while_there_is_no_room(bench: Bench) -> None:
    channel = HeldChannel(Wait(), polls=[Invitation("r1", bench.plan), Invitation("r2", bench.plan)])
    agent = bench.agent(channel, capacity=Capacity(1))
    thread = serve(agent)
    assert channel.holding.acquire(timeout=20)  # r1 waits for its first instruction
    threading.Event().wait(0.1)
    assert channel.polled == [()]
    agent.shut_down()
    thread.join()


def test_a_run_that_does_not_fit_beside_the_others_is_not_begun_though_the_coordinator_insists(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("septum.silo.agent.ROOM_S", 0.01)
    half = replace(bench.plan, resources=Resources(cpus=1))
    small = replace(bench.plan, resources=Resources(memory_mb=100))
    insisting = [Invitation("r2", half), Invitation("r2", half), Invitation("r3", small)]
    channel = HeldChannel(Wait(), Wait(), polls=[Invitation("r1", half), *insisting])
    agent = bench.agent(channel, capacity=Capacity(4, cpus=1.5))
    thread = serve(agent)
    until(lambda: len(channel.polled) == 5)
    assert agent.serving == ("r1", "r3")
    agent.shut_down()
    thread.join()


def test_a_run_begins_as_soon_as_another_one_has_made_room(bench: Bench) -> None:
    whole = replace(bench.plan, resources=Resources(cpus=1))
    channel = HeldChannel(
        End(Outcome.STOPPED), End(Outcome.STOPPED), polls=[Invitation("r1", whole), Invitation("r2", whole)]
    )
    agent = bench.agent(channel, capacity=Capacity(4, cpus=1))
    thread = serve(agent)
    until(lambda: len(channel.said) == 2 and agent.serving == ())
    assert [type(message) for message in channel.said] == [Join, Join]
    agent.shut_down()
    thread.join()


class StuckWorker(InlineWorker):
    """Works until it is closed."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self._over = threading.Event()

    def perform(self, task: Task, output: Path) -> TaskResult:  # noqa: ARG002  as it is called
        assert self._over.wait(20)
        raise WorkerError("it was closed")

    @property
    def alive(self) -> bool:
        return not self._over.is_set()

    def close(self) -> None:
        self._over.set()


def test_work_that_nobody_waits_for_any_more_is_broken_off_and_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("septum.silo.agent.ASK_AFTER_S", 0.0)
    monkeypatch.setattr("septum.silo.agent.ASK_EVERY_S", 0.0)
    monkeypatch.setattr("septum.adapters.launch.inline.InlineWorker", StuckWorker)
    channel = HeldChannel(Train(1, 1, BASE), End(Outcome.STOPPED), polls=[Invitation("r1", bench.plan)])
    asked: list[tuple[str, ...]] = []
    over: list[str] = []

    def ask(serving: Sequence[str]) -> Sequence[str]:
        asked.append(tuple(serving))
        return over

    admit = admission(bench.folder, bench.app).admit
    agent = Agent("north", admit, bench.runs, FOUR, tools_for(channel), Hooks(over=ask))
    thread = serve(agent)
    until(lambda: agent.break_off() or asked != [])
    assert asked[-1] == ("r1",)
    over += ["r-of-somebody-else"]
    agent.break_off()
    assert agent.serving == ("r1",)
    over += ["r1"]
    with caplog.at_level(logging.INFO, "septum.silo"):
        agent.break_off()
        until(lambda: agent.serving == ())
    assert [type(message) for message in channel.said] == [Join, Join]
    assert "recalled" in caplog.messages
    assert "work_failed" not in caplog.messages
    count = len(asked)
    agent.break_off()
    assert len(asked) == count  # nobody works, so nobody is asked
    agent.shut_down()
    thread.join()


def test_it_asks_now_and_then_whether_anybody_waits_and_seldom_after_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("septum.adapters.launch.inline.InlineWorker", StuckWorker)
    channel = HeldChannel(Train(1, 1, BASE), End(Outcome.STOPPED), polls=[Invitation("r1", bench.plan)])
    asked: list[float] = []
    worked, moment = [0.0], [1000.0]
    monkeypatch.setattr(Session, "working_s", property(lambda _: worked[0]))
    admit = admission(bench.folder, bench.app).admit

    def over(serving: Sequence[str]) -> Sequence[str]:
        asked.append(worked[0])
        return serving[:0]

    hooks = Hooks(over=over)
    agent = Agent("north", admit, bench.runs, FOUR, tools_for(channel), hooks)
    thread = serve(agent)
    until(lambda: agent.serving == ("r1",))
    monkeypatch.setattr("septum.silo.agent.time.monotonic", lambda: moment[0])
    for _ in range(60):  # two minutes, a look each two seconds
        worked[0] += 2.0
        moment[0] += 2.0
        agent.break_off()
    monkeypatch.undo()
    assert asked == [*range(6, 60, 6), 74.0, 94.0, 114.0]
    agent.shut_down()
    thread.join()


def test_when_it_ends_it_takes_leave_of_each_run_and_keeps_what_was_trained(bench: Bench) -> None:
    channel = HeldChannel(Train(1, 1, BASE), Wait(), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(channel)
    thread = serve(agent)
    until(lambda: Await() in channel.said)
    began = time.monotonic()
    agent.shut_down()
    thread.join()
    assert time.monotonic() - began < 3
    assert isinstance(channel.said[-1], Leave)
    assert channel.closed
    kept = RunFiles(bench.runs / "r1").load()
    assert kept is not None
    assert kept.held is not None


def test_a_restarted_agent_takes_up_its_runs_without_training_again(bench: Bench) -> None:
    first = HeldChannel(Train(1, 1, BASE), Wait(), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(first)
    thread = serve(agent)
    until(lambda: Await() in first.said)
    agent.shut_down()
    thread.join()
    (bench.app.path / "app.py").unlink()  # nothing can be trained any more
    second = HeldChannel(Train(1, 2, BASE), End(Outcome.FINISHED), polls=[])
    agent = bench.agent(second)
    thread = serve(agent)
    until(lambda: agent.serving == () and len(second.said) == 2)
    assert [type(message) for message in second.said] == [Join, Report]
    agent.shut_down()
    thread.join()


def test_a_run_whose_policy_changed_meanwhile_is_refused_after_a_restart(bench: Bench) -> None:
    first = HeldChannel(Wait(), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(first)
    thread = serve(agent)
    assert first.holding.acquire(timeout=20)
    until(lambda: Await() in first.said)
    agent.shut_down()
    thread.join()
    second = HeldChannel(End(Outcome.STOPPED), polls=[])
    agent = bench.agent(second, allowing(max_rounds=1))
    thread = serve(agent)
    until(lambda: bool(second.said))
    assert isinstance(second.said[0], Refuse)
    agent.shut_down()
    thread.join()


def test_a_damaged_session_ends_neither_agent_nor_run(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    files = RunFiles(bench.runs / "r1")
    files.make()
    (files.folder / "session.1").write_bytes(b"{")
    channel = HeldChannel(End(Outcome.FINISHED), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(channel)
    thread = serve(agent)
    until(lambda: len(channel.said) == 1 and agent.serving == ())
    assert "session_unreadable" in caplog.messages
    agent.shut_down()
    thread.join()


def test_an_error_that_nobody_foresaw_in_a_run_is_logged_and_its_session_tried_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Instruction:
        raise ZeroDivisionError

    channel = HeldChannel(broken, End(Outcome.FINISHED), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(channel)
    thread = serve(agent)
    until(lambda: len(channel.said) == 2 and agent.serving == ())
    assert [type(message) for message in channel.said] == [Join, Join]
    assert "session_failed" in caplog.messages
    agent.shut_down()
    thread.join()


def test_a_coordinator_that_is_away_is_asked_for_ever_with_growing_pauses(bench: Bench) -> None:
    stop = ScriptedStop()
    channel = ScriptedChannel(stop, polls=[ConnectionFailedError("away")] * 40)
    bench.agent(channel).serve()
    assert stop.pauses[:3] == [0.05, 0.1, 0.2]
    assert stop.pauses[-1] == 15.0
    assert len(channel.polled) == 41


def test_pauses_begin_anew_after_an_answer(bench: Bench) -> None:
    stop = ScriptedStop()
    away = ConnectionFailedError("away")
    bench.agent(ScriptedChannel(stop, polls=[away, away, Wait(), away])).serve()
    assert stop.pauses == [0.05, 0.1, 0.05]


def test_pauses_begin_anew_after_a_request_that_was_held_until_the_coordinator_went_away(bench: Bench) -> None:
    stop = ScriptedStop()
    away, killed = ConnectionFailedError("away"), StaleLineError("broken", held_s=20.0)
    bench.agent(ScriptedChannel(stop, polls=[away, away, killed, away])).serve()
    assert stop.pauses == [0.05, 0.1, 0.05, 0.1]


def test_a_revoked_silo_says_so_in_its_log_and_asks_slowly(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    stop = ScriptedStop()
    bench.agent(ScriptedChannel(stop, polls=[AuthError("silo 'north' is revoked")])).serve()
    assert stop.pauses == [AUTH_PAUSE_S]
    assert [record.levelname for record in caplog.records if record.message == "not_accepted"] == ["ERROR"]


@pytest.mark.parametrize("run", ["../../etc", "", ".hidden", "a/b", "a" * 200])
def test_a_run_whose_name_is_no_file_name_is_not_served(bench: Bench, run: str) -> None:
    channel = ScriptedChannel(ScriptedStop(), polls=[Invitation(run, bench.plan)])
    agent = bench.agent(channel)
    agent.serve()
    assert channel.said == []
    assert list(bench.runs.iterdir()) == []


def test_a_run_that_was_stopped_long_ago_is_forgotten_at_the_next_start(bench: Bench) -> None:
    channel = HeldChannel(Train(1, 1, BASE), End(Outcome.STOPPED), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(channel)
    thread = serve(agent)
    until(lambda: len(channel.said) == 2 and agent.serving == ())
    agent.shut_down()
    thread.join()
    folder = bench.runs / "r1"
    bench.agent(ScriptedChannel(ScriptedStop())).serve()
    assert folder.exists()
    old = time.time() - KEEP_STOPPED_S - 60
    os.utime(folder, (old, old))
    bench.agent(ScriptedChannel(ScriptedStop())).serve()
    assert not folder.exists()


def test_a_stopped_run_that_is_resumed_with_another_plan_starts_anew(bench: Bench) -> None:
    first = HeldChannel(Train(1, 1, BASE), End(Outcome.STOPPED), polls=[Invitation("r1", bench.plan)])
    agent = bench.agent(first)
    thread = serve(agent)
    until(lambda: len(first.said) == 2 and agent.serving == ())
    agent.shut_down()
    thread.join()
    other = replace(bench.plan, seed=9)
    second = HeldChannel(Wait(), polls=[Invitation("r1", other)])
    agent = bench.agent(second)
    thread = serve(agent)
    until(lambda: Await() in second.said)
    assert second.said[0] == Join(other.digest)
    kept = RunFiles(bench.runs / "r1").load()
    assert kept is not None
    assert (kept.plan, kept.held) == (other, None)
    agent.shut_down()
    thread.join()


def test_a_run_is_served_for_others_once_its_thread_has_begun(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("septum.adapters.launch.inline.InlineWorker", StuckWorker)
    channel = HeldChannel(Train(1, 1, BASE), End(Outcome.STOPPED), polls=[Invitation("r1", bench.plan)])
    agent = Agent("north", admission(bench.folder, bench.app).admit, bench.runs, FOUR, tools_for(channel))
    begin, seen = threading.Thread.start, list[tuple[str, ...]]()

    def slowly(thread: threading.Thread) -> None:
        if thread.name == "run r1":
            looking = threading.Thread(target=lambda: seen.append(agent.serving), daemon=True)
            begin(looking)
            looking.join(0.2)
            assert seen == []
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", slowly)
    thread = serve(agent)
    until(lambda: seen == [("r1",)])
    agent.shut_down()
    thread.join(10)
    assert not thread.is_alive()
