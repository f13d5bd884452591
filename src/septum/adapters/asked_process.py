"""How is something heavy asked in a process of its own? A line for a question, a line for an answer.

So an agent or a coordinator never holds the libraries that the answer takes. The process is our own interpreter, sees
nothing of our environment but what it is given and starts in no folder of ours. It ends when it is not asked for a
while, and when its standard input does, so it outlives nobody.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from septum.errors import MessageError, SeptumError
from septum.protocol.codec import MAX_MESSAGE_BYTES

END_S = 5.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """An error as an answer: why there is no other."""

    code: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: SeptumError) -> Failed:
        """For whoever asked."""
        return cls(error.code, error.message, error.hint)

    def as_one_of(self, errors: Mapping[str, type[SeptumError]]) -> SeptumError:
        """The error itself, of the kind that `errors` has for its code."""
        return errors.get(self.code, SeptumError)(self.message, hint=self.hint)


class AskedProcess:
    """A module that answers lines, run with `python -m`. May be called by several threads; one question at a time.

    what      what it is, for errors: "the process that accounts for privacy"
    idle_s    after so long without a question it ends
    answer_s  an answer that takes longer is none: the process is killed; None for any time
    """

    def __init__(
        self, module: str, what: str, env: Mapping[str, str], *, idle_s: float, answer_s: float | None = None
    ) -> None:
        self._module = module
        self._what = what
        self._env = dict(env)
        self._idle_s = idle_s
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._idle: threading.Timer | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, line: bytes, read: Callable[[bytes], T]) -> T:
        """What `read` makes of the answer. `line` without its end.

        Raises SeptumError when the process ends without an answer, or with one that `read` calls a MessageError.
        """
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            answer = self._answer(line + b"\n", read)
            self._idle = timer = threading.Timer(self._idle_s, self._end_if_idle)
            timer.args = (timer,)
            timer.daemon = True
            timer.start()
        return answer

    def close(self) -> None:
        """End the process, if it is there; the next question starts another."""
        with self._lock:
            self._end()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        process = self.process
        return None if process is None else process.pid

    def _answer(self, line: bytes, read: Callable[[bytes], T]) -> T:
        process = self.process
        if process is None or process.poll() is not None:
            self._end()
            process = self.process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        late = None if self._answer_s is None else threading.Timer(self._answer_s, process.kill)
        if late is not None:
            late.daemon = True
            late.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer = process.stdout.readline(MAX_MESSAGE_BYTES)
            if answer.endswith(b"\n"):
                return read(answer)
            problem = "it ended"
        except (OSError, MessageError) as error:
            problem = str(error)
        except BaseException:  # an answer that was not taken would be the next question's
            process.kill()
            self._end()
            raise
        finally:
            if late is not None:
                late.cancel()
        process.kill()
        code = process.wait()
        self._end()
        raise SeptumError(
            f"{self._what} gave no answer: {problem} (exit code {code})",
            hint="a code of -9 means that memory ran out: dmesg | tail"
            + ("" if self._answer_s is None else f"; or that an answer took more than {self._answer_s:g} s"),
        )

    def _end_if_idle(self, timer: threading.Timer) -> None:
        with self._lock:
            if timer is self._idle:  # it may have waited for the lock while something was asked
                self._end()

    def _end(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()
            process.wait(END_S)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        process.stdout.close()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own interpreter with our own module
            [sys.executable, "-I", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._env,
            cwd="/",
            start_new_session=True,  # Ctrl-C at a terminal is ours
        )
