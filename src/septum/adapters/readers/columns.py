"""Which of a source's columns are wanted, and what is a value of a database's as a cell?"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Sequence

from septum.errors import DataError, did_you_mean
from septum.sdk.cells import Cell


def places(source: str, names: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """Where each wanted column stands; all of them if none is wanted. Raises DataError for none or two of a name.

    >>> places("x.csv", ["id", "age"], ["age"])
    {'age': 1}
    """
    for name in wanted or names:
        if name not in names:
            raise DataError(
                f"{source}: no column {name!r}; {did_you_mean(name, names)}",
                hint=f'say in silo.toml what it is called there: {name} = {{ from = "..." }}',
            )
        if names.count(name) > 1:
            raise DataError(f"{source}: column {name!r} is there {names.count(name)} times", hint="remove the others")
    return {name: names.index(name) for name in (wanted or names)}


def cell_of(value: object) -> Cell:
    """A value as typed sources have it.

    >>> cell_of(True), cell_of(decimal.Decimal("5.20")), cell_of(float("nan")), cell_of(datetime.date(2020, 2, 1))
    (1.0, 5.2, None, '2020-02-01')
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float | decimal.Decimal):
        number = float(value)
        return None if math.isnan(number) else number
    if isinstance(value, datetime.date | datetime.datetime | datetime.time):
        return value.isoformat()
    return str(value)
