"""Who counts for a query? Septum's own code in the agent, over the run's table: a Worker without an app.

No code of an app runs, so it takes no process of its own; a table of any size is read in blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from septum.adapters.launch.payload_file import PayloadFile
from septum.adapters.tables import read_table
from septum.errors import DataError, WorkerError
from septum.ports.launcher import Level, Task, TaskResult, WorkerLimits, WorkerSpec
from septum.protocol import tensors
from septum.protocol.counting import Values, count
from septum.protocol.messages import INLINE_LIMIT_BYTES, Stage
from septum.protocol.query import Query
from septum.protocol.query_combine import SUMMED

Paid = Callable[[Mapping[str, Values]], Values]
"""The numbers with noise of a table, for which the ledger was charged."""


@dataclass(frozen=True, slots=True)
class Counting:
    """A Launcher whose workers answer a query and do nothing else.

    columns  of the app's contract and the table
    paid     what answers a query with noise; None where it asks for none
    """

    query: Query
    columns: Sequence[str]
    paid: Paid | None = None

    def start(self, spec: WorkerSpec, limits: WorkerLimits) -> Counter:
        """A worker for the run's table."""
        del limits  # they are for what an app does
        return Counter(self, spec)


class Counter:
    """A Worker that counts."""

    def __init__(self, asked: Counting, spec: WorkerSpec) -> None:
        self._asked, self._spec = asked, spec
        self._open = True

    @property
    def alive(self) -> bool:
        """Until it is closed."""
        return self._open

    @property
    def level(self) -> Level:
        """None is needed: no app's code runs."""
        return Level.NONE

    @property
    def pid(self) -> int:
        """0: it is in the agent's process."""
        return 0

    def perform(self, task: Task, output: Path) -> TaskResult:
        """Count. Raises WorkerError for other work or a table that cannot be counted, BudgetError for unpaid noise."""
        if task.stage is not Stage.PREPARE or not self._open:
            raise WorkerError(f"run {self._spec.run} asks for statistics: there is nothing to {task.stage.value}")
        started = time.monotonic()
        try:
            table = read_table(self._spec.data_path, self._asked.columns)
            sums, weight = self._sums(table.columns, len(table))
        except DataError as error:
            raise WorkerError(error.message, hint=error.hint) from error
        content: tensors.Tensors = {SUMMED: sums}
        durations = {"prepare": time.monotonic() - started}
        small = tensors.encode(content) if sums.nbytes <= INLINE_LIMIT_BYTES else b""
        if 0 < len(small) <= INLINE_LIMIT_BYTES:
            return TaskResult(weight, durations, has_state=False, payload=small)
        with PayloadFile(output) as file:
            for piece in tensors.pieces(content):
                file.add(piece)
            return TaskResult(weight, durations, has_state=False, payload=file.blob())

    def _sums(self, table: Mapping[str, Values], rows: int) -> tuple[Values, int]:
        """The numbers, and what is summed beside them: the rows, where no noise is to be on them."""
        if self._asked.paid is not None:
            return self._asked.paid(table), 1
        return count(self._asked.query, table), rows

    def close(self) -> None:
        """Count no more."""
        self._open = False
