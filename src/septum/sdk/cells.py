"""What does a source give for one value? A text, a number, an amount with its unit, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that carries its own unit, as health records have it. Rows of one column may differ in it."""

    value: float
    unit: str


Cell: TypeAlias = str | float | Quantity | None
Batch: TypeAlias = Mapping[str, Sequence[Cell]]  # some rows: equally many cells by column
