"""What did this silo let run, on which data, under which rules? One line a run in `receipts.jsonl`, which stays here.

A line is only ever added. The digest of a dataset would let others test a guess of it, so receipts do not leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from septum.protocol.codec import LATER
from septum.silo.lines import add_record, records

FILE_NAME = "receipts.jsonl"


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
    privacy   what was promised of differential privacy; empty for a run without. What it cost is in the ledger
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
    privacy: str = field(default="", metadata=LATER)


class Receipts:
    """The receipts of one silo. May be used by several threads and processes."""

    def __init__(self, silo_dir: Path) -> None:
        self._path = silo_dir / FILE_NAME

    def add(self, receipt: Receipt) -> None:
        """Write a receipt, on the disk when this returns. Raises StorageError."""
        add_record(self._path, receipt)

    def all(self) -> Iterator[Receipt]:
        """Every receipt, oldest first. Raises ConfigError for a line that is none, naming it."""
        return records(self._path, Receipt)
