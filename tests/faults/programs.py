"""How does a test start one of its own programs, and end it?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOP_S = 20.0


class Program:
    """`python -m MODULE ARGUMENTS` with its output in a file. Leave the context to end it."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "127.0.0.1,localhost"},
                start_new_session=True,
            )
        self.pid = self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    @property
    def said(self) -> str:
        """The last of its output."""
        return "\n".join(self.log.read_text().splitlines()[-15:])

    def kill(self) -> None:
        """End it as a power cut would."""
        self._popen.kill()
        self._popen.wait()

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Its exit code, once it has ended by itself."""
        return self._popen.wait(timeout_s)

    def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
