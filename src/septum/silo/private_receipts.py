"""What did each run with differential privacy cost this silo's records? One line a run, exact; it stays here.

The ledger is the authority, and adds runs up. This is the same cost run by run, in the words of the run's own promise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from septum.silo.lines import add_record, records

FILE_NAME = "privacy.jsonl"


@dataclass(frozen=True, slots=True)
class PrivateReceipt:
    """What a run cost, once it had ended here.

    at        Unix time, seconds
    epsilon   of all its releases together, of the steps that were begun, at `delta`
    strength  who saw to it: see `protocol.privacy.Strength`
    rows      the number of train rows, with noise
    """

    at: float
    run: str
    dataset: str
    strength: str
    epsilon: float
    delta: float
    steps: int
    rows: int
    noise_multiplier: float
    sampling_rate: float


class PrivateReceipts:
    """The costs of one silo's runs. May be used by several threads and processes."""

    def __init__(self, silo_dir: Path) -> None:
        self._path = silo_dir / FILE_NAME

    def add(self, receipt: PrivateReceipt) -> None:
        """Write one, on the disk when this returns. Raises StorageError."""
        add_record(self._path, receipt)

    def all(self) -> Iterator[PrivateReceipt]:
        """All of them, oldest first; of a run that was stopped and resumed the last counts. Raises ConfigError."""
        return records(self._path, PrivateReceipt)
