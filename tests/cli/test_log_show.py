"""`septum log show`, `septum silo system` and `septum coordinator system` against a real coordinator."""

from __future__ import annotations

import json
import time

import pytest
from tests.coordinator.running import NARROW, Running, finish, start_round_one
from tests.coordinator.support import plan_of

from septum.cli.main import main
from septum.protocol.codec import encode
from septum.protocol.log_lines import LogLevel, LogOrigin
from septum.testing.contracts.telemetry import batch, report

pytestmark = pytest.mark.served

EVIL = "\x1b[31mred\x07\u202e\r\nseptum: all is well\u2028\x9b2J"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("logs"))
    silos = [running.enrolled(name) for name in ("cleveland", "hungary", "switzerland")]
    run, told = start_round_one(silos, plan_of(), "logs", NARROW)
    now = time.time()
    path = f"/silo/v1/runs/{run}/logs"
    silos[0].post(path, encode(batch(0, "joined", "working stage=train round=1 attempt=1", round=1, at=now)))
    app = {"level": LogLevel.ERROR, "origin": LogOrigin.APP, "round": 1, "at": now}
    silos[1].post(path, encode(batch(0, EVIL, **app)))
    silos[0].post("/silo/v1/system", encode(report((now - 20.0, 10.0), (now, 90.0))))
    finish(silos, run, told, NARROW)
    yield running, run
    running.stop()


@pytest.fixture
def septum(place, capsys):
    running, _ = place
    where = ["--operator-file", str(running.config.data_dir / "operator.json")]

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, *where])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_lines_are_shown_newest_last_and_none_can_steer_a_terminal_or_pass_for_another(septum, place):
    code, out, _ = septum("log", "show", place[1])
    assert code == 0
    first, second, third = out.splitlines()
    assert first.endswith("info    cleveland agent 1: joined")
    assert second.endswith("cleveland agent 1: working stage=train round=1 attempt=1")
    assert third.partition("hungary app 1: ")[2] == "?[31mred?? / septum: all is well / ?2J"


def test_filters_and_json(septum, place):
    run = place[1]
    code, out, _ = septum("log", "show", run, "--silo", "cleveland", "--text", "STAGE", "--json")
    lines = json.loads(out)["data"]["lines"]
    assert (code, [line["text"] for line in lines]) == (0, ["working stage=train round=1 attempt=1"])
    assert json.loads(septum("log", "show", run, "--level", "error", "--json")[1])["data"]["lines"][0]["text"] == EVIL
    assert json.loads(septum("log", "show", run, "--limit", "1", "--json")[1])["data"]["lines"][0]["silo"] == "hungary"
    after = lines[0]["seq"] - 1
    assert len(json.loads(septum("log", "show", run, "--after", str(after), "--json")[1])["data"]["lines"]) == 2
    assert "no line" in septum("log", "show", run, "--round", "7")[1]


def test_following_a_run_that_has_ended_gives_all_its_lines_as_json_lines_and_ends(septum, place):
    code, out, _ = septum("log", "show", place[1], "--follow", "--json")
    *lines, envelope = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["silo"] for line in lines] == ["cleveland", "cleveland", "hungary"]
    assert envelope["data"] == {"run": place[1], "lines": 3, "last": lines[-1]["seq"]}


def test_words_that_are_none_are_usage_errors(septum, place):
    assert septum("log", "show", place[1], "--level", "loud")[0] == 2
    assert "did you mean 'warning'?" in septum("log", "show", place[1], "--level", "warnin")[2]
    assert septum("log", "show", place[1], "--origin", "nobody")[0] == 2
    assert septum("log", "show", "r-nothing")[0] == 2
    assert septum("silo", "system", "cleveland", "--since", "soon")[0] == 2


def test_the_load_of_a_machine_is_a_table_and_json(septum, place):
    code, out, _ = septum("silo", "system", "cleveland")
    assert code == 0
    assert "cleveland, of 16.0 GB memory and 1000 GB disk" in out
    assert "90 %" in out.splitlines()[-1]
    found = json.loads(septum("silo", "system", "cleveland", "--run", place[1], "--json")[1])["data"]
    assert found["points"][-1]["highest"]["cpu"] == 90.0
    assert "nothing was told" in septum("silo", "system", "hungary")[1]
    until = time.monotonic() + 10
    while "the coordinator, of" not in septum("coordinator", "system")[1]:
        assert time.monotonic() < until
        time.sleep(0.2)
