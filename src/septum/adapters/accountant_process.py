"""How does an agent account for privacy and stay small? In a process of its own, which ends when it is no longer asked.

dp-accounting and SciPy take some 100 MB, and some hundred more while they compute, which an agent would keep for good.
One JSON line is asked, one answered: `{"mechanisms": [...], "delta": ...}`, `{"epsilon": ...}` (null: infinite) or
`{"error": {"code", "message", "hint"}}`. The process ends when its standard input does, so it outlives no agent.
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from septum.errors import ConfigError, MessageError, MissingExtraError, SeptumError
from septum.privacy.accounting import Mechanism
from septum.protocol.codec import MAX_MESSAGE_BYTES, Json, dumps, from_json, loads, to_json, to_tagged_json

IDLE_S = 30.0  # loading takes about a second, and a run asks several times in a row
END_S = 5.0
_ERRORS = {cls.code: cls for cls in (ConfigError, MissingExtraError)}


@dataclass(frozen=True, slots=True)
class Question:
    """What all mechanisms cost together at `delta`."""

    mechanisms: tuple[Mechanism, ...]
    delta: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no answer."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An epsilon, None for an infinite one; or an error."""

    epsilon: float | None = None
    error: Failed | None = field(default=None)


class AccountantProcess:
    """`septum.privacy`'s `Accountant`, in another process. May be called by several threads; one question at a time."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0

    def __call__(self, mechanisms: Sequence[Mechanism], delta: float) -> float:
        """The epsilon, as `adapters.accountant.epsilon_of` has it, and its errors.

        Raises SeptumError, too, when the process ends without an answer: then nothing is known, and nothing is spent.
        """
        with self._lock:
            answer = self._answer(dumps(_question(mechanisms, delta)) + b"\n")
            self._asked += 1
            timer = threading.Timer(self._idle_s, self._end_if_idle, (self._asked,))
            timer.daemon = True
            timer.start()
        if answer.error is not None:
            raise _ERRORS.get(answer.error.code, SeptumError)(answer.error.message, hint=answer.error.hint)
        return math.inf if answer.epsilon is None else answer.epsilon

    def close(self) -> None:
        """End the process, if it is there; the next question starts another."""
        with self._lock:
            self._end()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        process = self._process
        return None if process is None else process.pid

    def _answer(self, line: bytes) -> Answer:
        process = self._process
        if process is None or process.poll() is not None:
            self._end()
            process = self._process = _start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer = process.stdout.readline(MAX_MESSAGE_BYTES)
            if answer.endswith(b"\n"):
                return from_json(Answer, loads(answer))
            problem = "it ended"
        except (OSError, MessageError) as error:
            problem = str(error)
        except BaseException:  # an answer that was not taken would be the next question's
            process.kill()
            self._end()
            raise
        process.kill()
        code = process.wait()
        self._end()
        raise SeptumError(
            f"the process that accounts for privacy gave no answer: {problem} (exit code {code})",
            hint="a code of -9 means that memory ran out: dmesg | tail",
        )

    def _end_if_idle(self, asked: int) -> None:
        with self._lock:
            if asked == self._asked:
                self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
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


def _start() -> subprocess.Popen[bytes]:
    """The process: our own interpreter, which sees nothing of our environment and of no folder but its own."""
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "septum.adapters.accountant_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        cwd="/",
        start_new_session=True,  # Ctrl-C at a terminal is the agent's
    )


def _question(mechanisms: Sequence[Mechanism], delta: float) -> Json:
    return {"mechanisms": [to_tagged_json(one) for one in mechanisms], "delta": delta}


def answer_to(line: bytes) -> bytes:
    """The answer to one line, a line.

    >>> answer_to(b'{"mechanisms": [], "delta": 1e-5}').strip()
    b'{"epsilon":0.0,"error":null}'
    """
    from septum.adapters.accountant import epsilon_of  # numpy, which whoever asks need not have

    try:
        asked = from_json(Question, loads(line))
        epsilon = epsilon_of(asked.mechanisms, asked.delta)
        answer = Answer(epsilon if math.isfinite(epsilon) else None)
    except SeptumError as error:
        answer = Answer(error=Failed(error.code, error.message, error.hint))
    return dumps(to_json(answer)) + b"\n"


def main() -> None:
    """Answer until there are no more questions."""
    for line in iter(lambda: sys.stdin.buffer.readline(MAX_MESSAGE_BYTES), b""):
        sys.stdout.buffer.write(answer_to(line))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
