"""A steward takes an approval back while a run is at work with it: that run goes on, and no other is let in."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.sdk.packaging import app_folder, built
from tests.silo.scripted import HeldChannel, serve, tools_for, until
from tests.silo.small_app import admission, approved, write_data

from septum.adapters.launch.subprocess import SubprocessLauncher
from septum.ports.launcher import Level
from septum.protocol import payload, tensors
from septum.protocol.messages import End, Instruction, Invitation, Outcome, Refuse, Report, Train, blob_of
from septum.protocol.plan import AppRef, Plan
from septum.protocol.resources import Capacity
from septum.silo.agent import Agent, Hooks
from septum.silo.datasets import plain_file
from septum.silo.environment import Environments
from septum.silo.library import Folders, Library
from septum.silo.log import Log
from septum.silo.packages import Packages
from septum.silo.policy import Policy
from septum.silo.removal import fold_revoked, remove_package, revoke_package

pytestmark = pytest.mark.processes

BASE = blob_of(tensors.encode(payload.model_tensors({"w": np.zeros((1, 1), np.float32)}, {})))
FINISHED = End(Outcome.FINISHED)


class Launcher(SubprocessLauncher):
    """Knows the processes that it has started."""

    def __init__(self):
        super().__init__(Level.PROCESS)
        self.pids = []

    def start(self, spec, limits):
        worker = super().start(spec, limits)
        self.pids.append(worker.pid)
        return worker


class Silo:
    """A silo with one approved package, and an agent whose training processes are real."""

    def __init__(self, folder: Path):
        self.folder, self.launcher, self.packages = folder, Launcher(), Packages(folder)
        package = built(app_folder(folder / "app"), folder / "dist")
        self.digest = self.packages.add(package.path).package.digest
        self.packages.approve(self.digest, "ann")
        self.plan = Plan("p", AppRef("small", "1.0.0", self.digest), {}, ("north", "south"), rounds=3)
        data = write_data(folder / "data.csv")
        self.library = Library(
            folders=Folders({}),
            packages=self.packages,
            environments=Environments(folder / "envs"),
            datasets={"small": plain_file(data)},
            policy=Policy(),
            offers=None,
            fetch=folder / "fetched",
            log=Log(silo="north"),
        )
        self.admit = admission(folder, approved(folder / "app", data))

    @property
    def opened(self) -> Path:
        return self.folder / "packages" / self.digest.removeprefix("sha256:") / "open"

    def agent(self, channel: HeldChannel) -> Agent:
        admit = replace(self.admit, library=self.library).admit
        tools = tools_for(channel, self.launcher)
        return Agent("north", admit, self.folder / "runs", Capacity(4), tools, Hooks(lambda: fold_revoked(self.folder)))


@pytest.fixture
def silo(tmp_path: Path) -> Silo:
    return Silo(tmp_path)


def said(channel: HeldChannel, kind: type) -> Iterator[object]:
    return (message for message in channel.said if isinstance(message, kind))


def test_a_run_at_work_goes_on_after_the_approval_was_taken_back_also_in_another_training_process(silo: Silo):
    def revoked_and_killed() -> Instruction:
        assert revoke_package(silo.folder, silo.digest, "ann") == ("r1",)
        assert silo.opened.exists()
        os.kill(silo.launcher.pids[-1], signal.SIGKILL)
        return Train(2, 1, BASE)

    def another() -> Instruction:
        assert silo.opened.exists()
        return FINISHED

    script = (Train(1, 1, BASE), revoked_and_killed, Train(2, 2, BASE), another)
    channel = HeldChannel(*script, polls=[Invitation("r1", silo.plan)])
    agent = silo.agent(channel)
    thread = serve(agent)
    until(lambda: not channel.script and agent.serving == ())
    agent.shut_down()
    thread.join()
    assert {report.round for report in said(channel, Report)} == {1, 2}
    assert len(set(silo.launcher.pids)) == 2
    assert not silo.opened.exists()


def test_another_run_is_refused_after_it(silo: Silo):
    revoke_package(silo.folder, silo.digest, "ann")
    channel = HeldChannel(FINISHED, polls=[Invitation("r2", silo.plan)])
    agent = silo.agent(channel)
    thread = serve(agent)
    until(lambda: not channel.script and agent.serving == ())
    agent.shut_down()
    thread.join()
    assert [refusal.rule for refusal in said(channel, Refuse)] == ["apps"]
    assert silo.launcher.pids == []


def test_an_agent_that_is_started_anew_refuses_the_run_and_lets_go_of_what_was_kept_for_it(silo: Silo):
    first = HeldChannel(Train(1, 1, BASE), polls=[Invitation("r1", silo.plan)])
    agent = silo.agent(first)
    thread = serve(agent)
    until(lambda: len(list(said(first, Report))) == 1)
    agent.shut_down()
    thread.join()
    assert revoke_package(silo.folder, silo.digest, "ann") == ("r1",)
    second = HeldChannel(FINISHED, polls=[])
    again = silo.agent(second)
    thread = serve(again)
    until(lambda: not second.script and again.serving == ())
    again.shut_down()
    thread.join()
    assert [refusal.rule for refusal in said(second, Refuse)] == ["apps"]
    assert not silo.opened.exists()


def test_a_package_removed_by_force_leaves_a_run_that_fails_here_and_an_agent_that_goes_on(silo: Silo):
    def removed_and_killed() -> Instruction:
        assert remove_package(silo.folder, silo.digest, "ann", force=True) == ("r1",)
        os.kill(silo.launcher.pids[-1], signal.SIGKILL)
        return Train(2, 1, BASE)

    channel = HeldChannel(Train(1, 1, BASE), removed_and_killed, FINISHED, polls=[Invitation("r1", silo.plan)])
    agent = silo.agent(channel)
    thread = serve(agent)
    until(lambda: not channel.script and agent.serving == ())
    assert thread.is_alive()
    agent.shut_down()
    thread.join()
    assert [report.round for report in said(channel, Report)] == [1]
