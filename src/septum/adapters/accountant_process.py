"""How does an agent account for privacy and stay small? In a process of its own, which ends when it is no longer asked.

dp-accounting and SciPy take some 100 MB, and some hundred more while they compute, which an agent would keep for good.
One JSON line is asked, one answered: `{"mechanisms": [...], "delta": ...}`, `{"epsilon": ...}` (null: infinite) or
`{"error": {"code", "message", "hint"}}`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from septum.adapters.asked_process import AskedProcess, Failed
from septum.errors import ConfigError, MissingExtraError, SeptumError
from septum.privacy.accounting import Mechanism
from septum.protocol.codec import MAX_MESSAGE_BYTES, Json, dumps, from_json, loads, to_json, to_tagged_json

IDLE_S = 30.0  # loading takes about a second, and a run asks several times in a row
_ERRORS = {cls.code: cls for cls in (ConfigError, MissingExtraError)}


@dataclass(frozen=True, slots=True)
class Question:
    """What all mechanisms cost together at `delta`."""

    mechanisms: tuple[Mechanism, ...]
    delta: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An epsilon, None for an infinite one; or an error."""

    epsilon: float | None = None
    error: Failed | None = field(default=None)


class AccountantProcess:
    """`septum.privacy`'s `Accountant`, in another process. May be called by several threads; one question at a time."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._asked = AskedProcess(
            "septum.adapters.accountant_process",
            "the process that accounts for privacy",
            {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            idle_s=idle_s,
        )

    def __call__(self, mechanisms: Sequence[Mechanism], delta: float) -> float:
        """The epsilon, as `adapters.accountant.epsilon_of` has it, and its errors.

        Raises SeptumError, too, when the process ends without an answer: then nothing is known, and nothing is spent.
        """
        answer = self._asked.ask(dumps(_question(mechanisms, delta)), lambda line: from_json(Answer, loads(line)))
        if answer.error is not None:
            raise answer.error.as_one_of(_ERRORS)
        return math.inf if answer.epsilon is None else answer.epsilon

    def close(self) -> None:
        """End the process, if it is there; the next question starts another."""
        self._asked.close()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._asked.pid


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
        answer = Answer(error=Failed.of(error))
    return dumps(to_json(answer)) + b"\n"


def main() -> None:
    """Answer until there are no more questions."""
    for line in iter(lambda: sys.stdin.buffer.readline(MAX_MESSAGE_BYTES), b""):
        sys.stdout.buffer.write(answer_to(line))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
