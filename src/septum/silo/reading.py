"""How does the agent get a dataset as a canonical table? From a process that reads it, under a deadline and a limit.

Light: no numpy, no driver of a database. What the process answers is decoded here, within limits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from septum.errors import DataError, MessageError, SeptumError, TimedOutError
from septum.sdk.contract import Column
from septum.sdk.data_report import DataReport, for_others, refusal_for_others
from septum.silo.datasets import Dataset
from septum.silo.read_messages import (
    MAX_ANSWER_BYTES,
    Described,
    Job,
    Made,
    ReadAnswer,
    ReadFailed,
    ReadRequest,
    Refused,
    decode_answer,
    encode_request,
)

ENTRY = "septum.silo.reader"


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading may take. `memory_bytes`: address space; None leaves it off."""

    deadline_s: float = 3600.0
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TableMade:
    """A canonical table, ready for an app: its file, rows and digest, and the report, which stays in the silo."""

    path: Path
    rows: int
    digest: str
    report: DataReport


def make_table(
    dataset: Dataset, columns: Mapping[str, Column], output: Path, limits: ReadLimits | None = None
) -> TableMade:
    """Read a dataset into the file `output`, mode 0600, whole or not at all.

    Raises:
        DataError: the data cannot be read, or violate the contract. The message of the latter may leave the silo: it
            has no value, and no count of fewer than 10 rows.
        ConfigError, ConnectionFailedError, MissingExtraError, StorageError, TimedOutError: as they say.
    """
    answer = _ask(ReadRequest(Job.MAKE, dataset, columns, output), limits or ReadLimits())
    if isinstance(answer, Refused):
        raise DataError(
            f"data.{dataset.name}: {refusal_for_others(for_others(answer.report))}",
            hint=f"in the silo: septum silo data check {dataset.name} --dir DIR shows what, and how many",
        )
    if not isinstance(answer, Made):
        raise _nonsense(answer)
    return TableMade(output, answer.rows, answer.digest, answer.report)


def check_data(dataset: Dataset, columns: Mapping[str, Column], limits: ReadLimits | None = None) -> Made | Refused:
    """What `make_table` would make or refuse, for the steward. Nothing is written."""
    answer = _ask(ReadRequest(Job.CHECK, dataset, columns), limits or ReadLimits())
    if not isinstance(answer, Made | Refused):
        raise _nonsense(answer)
    return answer


def describe_source(dataset: Dataset, limits: ReadLimits | None = None) -> Described:
    """The columns of a source, for the steward who maps them."""
    answer = _ask(ReadRequest(Job.DESCRIBE, dataset, {}), limits or ReadLimits())
    if not isinstance(answer, Described):
        raise _nonsense(answer)
    return answer


def _ask(request: ReadRequest, limits: ReadLimits) -> ReadAnswer:
    """Start the process, wait for its end, and read what it said. What it failed with is raised."""
    request = ReadRequest(request.job, request.dataset, request.columns, request.output, limits.memory_bytes)
    with _in_memory(encode_request(request)) as asked, _in_memory(b"") as answered:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-P", "-m", ENTRY],
            stdin=asked,
            stdout=answered,
            stderr=None if os.environ.get("SEPTUM_DEBUG") == "1" else subprocess.DEVNULL,
            env=_environment(request.dataset),
            start_new_session=True,
        )
        try:
            code = process.wait(limits.deadline_s)
        except subprocess.TimeoutExpired:
            raise TimedOutError(
                f"data.{request.dataset.name}: reading took longer than {limits.deadline_s:g} s and was ended",
                hint="limits.task_s in silo.toml, or a smaller query",
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        data = os.pread(answered, MAX_ANSWER_BYTES + 1, 0)
    if code:
        raise _ended(request.dataset, code)
    answer = decode_answer(data)
    if isinstance(answer, ReadFailed):
        raise answer.error()
    return answer


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A descriptor of a file that is on no disk: neither a request nor a report belongs there."""
    descriptor = os.memfd_create("septum-read")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _environment(dataset: Dataset) -> dict[str, str]:
    """The agent's own, for drivers and their certificates, but for what is septum's and not the dataset's."""
    kept = str(dataset.settings.get("url_env", ""))
    return {name: value for name, value in os.environ.items() if not name.startswith("SEPTUM_") or name == kept} | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _ended(dataset: Dataset, code: int) -> SeptumError:
    how = f"was killed by signal {-code} (out of memory, perhaps)" if code < 0 else f"exited with code {code}"
    return DataError(
        f"data.{dataset.name}: the process that reads it {how}",
        hint="SEPTUM_DEBUG=1 septum silo data check shows what it printed",
    )


def _nonsense(answer: ReadAnswer) -> MessageError:
    return MessageError(
        f"the reader answered {type(answer).__name__}", hint="septum was replaced under the agent? Start it again"
    )
