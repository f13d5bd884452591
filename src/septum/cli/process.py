"""How does a command start another septum process, know that it is ready, and end it?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO

from septum.adapters.launch.interpreter import kernels_in
from septum.errors import ConnectionFailedError, TimedOutError

STOP_S = 10.0
NOTHING: Mapping[str, str] = MappingProxyType({})


class Process:
    """One septum process. What it says is appended to a log; it does not get our terminal's signals."""

    def __init__(
        self, arguments: Sequence[str], log: Path, uid: int | None = None, more: Mapping[str, str] = NOTHING
    ) -> None:
        self.log = log
        self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter with our own arguments
            [sys.executable, "-m", "septum", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**_environment(), **more},
            cwd="/",
            start_new_session=True,  # Ctrl-C reaches the command alone, which then ends its processes in order
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
        self.pid = self._popen.pid
        self._said = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        assert self._popen.stdout is not None
        self._copier = threading.Thread(target=self._copy, args=(self._popen.stdout,), daemon=True)
        self._copier.start()

    def wait_for_event(self, event: str, timeout_s: float) -> Mapping[str, object]:
        """What the process says with `event`, once it does. Raises when it exits before, or is too slow."""
        wanted = f'"event": "{event}"'
        with self._said:
            self._said.wait_for(lambda: self._ended or self._has_said(wanted), timeout_s)
        if not self._has_said(wanted):
            raise self._failure("ended before it was ready" if self._ended else f"was not ready in {timeout_s:g} s")
        told = json.loads(next(line for line in reversed(self._lines) if wanted in line))
        assert isinstance(told, dict)
        return told

    def wait_for_exit(self, timeout_s: float) -> None:
        """Wait until the process has ended well. Raises otherwise."""
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise TimedOutError(f"{self._name} did not end within {timeout_s:g} s", hint=f"cat {self.log}") from None
        self._copier.join()
        if code != 0:
            raise self._failure(f"ended with exit code {code}")

    def exit_code(self, timeout_s: float) -> int:
        """Wait until the process has ended, well or not; negative is the signal that ended it. Raises TimedOutError."""
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimedOutError(f"{self._name} did not end within {timeout_s:g} s", hint=f"cat {self.log}") from None
        self._copier.join()
        return code

    def ask_to_end(self) -> None:
        """Ask it to end, and do not wait."""
        self._popen.terminate()

    def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        self._popen.wait()
        self._copier.join(STOP_S)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._popen.kill()
        self._popen.wait()
        self._copier.join(STOP_S)

    @property
    def _name(self) -> str:
        return self.log.stem

    def _has_said(self, text: str) -> bool:
        return any(text in line for line in self._lines)

    def _failure(self, what: str) -> ConnectionFailedError:
        last = "".join(self._lines[-10:]).strip()
        return ConnectionFailedError(f"{self._name} {what}: {last}", hint=f"cat {self.log}")

    def _copy(self, output: IO[bytes]) -> None:
        with output, self.log.open("ab") as log:
            for line in output:
                log.write(line)
                log.flush()
                with self._said:
                    self._lines = [*self._lines[-99:], line.decode(errors="replace")]
                    self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()


def _environment() -> dict[str, str]:
    """What a service needs of ours, and nothing that could steer it: no proxy stands before the loopback."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ") if name in os.environ}
    return {
        **kept,
        **kernels_in(os.environ),
        "HOME": "/",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
