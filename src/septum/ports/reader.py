"""How a silo's rows come out of a file, a database or a record store.

A reader runs in a process of our own code: it may have network and credentials, and no app's code is beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from septum.sdk.cells import Batch

BATCH_ROWS = 10_000  # a batch is in memory as Python objects, some 100 bytes a cell

SettingValue: TypeAlias = str | int | tuple[str, ...]
Settings: TypeAlias = Mapping[str, SettingValue]


class Reader(Protocol):
    """One source that is open.

    Contract: `read` yields batches of at most BATCH_ROWS rows with at least the wanted columns, each as long as the
    others; nothing wanted means all columns, under the source's own names. Rows come in the source's order, the same
    whenever it is read and unchanged. A cell is a text, a number, a Quantity or None for nothing; booleans are numbers,
    dates ISO texts. Errors are DataErrors that name source and place and quote no cell but a header's; a source that
    cannot be reached is a ConnectionFailedError, an extra that is not installed a MissingExtraError. No error holds a
    password. Nothing is written to the source.
    """

    def read(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """All rows."""


class SettingKind(Enum):
    """What a setting is in silo.toml."""

    TEXT = "text"
    TEXTS = "texts"
    WHOLE = "whole"
    PATH = "path"  # relative to silo.toml's folder


@dataclass(frozen=True, slots=True)
class Setting:
    """A key that a kind of source has in `[data.NAME]`."""

    name: str
    kind: SettingKind = SettingKind.TEXT
    needed: bool = False


@dataclass(frozen=True, slots=True)
class ReaderKind:
    """A kind of source: its settings, and how to open one. Opening reads nothing yet; raises ConfigError."""

    settings: tuple[Setting, ...]
    open: Callable[[Settings], Reader]
