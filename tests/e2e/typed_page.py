"""A page of the docs whose commands are typed as they stand, in one shell, from an empty folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from septum.silo.file_lock import folder_locked

ROOT = Path(__file__).parents[2]
LIMIT_S = 600.0  # for a whole page, on a machine that is slow and has more to do
END = "kill $(jobs -p) 2>/dev/null; wait"


def page(name: str) -> str:
    """The text of a page of the docs."""
    return (ROOT / "docs" / name).read_text()


def commands_of(text: str) -> list[str]:
    """Every command of a page's `console` blocks, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        assert all(line.startswith("$ ") for line in block.splitlines()), block
        found += [line[2:] for line in block.splitlines()]
    return found


def typed(commands: Sequence[str], home: Path, waits: Mapping[str, str], limit_s: float = LIMIT_S) -> dict[str, str]:
    """Type these, and what each printed. The first that fails ends it, and what was started is ended.

    One page at a time: their coordinators have the port that the pages name.

    `waits`: what is done after a command that begins like this, because the text tells the reader to wait.
    """
    with folder_locked(ROOT / "docs"):
        status, out = _run(_script(commands, waits), home, limit_s)
    logs = "".join(f"\n--- {path.name}\n{path.read_text()[-500:]}" for path in (home / "tutorial").glob("*.log"))
    assert status == 0, logs + out[-4000:]
    parts = re.split(r"^=== (\d+)$", out, flags=re.MULTILINE)
    said: dict[str, str] = {}
    for number, text in zip(parts[1::2], parts[2::2], strict=True):
        command = commands[int(number)]
        said[command] = said.get(command, "") + text
    return said


def said_by(told: Mapping[str, str], part: str) -> str:
    """What the one command printed that has this in it."""
    (found,) = [text for command, text in told.items() if part in command]
    return found


def _run(script: str, home: Path, limit_s: float) -> tuple[int, str]:
    (home / "examples").symlink_to(ROOT / "examples")
    bin_dir = Path(sys.executable).parent
    environment = {"PATH": f"{bin_dir}:{os.environ['PATH']}", "HOME": str(home), "LANG": "C.UTF-8"}
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = shell.communicate(timeout=limit_s)
    except BaseException:  # whatever ends the test ends what it has started
        os.killpg(shell.pid, signal.SIGKILL)
        raise
    return shell.returncode, out


def _script(commands: Sequence[str], waits: Mapping[str, str]) -> str:
    lines = ["set -eu", f"trap '{END}' EXIT", 'say() { printf "\\n=== %s\\n" "$1"; }']
    for number, command in enumerate(commands):
        lines += [f"say {number}", command]
        lines += [wait for beginning, wait in waits.items() if command.startswith(beginning)]
    return "\n".join(lines)
