"""What did this silo let run, on which data, under which rules? One line a run in `receipts.jsonl`, which stays here.

A line is only ever added. The digest of a dataset would let others test a guess of it, so receipts do not leave.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from septum.errors import ConfigError, SeptumError
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.silo.lines import append_line, whole_lines

FILE_NAME = "receipts.jsonl"
MAX_LINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a run was given here.

    at        Unix time, seconds, when the silo began to serve it
    app       name and version; `app_digest` is what was approved, `signers` who signed it (none for a folder)
    dataset   digest of the rows as the app sees them, whatever file or database they came from
    rows      how many there were
    policy    digest of the silo's rules
    sandbox   level of the training process
    septum    version of this program
    """

    at: float
    run: str
    plan_digest: str
    app: str
    app_digest: str
    signers: tuple[str, ...]
    dataset: str
    rows: int
    policy: str
    sandbox: int
    septum: str


class Receipts:
    """The receipts of one silo. May be used by several threads of one process."""

    def __init__(self, silo_dir: Path) -> None:
        self._path = silo_dir / FILE_NAME
        self._lock = threading.Lock()

    def add(self, receipt: Receipt) -> None:
        """Write a receipt, on the disk when this returns. Raises StorageError."""
        with self._lock:
            append_line(self._path, dumps(to_json(receipt)))

    def all(self) -> Iterator[Receipt]:
        """Every receipt, oldest first. Raises ConfigError for a line that is none, naming it."""
        for number, line in enumerate(whole_lines(self._path), 1):
            try:
                yield from_json(Receipt, loads(line, MAX_LINE_BYTES))
            except SeptumError as error:
                raise ConfigError(
                    f"{self._path}, line {number}: {error.message}", hint=f"sed -n {number}p {self._path}"
                ) from error
