import json
import os
import signal
import subprocess
import sys

import pytest

from septum.cli.output import Answer, Output, Table
from septum.errors import RunFailedError

pytestmark = pytest.mark.served

KEYS = {"schema_version", "status", "exit_code"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "list", "--nope"],
        ["run", "show"],
        ["run", "lsit"],
        ["run", "list", "--limit", "many"],
        ["run", "list", "--limit", "0"],
        ["run"],
        [],
        ["model", "download"],
        ["simulate", "nowhere"],
        ["run", "list"],
        ["simulate", "nowhere", "--set", "lr"],
    ],
)
def test_every_usage_error_is_an_envelope_with_a_hint(arguments, septum):
    done = septum(*arguments, "--json")
    assert done.code == 2
    assert done.envelope.keys() == KEYS | {"error"}
    assert (done.envelope["status"], done.envelope["exit_code"]) == ("error", 2)
    assert done.envelope["error"].keys() == {"code", "message", "hint"}
    assert done.envelope["error"]["message"]
    assert done.envelope["error"]["hint"]
    assert len(done.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("app", "approve", "sepsis"), "septum silo app approve --help"),
        (("app", "review"), "septum silo app review --help"),
        (("data", "check", "heart"), "septum silo data check --help"),
        (("app", "aprove"), "septum app --help"),
        (("nonsense",), "septum --help"),
    ],
)
def test_a_command_that_hangs_on_another_noun_is_named(septum, typed, meant):
    done = septum(*typed, "--json")
    assert (done.code, done.envelope["error"]["hint"]) == (2, meant)
    if meant.startswith("septum silo"):
        assert "Did you mean" not in done.envelope["error"]["message"]  # that was another verb of the wrong noun


@pytest.mark.processes
def test_a_usage_error_of_a_process_is_an_envelope_on_stdout_and_nothing_else(process):
    done = process("run", "list", "--nope", "--json")
    assert (done.code, done.err) == (2, "")
    assert done.envelope["error"]["code"] == "usage"


@pytest.mark.parametrize("arguments", [["--json", "run", "list"], ["run", "--json", "list"], ["run", "list", "--json"]])
def test_json_is_understood_anywhere(arguments, septum):
    assert septum(*arguments).envelope["error"]["code"] == "config"


def test_json_after_two_dashes_is_an_argument(septum):
    assert "which coordinator?" in septum("run", "show", "--", "--json").err


def test_people_get_errors_on_stderr_with_the_next_command(septum):
    done = septum("run", "list", "--lmit", "3")
    assert (done.code, done.out) == (2, "")
    assert "--limit" in done.err
    assert "next: septum run list --help" in done.err


def test_a_misspelt_command_names_the_nearest(septum):
    assert "'list'" in septum("run", "lst").err


@pytest.mark.processes
def test_nobody_there_is_exit_code_4(process):
    done = process("run", "list", "--url", "https://127.0.0.1:1", "--token", "t", "--json")
    assert done.code == 4
    assert done.envelope["error"]["code"] == "connection"
    assert "127.0.0.1:1" in done.envelope["error"]["message"]


def test_a_wrong_token_is_exit_code_5(coordinator, septum):
    done = septum("run", "list", "--token", "wrong", "--json")
    assert (done.code, done.envelope["error"]["code"]) == (5, "auth")


@pytest.fixture
def nowhere(home):
    """A working directory that was removed: nothing in septum expects that."""
    os.chdir(home)
    (home / "work").rmdir()
    (home / "gone").mkdir()
    os.chdir(home / "gone")
    (home / "gone").rmdir()


def test_an_exception_that_nobody_planned_is_an_envelope_without_a_traceback(septum, nowhere):
    done = septum("config", "show", "--json")
    assert (done.code, done.err) == (1, "")
    assert done.envelope["error"]["code"] == "internal"
    assert "FileNotFoundError" in done.envelope["error"]["message"]


def test_septum_debug_shows_the_traceback_on_stderr(septum, nowhere, monkeypatch):
    monkeypatch.setenv("SEPTUM_DEBUG", "1")
    done = septum("config", "show", "--json")
    assert "Traceback" in done.err
    assert done.envelope["error"]["code"] == "internal"


def test_control_characters_of_others_do_not_reach_the_terminal(capsys):
    Output().answer(Answer(None, ("\x1b[2Jname\r", Table(("A",), (("\x07bell",),)))))
    Output().failure(RunFailedError("\x1b]0;title", hint="\u202ereversed"))
    out, err = capsys.readouterr()
    assert not any(character in out + err for character in "\x1b\x07\r\u202e")


def test_a_failed_answer_has_data_and_error(capsys):
    code = Output(json=True).answer(Answer({"run": "r1"}, error=RunFailedError("lost", hint="look")))
    envelope = json.loads(capsys.readouterr().out)
    assert code == 1
    assert envelope.keys() == KEYS | {"data", "error"}
    assert envelope["status"] == "error"


def test_quiet_silences_notes_and_no_data(capsys):
    output = Output(quiet=True)
    output.note("by the way")
    output.answer(Answer(None, ("the answer",)))
    assert capsys.readouterr() == ("the answer\n", "")


def test_an_empty_table_says_which_command_fills_it(coordinator, septum):
    assert septum("run", "list").out == "no runs yet: septum run submit APP_DIR\n"


@pytest.mark.processes
def test_a_reader_who_went_away_causes_no_traceback(home):
    command = [sys.executable, "-m", "septum.cli.main", "config", "show"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.processes
def test_ctrl_c_in_watch_detaches_and_says_how_to_come_back(coordinator, septum, example):
    septum("run", "submit", example, "--inspect", "--rounds", "2")
    coordinator.facts = coordinator.facts[:-1]  # the run goes on
    command = [sys.executable, "-m", "septum.cli.main", "run", "watch", "run-1", "--json"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert [json.loads(watching.stdout.readline())["seq"] for _ in coordinator.facts] == [1, 2, 3]
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=30)
    assert (watching.returncode, err) == (130, "")
    assert json.loads(out)["error"] == {
        "code": "interrupted",
        "message": "detached from run run-1, which goes on",
        "hint": "septum run watch run-1 --after 3",
    }
