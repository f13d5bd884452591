import os
import pty
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.served]

HIDE_CURSOR = "\x1b[?25l"  # what a display that redraws itself begins with


@pytest.fixture
def terminal(home):
    """Call the command line with a terminal on stdout and stderr; exit code and what the terminal got."""

    def call(*arguments, **environment):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "septum.cli.main", *(str(item) for item in arguments)]
        settings = {**os.environ, "TERM": "xterm-256color", **environment}
        process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, env=settings)
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # the other end was closed: that is how a terminal ends on Linux
            pass
        os.close(ours)
        return process.wait(timeout=30), seen.decode()

    return call


def test_people_at_a_terminal_see_a_display_that_redraws_itself(terminal, example):
    code, seen = terminal("simulate", example, "--rounds", "3")
    assert code == 0
    assert HIDE_CURSOR in seen
    assert "round 3/3  finished" in seen
    assert "cleveland" in seen


@pytest.mark.parametrize("calm", [["--json"], ["--quiet"]])
def test_json_and_quiet_redraw_nothing(calm, terminal, example):
    code, seen = terminal("simulate", example, "--rounds", "1", *calm)
    assert code == 0
    assert HIDE_CURSOR not in seen


def test_no_color_turns_colours_off(terminal, example):
    coloured, plain = (terminal("--help", **more)[1] for more in ({}, {"NO_COLOR": "1"}))
    assert "\x1b[36m" in coloured or "\x1b[1;36m" in coloured
    assert "\x1b[36m" not in plain
    assert "36m" not in plain


def test_a_digest_is_not_cut_on_a_narrow_terminal(terminal, coordinator, septum, example):
    septum("run", "submit", example, "--inspect")
    _, seen = terminal("model", "list", COLUMNS="70")
    assert "…" not in seen
