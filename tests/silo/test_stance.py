"""A steward pauses, resumes and withdraws a silo: it holds at once and outlasts a restart."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.silo.scripted import HeldChannel, ScriptedChannel, serve, tools_for, until
from tests.silo.small_app import admission
from tests.silo.test_agent import BASE, Bench

from septum.errors import ConfigError, MessageError
from septum.protocol.description import Standing
from septum.protocol.messages import Await, End, Invitation, Join, Leave, Outcome, Refuse, Report, Train, Wait
from septum.protocol.resources import Capacity
from septum.silo import stance
from septum.silo.agent import Agent, Hooks
from septum.silo.log import Log
from septum.silo.stance import MAX_WITHDRAWN, UNREADABLE, Stance, Stances, stance_of


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def stances(folder: Path) -> Stances:
    return Stances(folder, lambda _: None, Log(silo="north"))


def agent_of(bench: Bench, channel: ScriptedChannel) -> Agent:
    now = stances(bench.folder).now
    admit = replace(admission(bench.folder, bench.app), withdrawn=lambda run: stance.denied(run, now())).admit
    return Agent("north", admit, bench.runs, Capacity(4), tools_for(channel), Hooks(stance=now))


# --- the file ------------------------------------------------------------------------------------------------------


def test_what_was_said_is_read_again(tmp_path):
    assert stance_of(tmp_path) == Stance()
    stance.pause(tmp_path, "new disks", leave=True)
    stance.withdraw(tmp_path, "r-1")
    assert stance_of(tmp_path) == Stance(paused=True, reason="new disks", leave=True, withdrawn=("r-1",))
    stance.resume(tmp_path)
    assert stance_of(tmp_path) == Stance(withdrawn=("r-1",))
    assert (tmp_path / stance.NAME).stat().st_mode & 0o777 == 0o600


def test_commands_at_one_time_do_not_undo_each_other(tmp_path):
    threads = [threading.Thread(target=stance.withdraw, args=(tmp_path, f"r-{n}")) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(stance_of(tmp_path).withdrawn) == {f"r-{n}" for n in range(20)}


def test_only_the_newest_withdrawals_are_kept_each_once(tmp_path):
    stance.withdraw(tmp_path, "again")
    for n in range(3):
        stance.withdraw(tmp_path, f"r-{n}")
    stance.withdraw(tmp_path, "again")
    assert stance_of(tmp_path).withdrawn == ("r-0", "r-1", "r-2", "again")
    assert MAX_WITHDRAWN == 1000


def test_a_reason_that_cannot_be_told_is_refused_and_nothing_changes(tmp_path):
    with pytest.raises(MessageError):
        stance.pause(tmp_path, "two\nlines", leave=False)
    assert stance_of(tmp_path) == Stance()


@pytest.mark.parametrize("content", [b"", b"{", b'{"paused": "no"}', b'{"paused": false, "more": 1}'])
def test_a_file_that_cannot_be_read_counts_as_a_pause(tmp_path, content):
    (tmp_path / stance.NAME).write_bytes(content)
    assert stances(tmp_path).now() == UNREADABLE
    with pytest.raises(ConfigError, match=stance.NAME):
        stance.resume(tmp_path)


def test_the_coordinator_is_told_once_and_again_after_a_change(tmp_path):
    told: list[Standing] = []
    seen = Stances(tmp_path, told.append, Log(silo="north"))
    seen.tell()
    seen.tell()
    stance.pause(tmp_path, "new disks", leave=False)
    seen.tell()
    seen.tell()
    assert told == [Standing(), Standing(paused=True, reason="new disks")]


def test_a_paused_silo_that_has_been_silent_for_long_is_heard_again(tmp_path, monkeypatch):
    moment = [100.0]
    monkeypatch.setattr(stance.time, "monotonic", lambda: moment[0])
    told: list[Standing] = []
    seen = Stances(tmp_path, told.append, Log(silo="north"))
    stance.pause(tmp_path, "", leave=False)
    for after_s in (0.0, 19.0, 2.0, 2.0, 20.0):
        moment[0] += after_s
        seen.tell()
    assert len(told) == 3


# --- the agent -----------------------------------------------------------------------------------------------------


def test_a_paused_silo_asks_for_no_run_until_it_resumes(bench):
    stance.pause(bench.folder, "", leave=False)
    channel = HeldChannel(Train(1, 1, BASE), End(Outcome.FINISHED), polls=[Invitation("r1", bench.plan)])
    agent = agent_of(bench, channel)
    thread = serve(agent)
    threading.Event().wait(0.3)
    assert channel.polled == []
    stance.resume(bench.folder)
    until(lambda: len(channel.said) == 2 and agent.serving == ())
    agent.shut_down()
    thread.join()


def test_an_error_that_nobody_foresaw_in_what_is_told_does_not_end_the_agent(bench):
    calls = []

    def tell():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("unforeseen")

    channel = HeldChannel(polls=[])
    admit = admission(bench.folder, bench.app).admit
    agent = Agent("north", admit, bench.runs, Capacity(4), tools_for(channel), Hooks(tell=tell))
    thread = serve(agent)
    until(lambda: channel.polled == [()])
    agent.shut_down()
    thread.join()


def test_an_invitation_that_comes_after_the_pause_is_not_taken(bench):
    class Pausing(HeldChannel):
        def poll(self, serving):
            stance.pause(bench.folder, "", leave=False)
            return super().poll(serving)

    channel = Pausing(polls=[Invitation("r1", bench.plan)])
    agent = agent_of(bench, channel)
    thread = serve(agent)
    until(lambda: channel.polled == [()])
    threading.Event().wait(0.2)
    assert agent.serving == ()
    assert channel.said == []
    assert not (bench.runs / "r1").exists()
    agent.shut_down()
    thread.join()


def test_a_pause_lets_the_run_at_work_go_on(bench):
    channel = HeldChannel(Train(1, 1, BASE), Wait(), polls=[Invitation("r1", bench.plan)])
    agent = agent_of(bench, channel)
    thread = serve(agent)
    until(lambda: Await() in channel.said)
    stance.pause(bench.folder, "", leave=False)
    agent.heed()
    assert agent.serving == ("r1",)
    assert not any(isinstance(message, Leave) for message in channel.said)
    agent.shut_down()
    thread.join()


class Endable(HeldChannel):
    """An Await is held until `answer` is set; then it is answered with it."""

    def __init__(self, *script, polls):
        super().__init__(*script, polls=polls)
        self.answered = threading.Event()

    def _hold(self):
        self.holding.release()
        while not self._over.is_set():
            if self.answered.wait(0.01):
                self.answered.clear()
                return Wait()
        return super()._hold()


def test_a_pause_that_leaves_takes_the_run_up_again_without_training_anew(bench):
    channel = Endable(Train(1, 1, BASE), Wait(), Train(1, 2, BASE), End(Outcome.FINISHED), polls=[])
    channel.polls = [Invitation("r1", bench.plan)]
    agent = agent_of(bench, channel)
    thread = serve(agent)
    until(lambda: Await() in channel.said)
    stance.pause(bench.folder, "new disks", leave=True)
    agent.heed()
    assert channel.said[-1] == Leave("this silo is paused: new disks")
    while agent.serving:  # the request that was held, and the poll
        channel.answered.set()
        threading.Event().wait(0.02)
    before = len(channel.said)
    stance.resume(bench.folder)
    until(lambda: len(channel.said) >= before + 2)
    assert [type(message) for message in channel.said[before : before + 2]] == [Join, Report]
    reports = [message for message in channel.said if isinstance(message, Report)]
    assert [report.attempt for report in reports] == [1, 2]
    assert reports[0].payload == reports[1].payload
    until(lambda: agent.serving == ())
    agent.shut_down()
    thread.join()


def test_a_restarted_agent_that_is_paused_leaves_the_runs_on_its_disk_alone(bench):
    first = HeldChannel(Train(1, 1, BASE), Wait(), polls=[Invitation("r1", bench.plan)])
    agent = agent_of(bench, first)
    thread = serve(agent)
    until(lambda: Await() in first.said)
    agent.shut_down()
    thread.join()
    stance.pause(bench.folder, "", leave=True)
    second = HeldChannel(polls=[])
    again = agent_of(bench, second)
    thread = serve(again)
    threading.Event().wait(0.3)
    assert (again.serving, second.said, second.polled) == ((), [], [])
    assert (bench.runs / "r1").exists()
    again.shut_down()
    thread.join()


def test_a_run_that_was_withdrawn_from_is_refused_for_good(bench):
    channel = Endable(Train(1, 1, BASE), Wait(), End(Outcome.STOPPED), End(Outcome.STOPPED), polls=[])
    channel.polls = [Invitation("r1", bench.plan)]
    agent = agent_of(bench, channel)
    thread = serve(agent)
    until(lambda: Await() in channel.said)
    stance.withdraw(bench.folder, "r1")
    agent.heed()
    agent.heed()
    until(lambda: any(isinstance(message, Leave) for message in channel.said))
    while agent.serving:  # the request that was held
        channel.answered.set()
        threading.Event().wait(0.02)
    channel.polls = [Invitation("r1", bench.plan)]  # it is asked again, all the same
    while agent.serving or channel.polls or channel.script:
        channel.answered.set()
        threading.Event().wait(0.02)
    refusals = [message for message in channel.said if isinstance(message, Refuse)]
    assert [refusal.rule for refusal in refusals] == ["steward", "steward"]
    assert not [m for m in channel.said[channel.said.index(refusals[0]) :] if isinstance(m, Join | Report)]
    agent.shut_down()
    thread.join()
