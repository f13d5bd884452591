"""How do rows that nobody trained on become a table for an app? By its contract, but for the target.

A prediction from a value that means something else is worse than none, so what the contract does not allow is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from septum.errors import DataError
from septum.sdk.cells import Batch
from septum.sdk.contract import Column, Role
from septum.sdk.data import Table
from septum.sdk.data_report import Violation
from septum.sdk.harmonise import Harmonised, harmonise
from septum.sdk.mapping import ColumnMapping, ColumnPlan, plan_columns

SHOWN = 10  # values that an error names
_FIRST_VIOLATION = 2  # of harmonise: 0 is present, 1 missing


def plans_for(
    where: str, columns: Mapping[str, Column], mapping: Mapping[str, ColumnMapping]
) -> tuple[ColumnPlan, ...]:
    """How each column but the target is made. Raises ConfigError as `plan_columns` does."""
    wanted = {name: column for name, column in columns.items() if column.role is not Role.TARGET}
    return plan_columns(where, wanted, {name: one for name, one in mapping.items() if name in wanted})


def table_of(source: str, batches: Iterable[Batch], plans: tuple[ColumnPlan, ...]) -> Table:
    """The rows in the contract's columns, NaN where nothing is known.

    Raises DataError for values that the contract does not allow, naming row and column; rows count from 1.
    """
    made = harmonise(source, batches, plans)
    _check(made)
    return Table({name: column.values for name, column in made.columns.items()}, source)


def _check(made: Harmonised) -> None:
    violations = list(Violation)
    wrong = [
        (int(row), plan, violations[int(made.columns[plan.name].states[row]) - _FIRST_VIOLATION])
        for plan in made.plans
        for row in np.flatnonzero(made.columns[plan.name].states >= _FIRST_VIOLATION)
    ]
    if not wrong:
        return
    wrong.sort(key=lambda one: (one[0], one[1].name))
    shown = "; ".join(
        f"row {row + 1}, column {plan.source!r}: {what.value} ({plan.column.words()})"
        for row, plan, what in wrong[:SHOWN]
    )
    more = f"; and {len(wrong) - SHOWN} more values" if len(wrong) > SHOWN else ""
    raise DataError(
        f"{made.source}: {shown}{more}",
        hint="row 1 is the first after the header; mend the values, or map them under [data] in silo.toml",
    )
