"""How do coordinators and silos track in MLflow or SageMaker and stay small? Each tracker is a process of its own.

Those libraries take 100 to 250 MB, which a coordinator or an agent would keep for good. The process starts with the
first thing to track and ends when there is nothing more for a while. It gets of our environment what those libraries
read: credentials and addresses. One JSON line is asked, with settings and records; one is answered.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

from septum.adapters.asked_process import AskedProcess, Failed
from septum.adapters.tracking.hosts import Gate
from septum.adapters.tracking.naming import Names
from septum.adapters.tracking.records import Record, Taken
from septum.errors import (
    AuthError,
    ConfigError,
    ConnectionFailedError,
    ForbiddenError,
    MissingExtraError,
    NotFoundError,
    RateLimitedError,
    SeptumError,
    StorageError,
)
from septum.ports.tracker import FindModel, RunEnded, SiloTold, Told
from septum.protocol.codec import MAX_MESSAGE_BYTES, Json, Scalar, dumps, from_json, loads, to_json, to_tagged_json

log = logging.getLogger("septum.tracking")

IDLE_S = 60.0  # loading takes seconds, and a round may take some
ANSWER_S = 180.0  # for a model of gigabytes, too
MODULE = "septum.adapters.tracking.process"
SINKS: Mapping[str, str] = {
    "mlflow": "septum.adapters.tracking.mlflow_sink",
    "sagemaker": "septum.adapters.tracking.sagemaker_sink",
    "tensorboard": "septum.adapters.tracking.tensorboard_sink",
}
_PASSED = frozenset(
    {
        *("HOME", "PATH", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    }
)
_PREFIXES = ("AWS_", "MLFLOW_", "SAGEMAKER_")
_DEFAULTS: Mapping[str, str] = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would tell its makers of each use
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # septum tries again itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}
_ERRORS = {
    cls.code: cls
    for cls in (
        AuthError,
        ConfigError,
        ConnectionFailedError,
        ForbiddenError,
        MissingExtraError,
        NotFoundError,
        RateLimitedError,
        StorageError,
    )
}


@dataclass(frozen=True, slots=True)
class Setup:
    """Which tracker, with which settings. `hosts`: the only ones that it may reach; None for any."""

    tracker: str
    values: Mapping[str, Scalar]
    data_dir: str
    hosts: tuple[str, ...] | None
    hosts_named: str


@dataclass(frozen=True, slots=True)
class Question:
    """Store these."""

    setup: Setup
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """They are stored, but for what was refused for good; or an error."""

    refused: int = 0
    why: str = ""
    error: Failed | None = field(default=None)


class Sink(Protocol):
    """Stores records in a service.

    Contract: the same record may come again, and changes nothing then. What the service refuses for good is counted;
    what may go well later is a SeptumError, after which all of them come again.
    """

    def take(self, records: Sequence[Record]) -> Taken:
        """Store these, in order."""


class Asked(Protocol):
    """Answers lines."""

    def ask(self, line: bytes, read: Callable[[bytes], Answer]) -> Answer:
        """What `read` makes of the answer to a line."""

    def close(self) -> None:
        """There are no more."""


class ProcessTracker:
    """A `Tracker` and a `SiloTracker` whose service is spoken to by another process.

    hears_silos  whether a coordinator is to tell it of single silos
    find         finds a run's last model; None where no model is stored
    asked        what speaks to the service, if it is no process
    """

    def __init__(
        self,
        setup: Setup,
        names: Names,
        *,
        hears_silos: bool = False,
        find: FindModel | None = None,
        asked: Asked | None = None,
    ) -> None:
        self._setup = setup
        self._names = names
        self._hears_silos = hears_silos
        self._find = find
        self._asked = asked or AskedProcess(
            MODULE, f"the process that tracks in {setup.tracker}", environment(), idle_s=IDLE_S, answer_s=ANSWER_S
        )

    def tell(self, told: Told) -> None:
        """Store one thing of a run. Raises SeptumError when it could not be stored now."""
        self.tell_all((told,))

    def tell_all(self, told: Sequence[Told]) -> int:
        """Store several; how many records were refused. Raises SeptumError when they could not be stored now."""
        records: list[Record] = []
        with ExitStack() as stack:
            for one in told:
                records += self._names.of_run(one)
                if self._find is not None and isinstance(one, RunEnded) and one.model:
                    found = stack.enter_context(self._find(one.run, one.model))
                    if found is not None:
                        records.append(self._names.of_model(one.at, found))
            answer = self._store(records)
        if answer.refused:
            log.warning(
                "tracking_refused",
                extra={"tracker": self._setup.tracker, "refused": answer.refused, "error": answer.why},
            )
        return answer.refused

    @property
    def hears_silos(self) -> bool:
        """Whether a coordinator is to tell it of silos."""
        return self._hears_silos

    def tell_silos(self, told: Sequence[SiloTold]) -> int:
        """Store what is told of silos; how much was refused. Raises SeptumError when it could not be stored now."""
        return self._store(list(self._names.of_silos(told))).refused

    def close(self) -> None:
        """End the process."""
        self._asked.close()

    def _store(self, records: Sequence[Record]) -> Answer:
        if not records:
            return Answer()
        line = dumps(_question(self._setup, records))
        answer = self._asked.ask(line, lambda said: from_json(Answer, loads(said)))
        if answer.error is not None:
            raise answer.error.as_one_of(_ERRORS)
        return answer


def environment() -> dict[str, str]:
    """What of our environment such a process sees."""
    passed = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PREFIXES)}
    return {**_DEFAULTS, **passed}


def _question(setup: Setup, records: Sequence[Record]) -> Json:
    return {"setup": to_json(setup), "records": [to_tagged_json(record) for record in records]}


class Desk:
    """Answers questions; keeps the service's client from one to the next. An `Asked` in this very process."""

    def __init__(self) -> None:
        self._setup: Setup | None = None
        self._sink: Sink | None = None
        self._gate: Gate | None = None

    def ask(self, line: bytes, read: Callable[[bytes], Answer]) -> Answer:
        """What `read` makes of the answer to a line."""
        return read(dumps(to_json(self.answer(line))))

    def close(self) -> None:
        """Forget the service's client."""
        self._sink = None

    def answer(self, line: bytes) -> Answer:
        """The answer to one question."""
        try:
            asked = from_json(Question, loads(line))
            taken = self._sink_of(asked.setup).take(asked.records)
        except SeptumError as error:
            said = (self._gate and self._gate.error()) or error
            return Answer(error=Failed(said.code, said.message, said.hint or self._hint()))
        except Exception as error:  # noqa: BLE001  a library's own: whoever asked logs it, and asks again
            refused = self._gate and self._gate.error()
            told = refused or SeptumError(f"{type(error).__name__}: {error}"[:500])
            return Answer(error=Failed(told.code, told.message, self._hint()))
        return Answer(taken.refused, taken.why)

    def _sink_of(self, setup: Setup) -> Sink:
        if self._sink is None or self._setup != setup:
            if setup.hosts is not None and self._gate is None:
                self._gate = Gate(setup.hosts, setup.hosts_named)
            make: Callable[[Path, Mapping[str, Scalar]], Sink] = import_module(SINKS[setup.tracker]).make
            self._sink, self._setup = make(Path(setup.data_dir), setup.values), setup
        return self._sink

    def _hint(self) -> str:
        return "" if self._setup is None else f"[tracking.{self._setup.tracker}] has its settings"


def main() -> None:
    """Answer until there are no more questions. What libraries print is not an answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    desk = Desk()
    for line in iter(lambda: sys.stdin.buffer.readline(MAX_MESSAGE_BYTES), b""):
        answers.write(dumps(to_json(desk.answer(line))) + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
