"""What does a silo say about itself? Software, machine, labels, what its steward offers, and whether it is paused.

Nothing of this is proven, and nothing is decided by it. It comes from outside, so its sizes are checked here and
nowhere else. It says of no dataset how many rows it has: a bucket at most (`rows_bucket`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from septum.errors import ConfigError, MessageError
from septum.protocol.codec import LATER
from septum.protocol.resources import Capacity

MAX_WORDS_CHARS = 100  # a version, a system, the name of a GPU or of a column
MAX_REASON_CHARS = 200  # why a silo has paused
MAX_CORES = 2**16
MAX_MEMORY_MB = 2**31
MAX_GPUS = 64
MAX_LABELS = 32
MAX_DATASETS = 64
MAX_COLUMNS = 1000  # of all datasets together: what is stored of a silo stays below some 120 kB
FEWEST_ROWS = 100  # below it nothing is told but that: a few patients' dataset is small, and that is all
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_ROWS = re.compile(r"under 100|[1-9]0{2,14}-[1-9]9{2,14}")


@dataclass(frozen=True, slots=True)
class OfferedDataset:
    """A dataset by name, with the names of its columns. `rows`: a bucket, as `rows_bucket` has it; empty if untold."""

    name: str
    columns: tuple[str, ...] = ()
    rows: str = ""

    def __post_init__(self) -> None:
        _words("the name of a dataset", self.name)
        for column in self.columns:
            _words(f"dataset {self.name!r}: the name of a column", column)
        if self.rows and not _ROWS.fullmatch(self.rows):
            raise MessageError(f"dataset {self.name!r}: {self.rows[:40]!r} is no bucket of rows")


@dataclass(frozen=True, slots=True)
class SiloDescription:
    """What a silo says about itself.

    septum     its version of septum
    python     of the agent
    system     the operating system and the processor's architecture
    cores      that the agent may use
    memory_mb  of the machine, 10^6 bytes; 0 if it is not known
    gpus       by name
    labels     by which its steward lets it be found
    datasets   that its steward offers
    capacity   what it gives to all runs together; None where it does not say
    processor  its model; empty where it is not known
    """

    septum: str
    python: str
    system: str
    cores: int
    memory_mb: int = 0
    gpus: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[OfferedDataset, ...] = ()
    capacity: Capacity | None = field(default=None, metadata=LATER)
    processor: str = field(default="", metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("septum", "python", "system"):
            _words(name, getattr(self, name))
        if self.processor:
            _words("processor", self.processor)
        _within("cores", self.cores, MAX_CORES)
        _within("memory_mb", self.memory_mb, MAX_MEMORY_MB)
        _at_most("GPUs", self.gpus, MAX_GPUS)
        for gpu in self.gpus:
            _words("the name of a GPU", gpu)
        try:
            check_labels(self.labels)
        except ConfigError as error:
            raise MessageError(error.message) from error
        _at_most("datasets", self.datasets, MAX_DATASETS)
        _at_most("columns", [column for dataset in self.datasets for column in dataset.columns], MAX_COLUMNS)

    @property
    def machine(self) -> str:
        """In a line, what of it can change the bits of a result."""
        known = (self.system, self.processor, f"Python {self.python}", f"septum {self.septum}")
        return "; ".join(one for one in known if one)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a silo stands.

    paused      it takes no new runs
    reason      why its steward paused it, for the others to read; may be empty
    budget_low  datasets whose privacy budget is nearly spent, where its policy lets that be told
    """

    paused: bool = False
    reason: str = ""
    budget_low: tuple[str, ...] = field(default=(), metadata=LATER)

    def __post_init__(self) -> None:
        _at_most("datasets", self.budget_low, MAX_DATASETS)
        for dataset in self.budget_low:
            _words("the name of a dataset", dataset)
        if len(self.reason) > MAX_REASON_CHARS or not self.reason.isprintable():
            raise MessageError(f"reason: {self.reason[:40]!r} is not one line of at most {MAX_REASON_CHARS} characters")


def check_labels(labels: Mapping[str, str]) -> None:
    """Whether these can be a silo's labels. Raises ConfigError."""
    if len(labels) > MAX_LABELS:
        raise ConfigError(f"{len(labels)} labels, at most {MAX_LABELS} are possible")
    for name, value in labels.items():
        if not _LABEL.fullmatch(name):
            raise ConfigError(f"{name[:80]!r} is no label: lower-case letters, digits, . _ and -, at most 63")
        if not _VALUE.fullmatch(value):
            raise ConfigError(
                f"label {name}: {value[:80]!r} has other than letters, digits, . _ and -, or more than 63"
            )


def rows_bucket(rows: int) -> str:
    """How many rows, to the first digit. Without noise: at the edge of a bucket one row more or less shows.

    >>> rows_bucket(99), rows_bucket(100), rows_bucket(1_873)
    ('under 100', '100-199', '1000-1999')
    """
    if rows < FEWEST_ROWS:
        return f"under {FEWEST_ROWS}"
    step = int(10 ** (len(str(rows)) - 1))
    low = rows // step * step
    return f"{low}-{low + step - 1}"


def _words(what: str, text: str) -> None:
    if not text or len(text) > MAX_WORDS_CHARS or not text.isprintable():
        raise MessageError(f"{what}: {text[:40]!r} is not a line of 1 to {MAX_WORDS_CHARS} characters")


def _within(what: str, number: int, most: int) -> None:
    if not 0 <= number <= most:
        raise MessageError(f"{what}: {number if abs(number) <= most else 'a number'} out of 0 to {most}")


def _at_most(what: str, items: Iterable[object], most: int) -> None:
    count = len(list(items))
    if count > most:
        raise MessageError(f"{count} {what} in one description, at most {most}")
