"""Where is the table that an app is trained on? Made from the source once, and again when the source has changed.

    tables/KEY/table      the canonical table, mode 0600
    tables/KEY/made.json  from which state of the source it was made, its rows and digest

KEY names the dataset's settings and the app's contract. Only a source that is one file shows whether it has changed (by
its inode, size and time); any other is read anew for each run.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from blake3 import blake3

from septum.adapters.files import replace_file
from septum.errors import SeptumError
from septum.protocol.codec import dumps, from_json, loads, to_json
from septum.sdk.contract import Column
from septum.silo.datasets import Dataset, dataset_json
from septum.silo.read_messages import contract_json
from septum.silo.reading import ReadLimits, make_table

MAX_MADE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Made:
    """A table that is there. `source`: the state of the file that it was made from; empty where none can be told."""

    source: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Table:
    """An app's rows, ready to be trained on."""

    path: Path
    rows: int
    digest: str


class Tables:
    """The tables of one silo. May be used by several threads of one process."""

    def __init__(self, folder: Path, limits: ReadLimits | None = None) -> None:
        self._folder = folder
        self._limits = limits or ReadLimits()
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}

    def get(self, dataset: Dataset, columns: Mapping[str, Column], keep: Path | None = None) -> Table:
        """The table of a dataset for a contract. Raises as `reading.make_table` does.

        `keep`: a name of the caller's own for these rows, which stay the same under it when the table is made again.
        """
        key = key_of(dataset, columns)
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            table = self._get(self._folder / key, dataset, columns)
            return table if keep is None else _kept(table, keep)

    def keep(self, wanted: Collection[str]) -> None:
        """Delete the tables of other keys: nobody asks for them any more, and they hold records."""
        if not self._folder.is_dir():
            return
        for folder in self._folder.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def _get(self, folder: Path, dataset: Dataset, columns: Mapping[str, Column]) -> Table:
        state, path = state_of(dataset), folder / "table"
        made = _made(folder / "made.json")
        if made is not None and state and made.source == state and path.exists():
            return Table(path, made.rows, made.digest)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "made.json").unlink(missing_ok=True)
        new = make_table(dataset, columns, path, self._limits)
        if state and state == state_of(dataset):  # else it changed while it was read
            replace_file(folder / "made.json", dumps(to_json(Made(state, new.rows, new.digest))))
        return Table(path, new.rows, new.digest)


def _kept(table: Table, keep: Path) -> Table:
    """The same rows under another name."""
    keep.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = keep.with_name(f".{keep.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(table.path, part)
    except OSError:  # a file system without links
        shutil.copyfile(table.path, part)
        part.chmod(0o600)
    part.replace(keep)
    return replace(table, path=keep)


def key_of(dataset: Dataset, columns: Mapping[str, Column]) -> str:
    """The name of a dataset's table for a contract."""
    content = {"dataset": dataset_json(dataset), "columns": [[n, contract_json(c)] for n, c in columns.items()]}
    return blake3(repr(content).encode()).hexdigest()[:32]


def state_of(dataset: Dataset) -> str:
    """What a source that is one file looks like from outside; empty for any other."""
    path = dataset.settings.get("path")
    if dataset.source not in ("csv", "parquet") or not isinstance(path, str):
        return ""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"


def _made(path: Path) -> Made | None:
    try:
        return from_json(Made, loads(path.read_bytes(), MAX_MADE_BYTES))
    except (OSError, SeptumError):
        return None  # then it is made again
