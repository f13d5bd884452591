"""What has happened, and where a run's time went, on the command line, against a real coordinator."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
from tests.coordinator.running import Running, finish, start_round_one
from tests.coordinator.support import plan_of

from septum.cli import timing
from septum.client import Client

pytestmark = pytest.mark.served

SILOS = ("cleveland", "hungary", "switzerland")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(tmp_path_factory.mktemp("coordinator"))
    found.silos = [found.enrolled(name) for name in SILOS]
    yield found
    found.stop()


@pytest.fixture(scope="module")
def run(running):
    run, told = start_round_one(running.silos, plan_of(), "k", 3)
    finish(running.silos, run, told, 3)
    return run


@pytest.fixture
def operator(septum, running):
    """Call a command with the operator's access."""
    return lambda *arguments: septum(*arguments, "--operator-file", running.config.data_dir / "operator.json")


def data(done):
    assert done.code == 0, done.out + done.err
    return done.envelope["data"]


def test_what_has_happened_is_listed_with_who_did_it_the_newest_last(operator, run):
    events = data(operator("log", "events", "--run", run, "--json"))["events"]
    assert [one["change"]["kind"] for one in events] == ["run.submitted", "run.started", "run.ended"]
    lines = operator("log", "events", "--run", run).out.splitlines()
    assert lines[0].split() == ["NO", "AT", "WHAT", "ABOUT", "BY"]
    assert f"run.submitted  run {run}, app heart==1.0.0" in lines[1]
    assert lines[1].endswith("operator")
    assert f"run {run}, app heart==1.0.0, finished" in lines[3]
    assert operator("log", "events", "--kind", "token").out.startswith("nothing yet")
    wrong = operator("log", "events", "--kind", "silo.of")
    assert wrong.code == 2
    assert "did you mean 'silo.offline'" in wrong.err


@pytest.mark.processes
def test_what_happens_is_followed_as_json_lines_until_ctrl_c(running, run):
    command = [sys.executable, "-m", "septum", "log", "events", "--follow", "--json", "--limit", "1", "--kind", "run"]
    where = ["--operator-file", str(running.config.data_dir / "operator.json")]
    following = subprocess.Popen([*command, *where], stdout=subprocess.PIPE, text=True)
    lines: list[str] = []
    assert following.stdout is not None
    first = following.stdout.readline()
    assert json.loads(first)["change"]["kind"] == "run.ended"
    reading = threading.Thread(target=lambda: lines.append(following.stdout.readline()))
    reading.start()
    with Client(running.access) as client:
        later = client.submit(plan_of(seed=7), key="later").id
    reading.join(20)
    assert json.loads(lines[0])["change"]["run"] == later
    following.send_signal(2)
    assert following.wait(20) == 130
    following.stdout.close()


def test_a_timeline_shows_each_silos_seconds_and_whom_the_others_waited_for(operator, running, run):
    told = data(operator("run", "timeline", run, "--json"))
    assert [line["round"] for line in told["rounds"]] == [0, 1, 2]
    assert set(told["seconds_by_silo"]) == set(SILOS)
    assert told["slowest"] in SILOS
    attempts = [attempt for line in told["rounds"] for attempt in line["attempts"]]
    assert [attempt["stage"] for attempt in attempts] == ["prepare", "train", "train", "evaluate"]
    for attempt in attempts:
        assert not attempt["under_way"]
        assert {line["silo"] for line in attempt["silos"]} == set(SILOS)
    out = operator("run", "timeline", run).out
    assert out.splitlines()[0].startswith("SILO")
    assert f"waited for longest: {told['slowest']}" in out
    assert timing.COORDINATOR in out
    one = data(operator("run", "timeline", run, "--round", "1", "--json"))
    assert [line["round"] for line in one["rounds"]] == [1]
    assert operator("run", "timeline", "r-nope").code == 2


def test_a_run_under_way_says_whom_it_waits_for(operator, running):
    started, _ = start_round_one(running.silos, plan_of(seed=3), "under way", 3)
    out = operator("run", "timeline", started).out
    assert "round 1 goes on since" in out
    assert f"waits for {', '.join(SILOS)}" in out
    with Client(running.access) as client:
        (line,) = client.timeline(started, after_round=0)
        assert line.attempts[0].waits_for == SILOS
        client.stop(started)
