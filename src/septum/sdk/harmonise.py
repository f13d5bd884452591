"""How do a source's columns become what the app's contract says? Renamed, converted, decoded, and each value checked.

Pure: batches of cells in, arrays out. The values alone decide what comes out, so the same patients give the same
canonical table from a CSV file, a database or a record store, wherever a conversion is exact or rounded to `decimals`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from septum.errors import ConfigError, DataError
from septum.sdk.cells import Batch, Cell, Quantity
from septum.sdk.contract import Kind
from septum.sdk.data import Float64, Table, missing_column
from septum.sdk.data_report import Violation
from septum.sdk.mapping import ColumnPlan, OnViolation, number_of
from septum.sdk.units import conversion

MAX_CELLS = 2**28  # 2 GiB of float64, held once while reading and once more while writing
EXAMPLES = 5
_EXAMPLE_CHARS = 40

PRESENT, MISSING = 0, 1
_FIRST_VIOLATION = 2
_VIOLATIONS = tuple(Violation)


@dataclass(frozen=True, slots=True)
class MadeColumn:
    """One column of all rows.

    values    canonical; NaN where missing or violated
    numbers   as converted, also where the contract does not allow them; NaN where there was no number
    states    PRESENT, MISSING, or the place of the violation in Violation, from 2 on
    examples  a few of the source's cells by violation
    """

    values: Float64
    numbers: Float64
    states: NDArray[np.int8]
    examples: Mapping[Violation, tuple[str, ...]]

    def violations(self) -> dict[Violation, int]:
        """Rows by violation, for those that occur."""
        counts = np.bincount(self.states, minlength=_FIRST_VIOLATION + len(_VIOLATIONS))[_FIRST_VIOLATION:]
        return {what: int(count) for what, count in zip(_VIOLATIONS, counts, strict=True) if count}


@dataclass(frozen=True, slots=True)
class Harmonised:
    """All rows of a source in the contract's columns, with what is wrong with them."""

    source: str
    plans: tuple[ColumnPlan, ...]
    columns: Mapping[str, MadeColumn]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).values)

    def violated(self) -> NDArray[np.bool_]:
        """The rows with a value that the contract does not allow."""
        violated: NDArray[np.bool_] = np.zeros(len(self), np.bool_)
        for column in self.columns.values():
            violated |= column.states >= _FIRST_VIOLATION
        return violated


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: float
    number: float
    state: int


_MISSING = _Outcome(math.nan, math.nan, MISSING)


def harmonise(source: str, batches: Iterable[Batch], plans: Sequence[ColumnPlan]) -> Harmonised:
    """Read all batches. Raises DataError when a column is not there, there are no rows, or too many."""
    parts: dict[str, list[_Part]] = {plan.name: [] for plan in plans}
    examples: dict[str, dict[Violation, list[str]]] = {plan.name: {} for plan in plans}
    rows = 0
    for batch in batches:
        for plan in plans:
            if plan.source not in batch:
                raise missing_column(source, plan.source, batch)
            parts[plan.name].append(_part(plan, batch[plan.source], examples[plan.name]))
        rows += len(batch[plans[0].source])
        if rows * len(plans) > MAX_CELLS:
            raise DataError(
                f"{source}: more than {MAX_CELLS // len(plans)} rows of {len(plans)} columns",
                hint="give the app fewer columns, or the source fewer rows (a condition in the query)",
            )
    if not rows:
        raise DataError(f"{source}: no rows", hint="export the data again with their rows, or look at the query")
    return Harmonised(
        source, tuple(plans), {plan.name: _joined(parts.pop(plan.name), examples[plan.name]) for plan in plans}
    )


def settle(harmonised: Harmonised, on_violation: OnViolation, target: str) -> Table:
    """The canonical table. Rows that violate the contract become missing values or go; DataError when none is left."""
    columns = {name: column.values for name, column in harmonised.columns.items()}
    if on_violation is OnViolation.DROP:
        kept = ~harmonised.violated()
        if not kept.any():
            raise DataError(
                f"{harmonised.source}: each of the {len(kept)} rows violates the contract, so none is left",
                hint="a unit or a code is mapped wrongly: septum silo data check shows which",
            )
        columns = {name: values[kept] for name, values in columns.items()}
    elif on_violation is OnViolation.REFUSE and harmonised.violated().any():
        raise DataError(f"{harmonised.source}: {int(harmonised.violated().sum())} rows violate the contract")
    return Table(columns, harmonised.source, target)


_Part = tuple[Float64, Float64, NDArray[np.int8]]


def _part(plan: ColumnPlan, cells: Sequence[Cell], examples: dict[Violation, list[str]]) -> _Part:
    """One column of one batch. Each distinct cell is worked out once."""
    outcomes = {cell: _outcome(plan, cell) for cell in set(cells)}
    made = [outcomes[cell] for cell in cells]
    if any(outcome.state >= _FIRST_VIOLATION for outcome in outcomes.values()):
        _note_examples(cells, made, examples)
    values = np.array([outcome.value for outcome in made], np.float64)
    numbers = np.array([outcome.number for outcome in made], np.float64)
    return values, numbers, np.array([outcome.state for outcome in made], np.int8)


def _note_examples(cells: Sequence[Cell], made: Sequence[_Outcome], examples: dict[Violation, list[str]]) -> None:
    """The first few distinct cells of each violation, in the order of the rows."""
    for cell, outcome in zip(cells, made, strict=True):
        if outcome.state >= _FIRST_VIOLATION:
            seen = examples.setdefault(_VIOLATIONS[outcome.state - _FIRST_VIOLATION], [])
            if len(seen) < EXAMPLES and _shown(cell) not in seen:
                seen.append(_shown(cell))


def _joined(parts: list[_Part], examples: Mapping[Violation, list[str]]) -> MadeColumn:
    return MadeColumn(
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        {what: tuple(cells) for what, cells in examples.items()},
    )


def _outcome(plan: ColumnPlan, cell: Cell) -> _Outcome:
    """What becomes of one cell: markers first, then codes, then numbers."""
    if cell is None:
        return _MISSING
    if isinstance(cell, Quantity):
        return _of_quantity(plan, cell)
    number = number_of(cell.strip()) if isinstance(cell, str) else float(cell)
    text = cell.strip() if isinstance(cell, str) else None
    if text in plan.texts or (number is not None and math.isnan(number)):
        return _MISSING
    if text is not None and text in plan.codes:
        return _present(plan.codes[text])
    if number is not None and number in plan.coded_numbers:
        return _present(plan.coded_numbers[number])
    if number is not None and number in plan.numbers:
        return _MISSING
    return _of_code(plan, number) if plan.column.kind is Kind.CODE else _of_number(plan, number)


def _of_code(plan: ColumnPlan, number: float | None) -> _Outcome:
    """A code that is not mapped: the contract's own, unless there is a map. Then a bare number may mean anything."""
    mapped = plan.codes or plan.coded_numbers
    if number is None or mapped or not plan.column.allows(number):
        return _wrong(Violation.UNMAPPED, number)
    return _present(number)


def _of_quantity(plan: ColumnPlan, cell: Quantity) -> _Outcome:
    """An amount whose unit is not the mapped one is converted from its own."""
    if not cell.unit or not plan.unit or not plan.column.unit or cell.unit == plan.unit:
        return _outcome(plan, cell.value)
    if cell.value in plan.numbers:
        return _MISSING
    try:
        own = conversion(cell.unit, plan.column.unit, plan.substance)
    except ConfigError:
        return _wrong(Violation.UNIT, None)
    return _of_converted(plan, own.convert(cell.value))


def _of_number(plan: ColumnPlan, number: float | None) -> _Outcome:
    if number is None:
        return _wrong(Violation.NOT_A_NUMBER, None)
    return _of_converted(plan, plan.conversion.convert(number))


def _of_converted(plan: ColumnPlan, converted: float) -> _Outcome:
    if not math.isfinite(converted):
        return _wrong(Violation.NOT_A_NUMBER, None)
    number = converted if plan.decimals is None else round(converted, plan.decimals)
    column = plan.column
    if number in plan.canonical_missing:
        return _MISSING
    if column.kind is Kind.INTEGER and number != math.floor(number):
        return _wrong(Violation.NOT_WHOLE, number)
    if column.minimum is not None and number < column.minimum:
        return _wrong(Violation.BELOW, number)
    if column.maximum is not None and number > column.maximum:
        return _wrong(Violation.ABOVE, number)
    return _present(number)


def _present(value: float) -> _Outcome:
    value += 0.0  # -0.0 would be other bytes for the same number
    return _Outcome(value, value, PRESENT)


def _wrong(what: Violation, number: float | None) -> _Outcome:
    kept = math.nan if number is None or not math.isfinite(number) else number
    return _Outcome(math.nan, kept, _FIRST_VIOLATION + _VIOLATIONS.index(what))


def _shown(cell: Cell) -> str:
    text = f"{cell.value:g} {cell.unit}" if isinstance(cell, Quantity) else str(cell)
    return text if len(text) <= _EXAMPLE_CHARS else f"{text[: _EXAMPLE_CHARS - 3]}..."
