"""What reads a silo's rows? `python -m septum.silo.reader`: one request on standard input, one answer on its output.

A process of our own code alone. It has what the app's process must not have: the way to the source, and its password.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator

from septum.adapters.tables import digest_of_table, write_table
from septum.errors import DataError, SeptumError
from septum.sdk.cells import Batch, Cell, Quantity
from septum.sdk.data_report import DataReport
from septum.sdk.examine import examine
from septum.sdk.harmonise import harmonise, settle
from septum.sdk.mapping import OnViolation, number_of, plan_columns
from septum.silo.read_messages import (
    MAX_REQUEST_BYTES,
    Described,
    DescribedColumn,
    Job,
    Made,
    ReadAnswer,
    ReadFailed,
    ReadRequest,
    Refused,
    decode_request,
    encode_answer,
)
from septum.silo.sources import reader_kind

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
DESCRIBED_ROWS = 20_000
EXAMPLES = 5
_EXAMPLE_CHARS = 30


def main() -> None:
    """Answer the one request."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a driver prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the silo's rows
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with answers:
        answers.write(encode_answer(answer(sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1))))


def answer(data: bytes) -> ReadAnswer:
    """What is said to a request. Nothing is raised: what went wrong is the answer."""
    try:
        request = decode_request(data)
        if request.memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (request.memory_bytes, request.memory_bytes))
        return _describe(request) if request.job is Job.DESCRIBE else _make(request)
    except SeptumError as error:
        return ReadFailed(error.code, error.message, error.hint)
    except MemoryError:
        return ReadFailed(
            DataError.code, "reading the data takes more memory than it may have", "limits.memory_mb in silo.toml"
        )
    except Exception as error:  # noqa: BLE001  a driver may raise anything; its words may quote a row
        traceback.print_exception(error)
        return ReadFailed(
            DataError.code,
            f"reading the data raised {type(error).__name__}",
            "SEPTUM_DEBUG=1 septum silo data check shows its traceback",
        )


def _make(request: ReadRequest) -> ReadAnswer:
    dataset, columns = request.dataset, request.columns
    target = next(name for name, column in columns.items() if column.role.value == "target")
    plans = plan_columns(f"[data.{dataset.name}.columns]", columns, dataset.columns)
    reader = reader_kind(dataset.source).open(dataset.settings)
    wanted = tuple(dict.fromkeys(plan.source for plan in plans))
    harmonised = harmonise(f"data.{dataset.name}", reader.read(wanted), plans)
    report: DataReport = examine(harmonised, dataset.on_violation, target)
    if report.violations and dataset.on_violation is OnViolation.REFUSE:
        return Refused(report)
    table = settle(harmonised, dataset.on_violation, target)
    digest = digest_of_table(table) if request.output is None else write_table(request.output, table)
    return Made(len(table), digest, report)


def _describe(request: ReadRequest) -> Described:
    """Every column over the first rows."""
    dataset = request.dataset
    cells: dict[str, list[Cell]] = {}
    rows = 0
    batches = reader_kind(dataset.source).open(dataset.settings).read(())
    for batch in _first(batches):
        rows += len(next(iter(batch.values()), ()))
        for name, column in batch.items():
            cells.setdefault(name, []).extend(column)
    more = rows > DESCRIBED_ROWS
    return Described(
        min(rows, DESCRIBED_ROWS), more, tuple(_column(name, found[:DESCRIBED_ROWS]) for name, found in cells.items())
    )


def _first(batches: Iterator[Batch]) -> Iterator[Batch]:
    rows = 0
    for batch in batches:
        yield batch
        rows += len(next(iter(batch.values()), ()))
        if rows > DESCRIBED_ROWS:
            return


def _column(name: str, cells: list[Cell]) -> DescribedColumn:
    known = [cell for cell in cells if cell is not None and cell != ""]
    counted = Counter(_text(cell) for cell in known)
    kinds = {_kind(cell) for cell in known}
    return DescribedColumn(
        name=name,
        kind="empty" if not kinds else kinds.pop() if len(kinds) == 1 else "numbers and texts",
        missing=len(cells) - len(known),
        distinct=len(counted),
        examples=tuple(text for text, _ in counted.most_common(EXAMPLES)),
    )


def _kind(cell: Cell) -> str:
    if isinstance(cell, Quantity):
        return f"amounts in {cell.unit or 'no unit'}"
    return "numbers" if not isinstance(cell, str) or number_of(cell) is not None else "texts"


def _text(cell: Cell) -> str:
    if isinstance(cell, Quantity):
        return f"{cell.value:g} {cell.unit}"
    return f"{cell:g}" if isinstance(cell, int | float) else str(cell)[:_EXAMPLE_CHARS]


if __name__ == "__main__":
    main()
